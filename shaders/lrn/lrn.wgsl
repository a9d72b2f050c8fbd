// output[n, c, i] = input[n, c, i] * scale[n, c, i]^-BETA, with
// scale[n, c, i] = k + alpha * sum of input[n, j, i]^2 for j from c - below to c + above.
//
// input   [samples, channels, plane]
// output  as input
// scale   as input; kept for the backward pass
//
// One invocation computes one element; `items` is the number of them. Neighbouring invocations read
// neighbouring positions of the same channels, so the window's reads are coalesced and most of them
// are in cache. `alpha` already has the division by the window's size where the convention wants it.
//
// Source: Krizhevsky et al. 2012, section 3.3.

// import lib/index.wgsl
// import lib/inverse_power.wgsl

const WIDTH: u32 = 64u;
const BETA: f32 = 0.75;

struct Params {
    items: u32,
    channels: u32,
    plane: u32,
    below: u32,
    above: u32,
    alpha: f32,
    k: f32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.items {
        return;
    }
    let c = (i / params.plane) % params.channels;
    let below = min(params.below, c);
    let above = min(params.above, params.channels - 1u - c);
    var at = i - below * params.plane;
    var squares = 0.0;
    for (var j = 0u; j <= below + above; j++) {
        let x = input[at];
        squares += x * x;
        at += params.plane;
    }
    let s = params.k + params.alpha * squares;
    output[i] = input[i] * inverse_power(s, BETA);
    scale[i] = s;
}
