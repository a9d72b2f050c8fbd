// grad_input[n, c, i] = grad_output[n, c, i] * scale[n, c, i]^-BETA
//     - 2 alpha BETA input[n, c, i] * sum of grad_output[n, j, i] * output[n, j, i] / scale[n, j, i]
// for j from c - below to c + above: the channels whose window holds c.
//
// input        [samples, channels, plane]
// output       as input, what the forward pass computed
// scale        as input, the base of the power from the forward pass
// grad_output  as input
// grad_input   as input
//
// One invocation computes one element; `items` is the number of them.

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
    let c = (i / params.plane) % params.channels;
    let below = min(params.below, c);
    let above = min(params.above, params.channels - 1u - c);
    var at = i - below * params.plane;
    var sum = 0.0;
    for (var j = 0u; j <= below + above; j++) {
        sum += grad_output[at] * output[at] / scale[at];
        at += params.plane;
    }
    let through_scale = 2.0 * params.alpha * BETA * input[i] * sum;
    grad_input[i] = grad_output[i] * inverse_power(scale[i], BETA) - through_scale;
}
