// Mean and variance of sets from the moments of their parts, merged in order by the formula of
// lib/moments.wgsl, less the mean of the first, so that a mean far from 0 is rounded once. Where a set comes in several dispatches, `variance` holds the sum of squared
// deviations of the `before` elements until the last of them.
//
// means     [parts, count]
// squares   as means
// mean      [count], from params.start
// variance  as mean: the mean squared deviation
//
// One invocation takes one set.

// import lib/index.wgsl
// import lib/moments.wgsl

const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    parts: u32,
    // The length of a part but the last, and of all together.
    part: u32,
    terms: u32,
    before: u32,
    is_last: u32,
    start: u32,
}

@group(0) @binding(0) var<storage, read> means: array<f32>;
@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> variance: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let k = flat_thread(global, groups, WIDTH);
    if k >= params.count {
        return;
    }
    var all = Moments(0.0, 0.0, 0.0);
    var shift = means[k];
    if params.before > 0u {
        shift = mean[params.start + k];
        all = Moments(f32(params.before), 0.0, variance[params.start + k]);
    }
    for (var p = 0u; p < params.parts; p += 1u) {
        let count = min(params.part, params.terms - p * params.part);
        let at = p * params.count + k;
        all = merged(all, Moments(f32(count), means[at] - shift, squares[at]));
    }
    mean[params.start + k] = shift + all.mean;
    variance[params.start + k] =
        select(all.squares, all.squares / all.count, params.is_last != 0u);
}
