// grad_input[p, y, x] = sum of grad_output[p, o] / divisor(o) over the windows o that cover (y, x).
//
// grad_output  [planes, output_height, output_width], planes = batch * channels
// grad_input   [planes, height, width]
//
// lib/average.wgsl says what the divisor is. One invocation computes one element of grad_input, from
// the windows in row-major order: no atomics, and the same sum every time. `items` is the number of
// elements.

// import lib/index.wgsl
// import lib/windows.wgsl
// import lib/average.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read_write> grad_input: array<f32>;
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
    let row = i / INPUT_WIDTH;
    let plane = row / INPUT_HEIGHT;
    let rows = windows_over_row(row - plane * INPUT_HEIGHT);
    let columns = windows_over_column(i - row * INPUT_WIDTH);

    let base = plane * OUTPUT_HEIGHT * OUTPUT_WIDTH;
    var sum = 0.0;
    // How often is known: drivers unroll that.
    let height = select((WINDOW_HEIGHT - 1u) / STRIDE_HEIGHT + 1u, rows.y - rows.x, ADAPTIVE);
    let width = select((WINDOW_WIDTH - 1u) / STRIDE_WIDTH + 1u, columns.y - columns.x, ADAPTIVE);
    for (var u = 0u; u < height; u++) {
        for (var v = 0u; v < width; v++) {
            let r = rows.x + u;
            let c = columns.x + v;
            if r >= rows.y || c >= columns.y {
                continue;
            }
            sum += grad_output[base + r * OUTPUT_WIDTH + c] / divisor(r, c);
        }
    }
    grad_input[i] = sum;
}
