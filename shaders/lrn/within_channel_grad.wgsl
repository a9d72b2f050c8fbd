// grad_input[p, i, j] = grad_output[p, i, j] * scale[p, i, j]^-BETA
//     - 2 alpha BETA input[p, i, j] * sum of rows[p, u, j] over the rows u of the window around i,
// the windows turned around: those positions whose window holds i, j.
//
// input        [planes, height, width], from params.start
// rows         as input: the sums along rows, from rows_of_ratios.wgsl
// scale        as input, the base of the power from the forward pass
// grad_output  as input
// grad_input   as input
//
// One invocation computes one element; `items` is the number of them.

// import lib/index.wgsl
// import lib/inverse_power.wgsl
// import lib/lrn_window.wgsl

const WIDTH: u32 = 64u;
const BETA: f32 = 0.75;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> grad_output: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = flat_thread(global, groups, WIDTH);
    if at >= params.items {
        return;
    }
    let here = params.start + at;
    let i = at / params.width % params.height;
    let around = window(i, params.height);
    var sum = 0.0;
    for (var u = around.x; u < around.y; u += 1u) {
        sum += rows[at - i * params.width + u * params.width];
    }
    let through_scale = 2.0 * params.alpha * BETA * input[here] * sum;
    grad_input[here] = grad_output[here] * inverse_power(scale[here], BETA) - through_scale;
}
