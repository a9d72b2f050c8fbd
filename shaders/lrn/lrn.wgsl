// output[n, c, i] = input[n, c, i] * scale[n, c, i]^-BETA, with
// scale[n, c, i] = k + alpha * sum of input[n, j, i]^2 for j from c - BELOW to c + ABOVE.
//
// input   [samples, channels, plane]
// output  as input
// scale   as input; kept for the backward pass
//
// One invocation computes RUN channels of one position; `items` is the number of invocations.
// Neighbouring ones read neighbouring positions of the same channels, so the window's reads are
// coalesced and most of them are in cache. `alpha` already has the division by the window's size where the convention wants it.
//
// Source: Krizhevsky et al. 2012, section 3.3.

// import lib/index.wgsl
// import lib/inverse_power.wgsl

const WIDTH: u32 = 64u;
const BETA: f32 = 0.75;

// The shape and the window, c - BELOW to c + ABOVE: dividing by what is known is cheap.
const CHANNELS: u32 = 1u;
const PLANE: u32 = 1u;
const BELOW: u32 = 0u;
const ABOVE: u32 = 0u;
// Channels that an invocation computes: what their windows share is read once.
const RUN: u32 = 1u;
const BLOCKS: u32 = (CHANNELS + RUN - 1u) / RUN;
const TERMS: u32 = RUN + BELOW + ABOVE;
// One at a time needs no terms of others, however wide the window is.
const KEPT: u32 = 1u + (TERMS - 1u) * min(RUN - 1u, 1u);

struct Params {
    items: u32,
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
    let block = i / PLANE;
    let sample = block / BLOCKS;
    let first = (block - sample * BLOCKS) * RUN;
    // The element of the first channel: those below it, where there are any, are before it.
    let here = (sample * CHANNELS + first) * PLANE + (i - block * PLANE);

    if RUN == 1u {
        var sum = 0.0;
        for (var j = 0u; j < TERMS; j++) {
            sum += square(first, here, j);
        }
        normalise(here, sum);
        return;
    }
    // How often each loop runs is known: drivers unroll them.
    var squares: array<f32, KEPT>;
    for (var j = 0u; j < KEPT; j++) {
        squares[j] = square(first, here, j);
    }
    for (var r = 0u; r < RUN; r++) {
        if first + r >= CHANNELS {
            break;
        }
        var sum = 0.0;
        for (var j = 0u; j <= BELOW + ABOVE; j++) {
            sum += squares[r + j];
        }
        normalise(here + r * PLANE, sum);
    }
}

// The square at channel first + j - BELOW, 0 where there is none.
fn square(first: u32, here: u32, j: u32) -> f32 {
    let is_inside = first + j >= BELOW && first + j < CHANNELS + BELOW;
    let x = input[select(here, here + j * PLANE - BELOW * PLANE, is_inside)];
    return select(0.0, x * x, is_inside);
}

fn normalise(at: u32, squares: f32) {
    let s = params.k + params.alpha * squares;
    output[at] = input[at] * inverse_power(s, BETA);
    scale[at] = s;
}
