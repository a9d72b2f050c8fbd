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
// A workgroup of 256 threads computes 64 input channels of one group at 64 pixels, which may be of
// several images; a thread 4 channels at 4 pixels. Grid: flattened, pixels fastest, then channels,
// then groups. The dispatch takes the images and output channels that params names, and the input
// channels of their groups. Where the outputs of a group are spread over several dispatches, all but
// the first accumulate. STRIDED: whether a stride may differ from 1; else nothing is divided by it.
// Source: Chetlur et al. 2014, "cuDNN: Efficient primitives for deep learning" (implicit product).

// import lib/index.wgsl
// import lib/conv.wgsl
// import lib/conv_tile.wgsl

const BIAS: bool = false;
const STRIDED: bool = true;

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// The workgroup's first weight, and for each of the thread's columns the group's first output of its
// image and the pixel's place in the padded image.
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

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = flat_group(group, groups);
    let pixels = params.height * params.width;
    let tiles_n = tiles(params.batch * pixels);
    let tiles_m = tiles(params.group_inputs);
    let g = flat / (tiles_n * tiles_m);
    if g >= params.group_count {
        return;
    }
    let first_row = flat / tiles_n % tiles_m * TILE;
    let column = flat % tiles_n * TILE + thread % 16u * 4u + vec4(0u, 1u, 2u, 3u);
    let n = column / pixels;
    let p = column - n * pixels;
    let h = p / params.width;
    let w = p - h * params.width;

    weights = params.weight_start + g * params.outputs * depth();
    image = params.output_start + n * params.output_image
        + g * params.outputs * params.rows * params.columns;
    // A column past the end lies below every window.
    let past = n >= vec4(params.batch);
    padded_y = select(h + params.top, vec4(0xffffffffu), past);
    padded_x = w + params.left;
    let k_end = params.outputs * params.kernel_height * params.kernel_width;
    let sum = multiply(thread, first_row, 0u, k_end);

    let row = first_row + thread / 16u * 4u;
    let channel = (params.first_group + g) * params.group_inputs;
    let place = params.input_start + n * input_image() + channel * pixels + p;
    finish(row, channel, place, past, sum[0]);
    finish(row + 1u, channel, place, past, sum[1]);
    finish(row + 2u, channel, place, past, sum[2]);
    finish(row + 3u, channel, place, past, sum[3]);
}
