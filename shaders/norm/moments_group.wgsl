// Mean and sum of squared deviations of parts of sets of elements, one workgroup for each part of each
// set; merge_moments.wgsl puts the parts together.
//
// input    [outer, count, inner], from params.start
// means    [parts, count]
// squares  as means
//
// Neighbouring invocations take neighbouring elements, four of each at a time, less a rough mean, so
// that the rounding is that of the deviations; then the invocations' results are merged in a tree, by the
// formula of lib/moments.wgsl.

// import lib/index.wgsl
// import lib/moments.wgsl
// import lib/norm_terms.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> means: array<f32>;
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> shared_moments: array<Moments, WIDTH>;

fn term(k: u32, t: u32) -> f32 {
    return input[params.start + element_of(k, t)];
}

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
    let quarter = (end - first) / 4u;
    let shift = 0.25 * (term(k, first) + term(k, first + quarter)
        + term(k, first + 2u * quarter) + term(k, first + 3u * quarter));
    var all = Moments(0.0, 0.0, 0.0);
    var t = first + lane;
    while t + 3u * WIDTH < end {
        let x = vec4(
            term(k, t),
            term(k, t + WIDTH),
            term(k, t + 2u * WIDTH),
            term(k, t + 3u * WIDTH),
        );
        all = merged(all, moments_of_four(x - shift));
        t += 4u * WIDTH;
    }
    while t < end {
        all = merged(all, moments_of_one(term(k, t) - shift));
        t += WIDTH;
    }
    shared_moments[lane] = all;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if lane < half {
            shared_moments[lane] = merged(shared_moments[lane], shared_moments[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        means[index] = shift + shared_moments[0].mean;
        squares[index] = shared_moments[0].squares;
    }
}
