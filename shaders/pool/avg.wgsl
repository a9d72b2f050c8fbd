// output[p, y, x] = sum of input[p] over the window at (y, x) / divisor(y, x).
//
// input   [planes, height, width], planes = batch * channels
// output  [planes, output_height, output_width]
//
// Windows start at (y * stride_height - top, x * stride_width - left) and are cut to the input. The
// divisor is the number of positions in the window, with COUNT_PADDING those in the padding too. One
// invocation computes one output element; `items` is the number of them.

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

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
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
    let output_row = i / params.output_width;
    let plane = output_row / params.output_height;
    let window_row = output_row - plane * params.output_height;
    let window_column = i - output_row * params.output_width;
    // In padded coordinates, in which nothing is negative.
    let y = window_row * params.stride_height;
    let x = window_column * params.stride_width;
    let first_row = max(y, params.top) - params.top;
    let end_row = min(y + params.window_height - params.top, params.height);
    let first_column = max(x, params.left) - params.left;
    let end_column = min(x + params.window_width - params.left, params.width);

    let base = plane * params.height * params.width;
    var sum = 0.0;
    for (var r = first_row; r < end_row; r++) {
        for (var c = first_column; c < end_column; c++) {
            sum += input[base + r * params.width + c];
        }
    }
    output[i] = sum / divisor(window_row, window_column);
}
