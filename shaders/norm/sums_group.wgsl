// Parts of the sums that the gradients of normalisation need, one workgroup for each part of each sum:
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
// Each of the WIDTH invocations takes every WIDTH-th term, so that neighbours read neighbouring elements;
// then the sums are added in a tree.

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

var<workgroup> shared_sums: array<vec2<f32>, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups);
    let k = index % params.count;
    let first = index / params.count * params.part;
    let terms = params.outer * params.inner;
    if first >= terms {
        return;
    }
    let end = min(first + params.part, terms);
    var both = vec2(0.0);
    for (var t = first + lane; t < end; t += WIDTH) {
        let i = element_of(k, t);
        let s = set_of(params.first + i, params.block, params.sets);
        var g = grad_output[params.start + i];
        if WEIGHT {
            g *= weight[parameter_of(params.first + i, params.plane, params.parameters)];
        }
        let xhat = (input[params.start + i] - mean[s]) / sqrt(variance[s] + params.eps);
        both += vec2(g, g * xhat);
    }
    shared_sums[lane] = both;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if lane < half {
            shared_sums[lane] += shared_sums[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        sums[index] = shared_sums[0].x;
        sums_xhat[index] = shared_sums[0].y;
    }
}
