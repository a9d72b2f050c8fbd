// Patches of images as columns of matrices (im2col; Chellapilla, Puri & Simard 2006, "High performance
// convolutional neural networks for document processing"):
//     columns[n, g, k, p] = input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// where k counts over c, u, v and p over i, j; 0 outside the image.
//
// input    [batch, channels, height, width]
// columns  element (n, g, k, p) is at n * image_stride + g * group_stride + k * row_stride + p. Rows are
//          padded with zeros to whole vectors of four, and every stride is a multiple of four.
//
// One invocation writes one vector: four pixels of one row.

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

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> columns: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

// The element that a pixel of the output reads, or 0 outside the image.
fn tap(channel: u32, u: u32, v: u32, i: u32, j: u32) -> f32 {
    // Above the image this wraps to a large number, which is not less than the height either.
    let y = i * params.stride_height + u * params.dilation_height - params.top;
    let x = j * params.stride_width + v * params.dilation_width - params.left;
    if i < params.rows && y < params.height && x < params.width {
        return input[channel + y * params.width + x];
    }
    return 0.0;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let vectors = (params.rows * params.columns + 3u) / 4u;
    let depth = params.group_inputs * params.kernel_height * params.kernel_width;
    if index >= params.batch * params.groups * depth * vectors {
        return;
    }
    let p = index % vectors * 4u;
    let k = index / vectors % depth;
    let g = index / vectors / depth % params.groups;
    let n = index / vectors / depth / params.groups;
    let c = k / (params.kernel_width * params.kernel_height);
    let u = k / params.kernel_width % params.kernel_height;
    let v = k % params.kernel_width;
    let channel = params.input_start
        + ((n * params.groups + g) * params.group_inputs + c) * params.height * params.width;
    // The four pixels, which may lie in several rows.
    let i0 = p / params.columns;
    let j0 = p % params.columns;
    let i1 = select(i0, i0 + 1u, j0 + 1u == params.columns);
    let j1 = select(j0 + 1u, 0u, j0 + 1u == params.columns);
    let i2 = select(i1, i1 + 1u, j1 + 1u == params.columns);
    let j2 = select(j1 + 1u, 0u, j1 + 1u == params.columns);
    let i3 = select(i2, i2 + 1u, j2 + 1u == params.columns);
    let j3 = select(j2 + 1u, 0u, j2 + 1u == params.columns);
    let vector = vec4(
        tap(channel, u, v, i0, j0),
        tap(channel, u, v, i1, j1),
        tap(channel, u, v, i2, j2),
        tap(channel, u, v, i3, j3),
    );
    columns[(n * params.image_stride + g * params.group_stride + k * params.row_stride + p) / 4u] = vector;
}
