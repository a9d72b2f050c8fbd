// grad_input[p, y, x] = sum of grad_output[p, o] / divisor(o) over the windows o that cover (y, x).
//
// grad_output  [planes, output_height, output_width], planes = batch * channels
// grad_input   [planes, height, width]
//
// The divisor is the number of positions in the window, with COUNT_PADDING those in the padding too.
// One invocation computes one element of grad_input, from the windows in row-major order: no
// atomics, and the same sum every time. `items` is the number of elements.

// import lib/index.wgsl
// import lib/windows.wgsl

const WIDTH: u32 = 64u;
const COUNT_PADDING: bool = true;

struct Params {
    items: u32,
    height: u32,
    width: u32,
    output_height: u32,
    output_width: u32,
    window_height: u32,
    window_width: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
}

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn divisor(window_row: u32, window_column: u32) -> f32 {
    let rows = counted(
        window_row * params.stride_height,
        params.window_height,
        params.top,
        params.height,
        params.bottom,
        COUNT_PADDING,
    );
    let columns = counted(
        window_column * params.stride_width,
        params.window_width,
        params.left,
        params.width,
        params.right,
        COUNT_PADDING,
    );
    return f32(rows * columns);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.items {
        return;
    }
    let row = i / params.width;
    let plane = row / params.height;
    let y = row - plane * params.height + params.top;
    let x = i - row * params.width + params.left;
    let rows = covering(y, params.window_height, params.stride_height, params.output_height);
    let columns = covering(x, params.window_width, params.stride_width, params.output_width);

    let base = plane * params.output_height * params.output_width;
    var sum = 0.0;
    for (var r = rows.x; r < rows.y; r++) {
        for (var c = columns.x; c < columns.y; c++) {
            sum += grad_output[base + r * params.output_width + c] / divisor(r, c);
        }
    }
    grad_input[i] = sum;
}
