// grad_input[p, j, i] = sum over the output positions (y, x) that take from (j, i) of
//     weight_y(j) * weight_x(i) * grad_output[p, y, x]:
// the gradient of resample.wgsl, gathered, so that the order of the sum is always the same.
//
// grad_output  [planes, output_height, output_width]
// grad_input   [planes, height, width]
//
// Bound are windows: of grad_input some rows, from params.first_row, and of grad_output those that they need. One
// invocation computes one element of grad_input; `items` is the number of them.

// import lib/index.wgsl
// import lib/resample.wgsl

const MODE_Y: u32 = 1u;
const MODE_X: u32 = 1u;
const WIDTH: u32 = 64u;

struct Params {
    items: u32,
    first_row: u32,
    // Where the bound window starts.
    origin: u32,
    // Where the rows start in what is bound.
    start: u32,
    height: u32,
    output_height: u32,
    p_y: u32,
    q_y: u32,
    r_y: u32,
    d_y: u32,
    top: u32,
    width: u32,
    output_width: u32,
    p_x: u32,
    q_x: u32,
    r_x: u32,
    d_x: u32,
    left: u32,
}

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = flat_thread(global, groups, WIDTH);
    if e >= params.items {
        return;
    }
    let p = params;
    let vertical =
        Line(p.height, p.output_height, p.p_y, p.q_y, p.r_y, p.d_y, p.top);
    let horizontal =
        Line(p.width, p.output_width, p.p_x, p.q_x, p.r_x, p.d_x, p.left);
    let local_row = e / params.width;
    let row = params.first_row + local_row;
    let plane = row / params.height;
    let j = row - plane * params.height;
    let i = e - local_row * params.width;
    let rows = candidates(vertical, MODE_Y, j);
    let columns = candidates(horizontal, MODE_X, i);
    var sum = 0.0;
    for (var s = 0u; s < rows.y; s += 1u) {
        let y = candidate(vertical, MODE_Y, rows.x, s, j);
        let weight_y = share(vertical, MODE_Y, y, j);
        if weight_y == 0.0 {
            continue;
        }
        let start = (plane * params.output_height + y) * params.output_width - params.origin;
        var line_sum = 0.0;
        for (var t = 0u; t < columns.y; t += 1u) {
            let x = candidate(horizontal, MODE_X, columns.x, t, i);
            let weight_x = share(horizontal, MODE_X, x, i);
            if weight_x != 0.0 {
                line_sum += weight_x * grad_output[start + x];
            }
        }
        sum += weight_y * line_sum;
    }
    grad_input[params.start + e] = sum;
}
