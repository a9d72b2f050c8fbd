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
    let row = i / params.width;
    let plane = row / params.height;
    let y = row - plane * params.height;
    let x = i - row * params.width;
    let rows = windows_over_row(y);
    let columns = windows_over_column(x);

    let base = plane * params.output_height * params.output_width;
    let here = y * params.width + x;
    var sum = 0.0;
    for (var r = rows.x; r < rows.y; r++) {
        for (var c = columns.x; c < columns.y; c++) {
            let o = base + r * params.output_width + c;
            if indices[o] == here {
                sum += grad_output[o];
            }
        }
    }
    grad_input[i] = sum;
}
