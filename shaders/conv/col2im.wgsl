// Folds columns back into images, each pixel the sum of what its windows hold of it:
//     grad_input[n, g*C + c, h, w] = sum over u, v, i, j with h = i*stride + u*dilation - top and
//         w = j*stride + v*dilation - left of columns[n, g, (c, u, v), (i, j)]
// with C the channels of a group, and with BIAS bias[g*C + c] more. The second half of the input's
// gradient, and of the transposed convolution, by matrix products.
//
// columns     element (n, g, r, p) at n * column_image + g * column_group + r * column_row + p, with n
//             and g counted from the dispatch's first
// bias        [channels], read only where BIAS
// grad_input  [batch, channels, height, width]
//
// An invocation gathers one pixel, in the order of i and j. DILATED: whether a dilation may differ
// from 1; else no invocation divides in its loops.

// import lib/index.wgsl
// import lib/conv.wgsl

const BIAS: bool = false;
const DILATED: bool = true;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> columns: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// The first window that reaches a place of the padded image.
fn first_window(place: u32, reach: u32, stride: u32) -> u32 {
    return (place - min(place, reach) + stride - 1u) / stride;
}

// The tap that lies `offset` pixels into a window. Only with a dilation may there be none.
fn tap_at(offset: u32, dilation: u32) -> u32 {
    if DILATED {
        return offset / dilation;
    }
    return offset;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let pixels = params.height * params.width;
    let channels = params.group_count * params.group_inputs;
    if index >= params.batch * channels * pixels {
        return;
    }
    let w = index % params.width;
    let h = index / params.width % params.height;
    let c = index / pixels % channels;
    let n = index / pixels / channels;
    let g = c / params.group_inputs;
    let taps = params.kernel_height * params.kernel_width;
    let base = n * params.column_image + g * params.column_group
        + (c - g * params.group_inputs) * taps * params.column_row;

    // The pixel's place in the padded image, and the first window over it.
    let y = h + params.top;
    let x = w + params.left;
    let first_i = first_window(
        y, (params.kernel_height - 1u) * params.dilation_height, params.stride_height);
    let first_j = first_window(
        x, (params.kernel_width - 1u) * params.dilation_width, params.stride_width);
    var sum = 0.0;
    for (var i = first_i; i < params.rows && i * params.stride_height <= y; i += 1u) {
        let offset_y = y - i * params.stride_height;
        let u = tap_at(offset_y, params.dilation_height);
        if DILATED && u * params.dilation_height != offset_y {
            continue;
        }
        for (var j = first_j; j < params.columns && j * params.stride_width <= x; j += 1u) {
            let offset_x = x - j * params.stride_width;
            let v = tap_at(offset_x, params.dilation_width);
            if DILATED && v * params.dilation_width != offset_x {
                continue;
            }
            sum += columns[base + (u * params.kernel_width + v) * params.column_row
                + i * params.columns + j];
        }
    }
    let channel = params.first_group * params.group_inputs + c;
    if BIAS {
        sum += bias[channel];
    }
    grad_input[params.input_start + n * input_image() + channel * pixels + h * params.width + w] = sum;
}
