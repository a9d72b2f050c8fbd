// output[p, y, x] = sum of input[p] over the window at (y, x) / divisor(y, x).
//
// input   [planes, height, width], planes = batch * channels
// output  [planes, output_height, output_width]
//
// Windows are cut to the input; lib/average.wgsl says what the divisor is. One invocation computes one
// output element; `items` is the number of them.

// import lib/index.wgsl
// import lib/windows.wgsl
// import lib/average.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.items {
        return;
    }
    let output_row = i / OUTPUT_WIDTH;
    let plane = output_row / OUTPUT_HEIGHT;
    let window_row = output_row - plane * OUTPUT_HEIGHT;
    let window_column = i - output_row * OUTPUT_WIDTH;
    let rows = rows_of(window_row);
    let columns = columns_of(window_column);

    let base = plane * INPUT_HEIGHT * INPUT_WIDTH;
    var sum = 0.0;
    // How often is known: drivers unroll that.
    let height = select(WINDOW_HEIGHT, rows.y - rows.x, ADAPTIVE);
    let width = select(WINDOW_WIDTH, columns.y - columns.x, ADAPTIVE);
    for (var u = 0u; u < height; u++) {
        for (var v = 0u; v < width; v++) {
            let r = rows.x + u;
            let c = columns.x + v;
            if r >= rows.y || c >= columns.y {
                continue;
            }
            sum += input[base + r * INPUT_WIDTH + c];
        }
    }
    output[i] = sum / divisor(window_row, window_column);
}
