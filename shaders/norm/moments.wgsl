// Mean and sum of squared deviations of parts of sets of elements, one invocation for each part of each
// set; merge_moments.wgsl puts the parts together.
//
// input    [outer, count, inner], from params.start
// means    [parts, count]
// squares  as means
//
// Four elements at a time, by the formula of lib/moments.wgsl, and less a rough mean, so that the
// rounding is that of the deviations. Best where inner is 1 (neighbouring
// invocations read neighbouring elements), and on software adapters, which have no use for workgroup
// memory.

// import lib/index.wgsl
// import lib/moments.wgsl
// import lib/norm_terms.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> means: array<f32>;
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn term(k: u32, t: u32) -> f32 {
    return input[params.start + element_of(k, t)];
}

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
    let quarter = (end - first) / 4u;
    let shift = 0.25 * (term(k, first) + term(k, first + quarter)
        + term(k, first + 2u * quarter) + term(k, first + 3u * quarter));
    var all = Moments(0.0, 0.0, 0.0);
    var t = first;
    while t + 3u < end {
        let at = params.start + element_of(k, t);
        var x: vec4<f32>;
        if t % params.inner + 3u < params.inner {
            x = vec4(input[at], input[at + 1u], input[at + 2u], input[at + 3u]);
        } else {
            x = vec4(input[at], term(k, t + 1u), term(k, t + 2u), term(k, t + 3u));
        }
        all = merged(all, moments_of_four(x - shift));
        t += 4u;
    }
    while t < end {
        all = merged(all, moments_of_one(term(k, t) - shift));
        t += 1u;
    }
    means[index] = shift + all.mean;
    squares[index] = all.squares;
}
