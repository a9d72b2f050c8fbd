// output[p, y, x] = max of input[p] over the window at (y, x); indices[p, y, x] = where it is.
//
// input    [planes, height, width], planes = batch * channels
// output   [planes, output_height, output_width]
// indices  as output; row * width + column, the first in row-major order of equal values
//
// A NaN is larger than any number, and of several the last counts, as in PyTorch. Windows are cut to
// the input: the host sees to it that none is cut to nothing. One invocation computes one output
// element; `items` is the number of them. The indices save the backward pass from looking for the
// maxima again.

// import lib/index.wgsl
// import lib/nan.wgsl
// import lib/windows.wgsl

const WIDTH: u32 = 64u;

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
    let row = i / OUTPUT_WIDTH;
    let plane = row / OUTPUT_HEIGHT;
    let rows = rows_of(row - plane * OUTPUT_HEIGHT);
    let columns = columns_of(i - row * OUTPUT_WIDTH);

    let base = plane * INPUT_HEIGHT * INPUT_WIDTH;
    var index = rows.x * INPUT_WIDTH + columns.x;
    var best = input[base + index];
    var is_number = !is_nan(best);
    // How often is known: drivers unroll that.
    let height = select(WINDOW_HEIGHT, rows.y - rows.x, ADAPTIVE);
    let width = select(WINDOW_WIDTH, columns.y - columns.x, ADAPTIVE);
    for (var u = 0u; u < height; u++) {
        for (var v = 0u; v < width; v++) {
            let r = rows.x + u * DILATION_HEIGHT;
            let c = columns.x + v * DILATION_WIDTH;
            if r >= rows.y || c >= columns.y {
                continue;
            }
            let at = r * INPUT_WIDTH + c;
            let value = input[base + at];
            let is_value_nan = is_nan(value);
            if is_value_nan || (is_number && value > best) {
                best = value;
                index = at;
                is_number = !is_value_nan;
            }
        }
    }
    output[i] = best;
    indices[i] = index;
}
