// output[p, i, j] = input[p, i, j] * scale[p, i, j]^-BETA, with
// scale[p, i, j] = k + alpha * sum of rows[p, u, j] over the rows u of the window around i.
//
// input   [planes, height, width], from params.start
// rows    as input: the sums of squares along rows, from rows_of_squares.wgsl
// output  as input
// scale   as input; kept for the backward pass
//
// One invocation computes one element; `items` is the number of them. `alpha` already has the division by
// the window's size where the convention wants it.
//
// Source: cuda-convnet, rnorm and cnorm.

// import lib/index.wgsl
// import lib/inverse_power.wgsl
// import lib/lrn_window.wgsl

const WIDTH: u32 = 64u;
const BETA: f32 = 0.75;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

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
    var squares = 0.0;
    for (var u = around.x; u < around.y; u += 1u) {
        squares += rows[at - i * params.width + u * params.width];
    }
    let s = params.k + params.alpha * squares;
    output[here] = input[here] * inverse_power(s, BETA);
    scale[here] = s;
}
