// Convolution for a GPU: as forward_direct.wgsl, in tiles of a matrix product that is never stored.
//     output[o, (n, i, j)] = bias[o] + sum over k = (c, u, v) of weight[o, k] *
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
//
// input   [batch, channels, height, width]
// weight  [outputs, C, kernel_height, kernel_width]
// bias    [outputs], read only where BIAS; where RELU, negative results become 0
// output  [batch, outputs, rows, columns]
//
// A workgroup of THREADS computes TILE output channels of one group at TILE pixels, which may be of
// several images, as PRODUCT says. Grid: flattened, tiles as lib/swizzle.wgsl says, then groups. The
// dispatch takes the images and output channels that params names.
// Source: Chetlur et al. 2014, "cuDNN: Efficient primitives for deep learning" (implicit product).

// import lib/index.wgsl
// import lib/conv.wgsl
// import lib/conv_tile.wgsl as PRODUCT
// import lib/swizzle.wgsl

const THREADS: u32 = 256u;
const BIAS: bool = true;
const RELU: bool = false;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// The workgroup's group and first weight, and for each of the thread's columns the group's first channel of
// its image and the window's corner.
var<private> own_group: u32;
var<private> weights: u32;
var<private> image: vec4<u32>;
var<private> corner_y: vec4<u32>;
var<private> corner_x: vec4<u32>;

fn weight_at(row: u32, k: u32) -> f32 {
    if row < params.outputs {
        return weight[weights + row * depth() + k];
    }
    return 0.0;
}

fn fetch_a(row: u32, k: u32, k_end: u32) -> vec4<f32> {
    if k >= k_end {
        return vec4<f32>();
    }
    return vec4(
        weight_at(row, k), weight_at(row + 1u, k), weight_at(row + 2u, k), weight_at(row + 3u, k));
}

fn fetch_b(k: u32, k_end: u32) -> vec4<f32> {
    let row = k / params.kernel_width;
    let v = k - row * params.kernel_width;
    let c = row / params.kernel_height;
    let u = row - c * params.kernel_height;
    let y = corner_y + u * params.dilation_height;
    let x = corner_x + v * params.dilation_width;
    let inside = (y < vec4(params.height)) & (x < vec4(params.width)) & vec4(k < k_end);
    let place = image + (c * params.height + y) * params.width + x;
    let at = select(vec4(0u), place, inside);
    let values = vec4(input[at.x], input[at.y], input[at.z], input[at.w]);
    return select(vec4<f32>(), values, inside);
}

fn put(place: u32, is_past: bool, value: f32) {
    if !is_past {
        output[place] = value;
    }
}

// Writes one channel; `channel` and `place` are those of row 0.
fn finish(row: u32, channel: u32, place: vec4<u32>, past: vec4<bool>, sum: vec4<f32>) {
    if row >= params.outputs {
        return;
    }
    var values = sum;
    if BIAS {
        values += bias[channel + row];
    }
    if RELU {
        values = max(values, vec4<f32>());
    }
    let at = place + row * params.rows * params.columns;
    put(at.x, past.x, values.x);
    put(at.y, past.y, values.y);
    put(at.z, past.z, values.z);
    put(at.w, past.w, values.w);
}

// The images of four columns, from this one on.
fn images_of(column: u32) -> vec4<u32> {
    return (column + vec4(0u, 1u, 2u, 3u)) / (params.rows * params.columns);
}

fn prepare(column: u32) {
    let n = images_of(column);
    let p = column + vec4(0u, 1u, 2u, 3u) - n * params.rows * params.columns;
    let i = p / params.columns;
    let j = p - i * params.columns;
    image = params.input_start + n * input_image()
        + (params.first_group + own_group) * params.group_inputs * params.height * params.width;
    // Outside of the image these wrap to large numbers; a column past the end is outside everywhere.
    let past = n >= vec4(params.batch);
    corner_y = select(i * params.stride_height - params.top, vec4(0x80000000u), past);
    corner_x = j * params.stride_width - params.left;
}

fn finish_block(row: u32, column: u32, sums: mat4x4<f32>) {
    let pixels = params.rows * params.columns;
    let n = images_of(column);
    let p = column + vec4(0u, 1u, 2u, 3u) - n * pixels;
    let past = n >= vec4(params.batch);
    let first = own_group * params.outputs;
    let place = params.output_start + n * params.output_image + first * pixels + p;
    let channel = params.first_group * params.group_outputs + params.first_output + first;
    finish(row, channel, place, past, sums[0]);
    finish(row + 1u, channel, place, past, sums[1]);
    finish(row + 2u, channel, place, past, sums[2]);
    finish(row + 3u, channel, place, past, sums[3]);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = flat_group(group, groups);
    let tiles_n = tiles_of(params.batch * params.rows * params.columns, TILE);
    let tiles_m = tiles_of(params.outputs, TILE);
    let g = flat / (tiles_n * tiles_m);
    if g >= params.group_count {
        return;
    }
    own_group = g;
    weights = params.weight_start + g * params.outputs * depth();
    let tile = tile_at(flat % (tiles_m * tiles_n), tiles_m, tiles_n) * TILE;
    multiply(thread, tile.x, tile.y, 0u, depth());
}
