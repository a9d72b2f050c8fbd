// Parts of the sums that the gradients of normalisation need, one invocation for each part of each sum:
//     sums[q, k] = sum of w g,    sums_xhat[q, k] = sum of w g (x - mean[s]) / sqrt(variance[s] + eps)
// over the terms of part q, with x = input[e], g = grad_output[e] and w = weight[p] at the term's
// element e, s its set and p its parameter. add_parts.wgsl adds the parts up.
//
// input        [outer, count, inner], from params.start
// grad_output  as input
// mean         [sets]
// variance     [sets]
// weight       [parameters], read only where WEIGHT, otherwise 1
// sums         [parts, count]
// sums_xhat    as sums
//
// The elements of a run along `inner` share their statistics.

// import lib/index.wgsl
// import lib/norm.wgsl
// import lib/norm_terms.wgsl

const WIDTH: u32 = 64u;
const WEIGHT: bool = true;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read> grad_output: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums_xhat: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let k = index % params.count;
    let first = index / params.count * params.part;
    let terms = params.outer * params.inner;
    if first >= terms {
        return;
    }
    let end = min(first + params.part, terms);
    var sum = 0.0;
    var sum_xhat = 0.0;
    var t = first;
    while t < end {
        let run = min(params.inner - t % params.inner, end - t);
        let element = element_of(k, t);
        let s = set_of(params.first + element, params.block, params.sets);
        let centre = mean[s];
        var run_sum = 0.0;
        var run_sum_x = 0.0;
        for (var i = element; i < element + run; i += 1u) {
            var g = grad_output[params.start + i];
            if WEIGHT {
                g *= weight[parameter_of(params.first + i, params.plane, params.parameters)];
            }
            run_sum += g;
            run_sum_x += g * (input[params.start + i] - centre);
        }
        sum += run_sum;
        sum_xhat += run_sum_x / sqrt(variance[s] + params.eps);
        t += run;
    }
    sums[index] = sum;
    sums_xhat[index] = sum_xhat;
}
