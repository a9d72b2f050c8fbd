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
// lib/lrn_channels.wgsl says which invocation computes what.

// import lib/index.wgsl
// import lib/inverse_power.wgsl
// import lib/lrn_channels.wgsl

const WIDTH: u32 = 64u;
const BETA: f32 = 0.75;

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
    sum_windows(i);
}

fn term(at: u32) -> f32 {
    return grad_output[at] * output[at] / scale[at];
}

fn finish(at: u32, sum: f32) {
    let through_scale = 2.0 * params.alpha * BETA * input[at] * sum;
    grad_input[at] = grad_output[at] * inverse_power(scale[at], BETA) - through_scale;
}
