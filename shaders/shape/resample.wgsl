// output[p, y, x] = sum over the input positions (j, i) that (y, x) takes from of
//     weight_y(j) * weight_x(i) * input[p, j, i]:
// upsampling and padding of the last two axes. lib/resample.wgsl says how lines are mapped.
//
// input   [planes, height, width]
// output  [planes, output_height, output_width]
//
// Bound are windows: of output some rows, from params.first_row, and of input those that they need. One
// invocation computes one output element; `items` is the number of them.

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

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
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
    let local_row = e / params.output_width;
    let row = params.first_row + local_row;
    let plane = row / params.output_height;
    let y = taps(vertical, MODE_Y, row - plane * params.output_height);
    let x = taps(horizontal, MODE_X, e - local_row * params.output_width);
    let upper = (plane * params.height + y.first) * params.width - params.origin;
    var value = input[upper + x.first];
    if MODE_X == LINEAR {
        value = (1.0 - x.weight) * value + x.weight * input[upper + x.second];
    }
    if MODE_Y == LINEAR {
        let lower = (plane * params.height + y.second) * params.width - params.origin;
        var below = input[lower + x.first];
        if MODE_X == LINEAR {
            below = (1.0 - x.weight) * below + x.weight * input[lower + x.second];
        }
        value = (1.0 - y.weight) * value + y.weight * below;
    }
    output[params.start + e] = value;
}
