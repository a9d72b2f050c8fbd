// output[p, y, x] = max of input[p] over the window at (y, x); indices[p, y, x] = where it is.
//
// input    [planes, height, width], planes = batch * channels
// output   [planes, output_height, output_width]
// indices  as output; row * width + column, the first in row-major order of equal values
//
// Windows start at (y * STRIDE_HEIGHT - top, x * STRIDE_WIDTH - left) and are cut to the input: the
// host sees to it that none is cut to nothing. One invocation computes one output element; `items`
// is the number of them. The indices save the backward pass from looking for the maxima again.

// import lib/index.wgsl

const WIDTH: u32 = 64u;
const WINDOW_HEIGHT: u32 = 3u;
const WINDOW_WIDTH: u32 = 3u;
const STRIDE_HEIGHT: u32 = 2u;
const STRIDE_WIDTH: u32 = 2u;

struct Params {
    items: u32,
    height: u32,
    width: u32,
    output_height: u32,
    output_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
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
    let row = i / params.output_width;
    let plane = row / params.output_height;
    // In padded coordinates, in which nothing is negative.
    let y = (row - plane * params.output_height) * STRIDE_HEIGHT;
    let x = (i - row * params.output_width) * STRIDE_WIDTH;
    let first_row = max(y, params.top) - params.top;
    let end_row = min(y + WINDOW_HEIGHT - params.top, params.height);
    let first_column = max(x, params.left) - params.left;
    let end_column = min(x + WINDOW_WIDTH - params.left, params.width);

    let base = plane * params.height * params.width;
    var index = first_row * params.width + first_column;
    var best = input[base + index];
    for (var r = first_row; r < end_row; r++) {
        for (var c = first_column; c < end_column; c++) {
            let at = r * params.width + c;
            let value = input[base + at];
            if value > best {
                best = value;
                index = at;
            }
        }
    }
    output[i] = best;
    indices[i] = index;
}
