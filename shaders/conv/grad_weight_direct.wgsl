// Parts of the gradient of a convolution's weight, one invocation for each element of each part:
//     sums[p, o, c, u, v] = sum over the rows r of part p and over j of grad_output[n, o, i, j] *
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// where r = n * rows + i counts the output rows of all images; a part has params.part of them. It
// follows the formula and is the kernel to read first; add_parts.wgsl adds the parts up.
//
// input        [batch, channels, height, width]
// grad_output  [batch, outputs, rows, columns]
// sums         [parts, outputs, C, kernel_height, kernel_width]
//
// The dispatch takes the images and output channels that params names.

// import lib/index.wgsl
// import lib/conv.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let outputs = params.group_count * params.outputs;
    let all_rows = params.batch * params.rows;
    let first_row = index / (outputs * depth()) * params.part;
    if first_row >= all_rows {
        return;
    }
    let v = index % params.kernel_width;
    let u = index / params.kernel_width % params.kernel_height;
    let c = index / (params.kernel_width * params.kernel_height) % params.group_inputs;
    let o = index / depth() % outputs;
    let channel = (group_of(o) * params.group_inputs + c) * params.height * params.width;

    var sum = 0.0;
    for (var r = first_row; r < min(first_row + params.part, all_rows); r += 1u) {
        let n = r / params.rows;
        let i = r % params.rows;
        // Above the image this wraps to a large number, which is not less than the height either.
        let y = i * params.stride_height + u * params.dilation_height - params.top;
        if y >= params.height {
            continue;
        }
        let image_row = params.input_start + n * input_image() + channel + y * params.width;
        let grad = params.output_start + n * params.output_image
            + (o * params.rows + i) * params.columns;
        for (var j = 0u; j < params.columns; j += 1u) {
            let x = j * params.stride_width + v * params.dilation_width - params.left;
            if x < params.width {
                sum += grad_output[grad + j] * input[image_row + x];
            }
        }
    }
    sums[index] = sum;
}
