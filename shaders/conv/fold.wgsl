// Columns added up into the image that they are patches of (col2im):
//     image[n, g*C + c, h, w] = sum over u, v, i, j with h = i*stride + u*dilation - top and
//         w = j*stride + v*dilation - left of columns[n, g, k, p]
// where k counts over c, u, v and p over i, j.
//
// columns  [batch, groups, C * kernel_height * kernel_width, row_stride]
// image    [batch, channels, height, width]
//
// One invocation takes one element of the image and gathers what belongs to it, in a fixed order.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    batch: u32,
    groups: u32,
    group_inputs: u32,
    height: u32,
    width: u32,
    kernel_height: u32,
    kernel_width: u32,
    rows: u32,
    columns: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    dilation_height: u32,
    dilation_width: u32,
    input_start: u32,
    image_stride: u32,
    group_stride: u32,
    row_stride: u32,
}

@group(0) @binding(0) var<storage, read> columns: array<f32>;
@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    if index >= params.batch * params.groups * params.group_inputs * params.height * params.width {
        return;
    }
    let w = index % params.width;
    let h = index / params.width % params.height;
    let channel = index / (params.width * params.height);
    let c = channel % params.group_inputs;
    let g = channel / params.group_inputs % params.groups;
    let n = channel / params.group_inputs / params.groups;
    let taps = params.kernel_height * params.kernel_width;
    let first = n * params.image_stride + g * params.group_stride + c * taps * params.row_stride;
    var sum = 0.0;
    for (var u = 0u; u < params.kernel_height; u += 1u) {
        // i * stride
        let y = h + params.top - u * params.dilation_height;
        if h + params.top < u * params.dilation_height || y % params.stride_height != 0u
            || y / params.stride_height >= params.rows {
            continue;
        }
        let row = first + u * params.kernel_width * params.row_stride
            + y / params.stride_height * params.columns;
        for (var v = 0u; v < params.kernel_width; v += 1u) {
            // j * stride
            let x = w + params.left - v * params.dilation_width;
            if w + params.left < v * params.dilation_width || x % params.stride_width != 0u
                || x / params.stride_width >= params.columns {
                continue;
            }
            sum += columns[row + v * params.row_stride + x / params.stride_width];
        }
    }
    image[params.input_start + index] = sum;
}
