// Unfolds images into columns, so that a convolution becomes a matrix product:
//     columns[n, g, (c, u, v), (i, j)] =
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// with C the channels of a group, and input 0 outside the image.
//
// input    [batch, channels, height, width]
// columns  element (n, g, r, p) at n * column_image + g * column_group + r * column_row + p, with n
//          and g counted from the dispatch's first; what lies between is left alone
//
// An invocation takes one channel of one output pixel, and writes its value under every tap of the
// kernel; neighbours write side by side. Kernel of one tap: the images are copied to their places.
// Source: Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for
// document processing".

// import lib/index.wgsl
// import lib/conv.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> columns: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let pixels = params.rows * params.columns;
    let channels = params.group_count * params.group_inputs;
    if index >= params.batch * channels * pixels {
        return;
    }
    let p = index % pixels;
    let i = p / params.columns;
    let j = p - i * params.columns;
    let c = index / pixels % channels;
    let n = index / pixels / channels;
    let g = c / params.group_inputs;

    let channel = params.input_start + n * input_image()
        + (params.first_group * params.group_inputs + c) * params.height * params.width;
    let taps = params.kernel_height * params.kernel_width;
    var place = n * params.column_image + g * params.column_group
        + (c - g * params.group_inputs) * taps * params.column_row + p;
    for (var u = 0u; u < params.kernel_height; u += 1u) {
        // Above the image this wraps to a large number, which is not less than the height either.
        let y = i * params.stride_height + u * params.dilation_height - params.top;
        for (var v = 0u; v < params.kernel_width; v += 1u) {
            let x = j * params.stride_width + v * params.dilation_width - params.left;
            var value = 0.0;
            if y < params.height && x < params.width {
                value = input[channel + y * params.width + x];
            }
            columns[place] = value;
            place += params.column_row;
        }
    }
}
