// grad_input[p, i] = sum of grad_output[p, o] over the windows o with indices[p, o] = i.
//
// indices      [planes, output_height, output_width], planes = batch * channels
// grad_output  as indices
// grad_input   [planes, height, width]
//
// One invocation computes one element of grad_input and looks only at the windows that reach over it,
// in row-major order: no atomics, and the same sum every time. `items` is the number of elements.

// import lib/index.wgsl
// import lib/windows.wgsl

const WIDTH: u32 = 64u;
// The most windows that reach over one position.
const MOST_HEIGHT = (WINDOW_HEIGHT - 1u) * DILATION_HEIGHT / STRIDE_HEIGHT + 1u;
const MOST_WIDTH = (WINDOW_WIDTH - 1u) * DILATION_WIDTH / STRIDE_WIDTH + 1u;

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;
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
    let row = i / INPUT_WIDTH;
    let plane = row / INPUT_HEIGHT;
    let y = row - plane * INPUT_HEIGHT;
    let x = i - row * INPUT_WIDTH;
    let rows = windows_over_row(y);
    let columns = windows_over_column(x);

    let base = plane * OUTPUT_HEIGHT * OUTPUT_WIDTH;
    let here = y * INPUT_WIDTH + x;
    var sum = 0.0;
    // How often is known: drivers unroll that.
    let height = select(MOST_HEIGHT, rows.y - rows.x, ADAPTIVE);
    let width = select(MOST_WIDTH, columns.y - columns.x, ADAPTIVE);
    for (var u = 0u; u < height; u++) {
        for (var v = 0u; v < width; v++) {
            let r = rows.x + u;
            let c = columns.x + v;
            if r >= rows.y || c >= columns.y {
                continue;
            }
            let o = base + r * OUTPUT_WIDTH + c;
            if indices[o] == here {
                sum += grad_output[o];
            }
        }
    }
    grad_input[i] = sum;
}
