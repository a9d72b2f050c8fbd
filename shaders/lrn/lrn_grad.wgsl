// grad_input[n, c, i] = grad_output[n, c, i] * scale[n, c, i]^-BETA
//     - 2 alpha BETA input[n, c, i] * sum of grad_output[n, j, i] * output[n, j, i] / scale[n, j, i]
// for j from c - BELOW to c + ABOVE: the channels whose window holds c.
//
// input        [samples, channels, plane]
// output       as input, what the forward pass computed
// scale        as input, the base of the power from the forward pass
// grad_output  as input
// grad_input   as input
//
// One invocation computes RUN channels of one position; `items` is the number of invocations.

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
@group(0) @binding(1) var<storage, read> output: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> grad_output: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

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
            sum += term(first, here, j);
        }
        combine(here, sum);
        return;
    }
    // How often each loop runs is known: drivers unroll them.
    var terms: array<f32, KEPT>;
    for (var j = 0u; j < KEPT; j++) {
        terms[j] = term(first, here, j);
    }
    for (var r = 0u; r < RUN; r++) {
        if first + r >= CHANNELS {
            break;
        }
        var sum = 0.0;
        for (var j = 0u; j <= BELOW + ABOVE; j++) {
            sum += terms[r + j];
        }
        combine(here + r * PLANE, sum);
    }
}

// What channel first + j - BELOW adds to the sum, 0 where there is none.
fn term(first: u32, here: u32, j: u32) -> f32 {
    let is_inside = first + j >= BELOW && first + j < CHANNELS + BELOW;
    let at = select(here, here + j * PLANE - BELOW * PLANE, is_inside);
    return select(0.0, grad_output[at] * output[at] / scale[at], is_inside);
}

fn combine(at: u32, sum: f32) {
    let through_scale = 2.0 * params.alpha * BETA * input[at] * sum;
    grad_input[at] = grad_output[at] * inverse_power(scale[at], BETA) - through_scale;
}
