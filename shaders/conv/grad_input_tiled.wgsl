// The gradient of a convolution's input for a GPU: as grad_input_direct.wgsl, in tiles of a matrix
// product that is never stored.
//     grad_input[c, (n, h, w)] = sum over k = (o, u, v) of weight[o, c, u, v] * grad_output[n, o, i, j]
//         with h = i*stride + u*dilation - top and w = j*stride + v*dilation - left, where there are
//         such i and j
// and with BIAS bias[c] more: the transposed convolution.
//
// grad_output  [batch, outputs, rows, columns]
// weight       [outputs, C, kernel_height, kernel_width]
// bias         [channels], read only where BIAS
// grad_input   [batch, channels, height, width]
//
// A workgroup of THREADS computes TILE input channels of one group at TILE pixels, which may be of
// several images, as PRODUCT says. Grid: flattened, tiles as lib/swizzle.wgsl says, then groups. The
// dispatch takes the images and output channels that params names, and the input channels of their
// groups. Where the outputs of a group are spread over several dispatches, all but the first accumulate.
// STRIDED: whether a stride may differ from 1; else nothing is divided by it.
// Source: Chetlur et al. 2014, "cuDNN: Efficient primitives for deep learning" (implicit product).

// import lib/index.wgsl
// import lib/conv.wgsl
// import lib/conv_tile.wgsl as PRODUCT
// import lib/swizzle.wgsl

const THREADS: u32 = 256u;
const BIAS: bool = false;
const STRIDED: bool = true;

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// The workgroup's group and first weight, and for each of the thread's columns the group's first output of
// its image and the pixel's place in the padded image.
var<private> own_group: u32;
var<private> weights: u32;
var<private> image: vec4<u32>;
var<private> padded_y: vec4<u32>;
var<private> padded_x: vec4<u32>;

fn weight_at(row: u32, place: u32, taps: u32) -> f32 {
    if row < params.group_inputs {
        return weight[place + row * taps];
    }
    return 0.0;
}

fn fetch_a(row: u32, k: u32, k_end: u32) -> vec4<f32> {
    if k >= k_end {
        return vec4<f32>();
    }
    let taps = params.kernel_height * params.kernel_width;
    let o = k / taps;
    let place = weights + o * depth() + k - o * taps;
    return vec4(
        weight_at(row, place, taps),
        weight_at(row + 1u, place, taps),
        weight_at(row + 2u, place, taps),
        weight_at(row + 3u, place, taps),
    );
}

fn fetch_b(k: u32, k_end: u32) -> vec4<f32> {
    let row = k / params.kernel_width;
    let v = k - row * params.kernel_width;
    let o = row / params.kernel_height;
    let u = row - o * params.kernel_height;
    let above = vec4(u * params.dilation_height);
    let before = vec4(v * params.dilation_width);
    var i = padded_y - above;
    var j = padded_x - before;
    var inside = (padded_y >= above) & (padded_x >= before) & vec4(k < k_end);
    if STRIDED {
        let y = i;
        let x = j;
        i = y / params.stride_height;
        j = x / params.stride_width;
        inside = inside & (i * params.stride_height == y) & (j * params.stride_width == x);
    }
    inside = inside & (i < vec4(params.rows)) & (j < vec4(params.columns));
    let place = image + (o * params.rows + i) * params.columns + j;
    let at = select(vec4(0u), place, inside);
    let values = vec4(grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
    return select(vec4<f32>(), values, inside);
}

fn put(place: u32, is_past: bool, value: f32) {
    if is_past {
        return;
    }
    if params.accumulate != 0u {
        grad_input[place] += value;
    } else {
        grad_input[place] = value;
    }
}

// Writes one channel; `channel` and `place` are those of row 0.
fn finish(row: u32, channel: u32, place: vec4<u32>, past: vec4<bool>, sum: vec4<f32>) {
    if row >= params.group_inputs {
        return;
    }
    var values = sum;
    if BIAS && params.accumulate == 0u {
        values += bias[channel + row];
    }
    let at = place + row * params.height * params.width;
    put(at.x, past.x, values.x);
    put(at.y, past.y, values.y);
    put(at.z, past.z, values.z);
    put(at.w, past.w, values.w);
}

// The images of four columns, from this one on.
fn images_of(column: u32) -> vec4<u32> {
    return (column + vec4(0u, 1u, 2u, 3u)) / (params.height * params.width);
}

fn prepare(column: u32) {
    let n = images_of(column);
    let p = column + vec4(0u, 1u, 2u, 3u) - n * params.height * params.width;
    let h = p / params.width;
    let w = p - h * params.width;
    image = params.output_start + n * params.output_image
        + own_group * params.outputs * params.rows * params.columns;
    // A column past the end lies below every window.
    let past = n >= vec4(params.batch);
    padded_y = select(h + params.top, vec4(0xffffffffu), past);
    padded_x = w + params.left;
}

fn finish_block(row: u32, column: u32, sums: mat4x4<f32>) {
    let pixels = params.height * params.width;
    let n = images_of(column);
    let p = column + vec4(0u, 1u, 2u, 3u) - n * pixels;
    let past = n >= vec4(params.batch);
    let channel = (params.first_group + own_group) * params.group_inputs;
    let place = params.input_start + n * input_image() + channel * pixels + p;
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
    let tiles_n = tiles_of(params.batch * params.height * params.width, TILE);
    let tiles_m = tiles_of(params.group_inputs, TILE);
    let g = flat / (tiles_n * tiles_m);
    if g >= params.group_count {
        return;
    }
    own_group = g;
    weights = params.weight_start + g * params.outputs * depth();
    let k_end = params.outputs * params.kernel_height * params.kernel_width;
    let tile = tile_at(flat % (tiles_m * tiles_n), tiles_m, tiles_n) * TILE;
    multiply(thread, tile.x, tile.y, 0u, k_end);
}
