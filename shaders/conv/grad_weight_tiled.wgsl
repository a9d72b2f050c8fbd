// Parts of the gradient of a convolution's weight for a GPU: as grad_weight_direct.wgsl, in tiles of a
// matrix product that is never stored.
//     sums[q, o, (c, u, v)] = sum over the k = (n, i, j) of part q of grad_output[n, o, i, j] *
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// A part has params.part of the pixels of all images; add_parts.wgsl adds the parts up.
//
// input        [batch, channels, height, width]
// grad_output  [batch, outputs, rows, columns]
// sums         [parts, outputs, C, kernel_height, kernel_width]
//
// A workgroup of THREADS computes one part of TILE output channels of one group by TILE weights, as
// PRODUCT says. Grid: flattened, tiles as lib/swizzle.wgsl says, then groups and parts. The dispatch takes the
// images and output channels that params names.
// Source: Chetlur et al. 2014, "cuDNN: Efficient primitives for deep learning" (implicit product).

// import lib/index.wgsl
// import lib/conv.wgsl
// import lib/conv_tile.wgsl as PRODUCT
// import lib/swizzle.wgsl

const THREADS: u32 = 256u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// The workgroup's group among those of the dispatch, also counted through the parts, and its first output;
// for each of the thread's columns the input channel and the place of its tap in a window at the corner of
// the image.
var<private> own_group: u32;
var<private> own_sums: u32;
var<private> outputs: u32;
var<private> channel: vec4<u32>;
var<private> tap_y: vec4<u32>;
var<private> tap_x: vec4<u32>;

fn grad_at(row: u32, place: u32, pixels: u32) -> f32 {
    if row < params.outputs {
        return grad_output[place + row * pixels];
    }
    return 0.0;
}

fn fetch_a(row: u32, k: u32, k_end: u32) -> vec4<f32> {
    if k >= k_end {
        return vec4<f32>();
    }
    let pixels = params.rows * params.columns;
    let n = k / pixels;
    let place = outputs + n * params.output_image + k - n * pixels;
    return vec4(
        grad_at(row, place, pixels),
        grad_at(row + 1u, place, pixels),
        grad_at(row + 2u, place, pixels),
        grad_at(row + 3u, place, pixels),
    );
}

fn fetch_b(k: u32, k_end: u32) -> vec4<f32> {
    let row = k / params.columns;
    let j = k - row * params.columns;
    let n = row / params.rows;
    let i = row - n * params.rows;
    let y = tap_y + i * params.stride_height;
    let x = tap_x + j * params.stride_width;
    let inside = (y < vec4(params.height)) & (x < vec4(params.width)) & vec4(k < k_end);
    let place = n * input_image() + channel + y * params.width + x;
    let at = select(vec4(0u), place, inside);
    let values = vec4(input[at.x], input[at.y], input[at.z], input[at.w]);
    return select(vec4<f32>(), values, inside);
}

fn put(place: u32, is_past: bool, value: f32) {
    if !is_past {
        sums[place] = value;
    }
}

// Writes one channel; `place` is that of row 0.
fn finish(row: u32, place: vec4<u32>, past: vec4<bool>, sum: vec4<f32>) {
    if row >= params.outputs {
        return;
    }
    let at = place + row * depth();
    put(at.x, past.x, sum.x);
    put(at.y, past.y, sum.y);
    put(at.z, past.z, sum.z);
    put(at.w, past.w, sum.w);
}

fn prepare(first: u32) {
    let column = first + vec4(0u, 1u, 2u, 3u);
    let taps = params.kernel_height * params.kernel_width;
    let c = column / taps;
    let tap = column - c * taps;
    let u = tap / params.kernel_width;
    let v = tap - u * params.kernel_width;
    let first_channel = (params.first_group + own_group) * params.group_inputs;
    channel = params.input_start + (first_channel + c) * params.height * params.width;
    // Outside of the image these wrap to large numbers; a column past the end is outside everywhere.
    let past = column >= vec4(depth());
    tap_y = select(u * params.dilation_height - params.top, vec4(0x80000000u), past);
    tap_x = v * params.dilation_width - params.left;
}

fn finish_block(row: u32, first: u32, sums: mat4x4<f32>) {
    let column = first + vec4(0u, 1u, 2u, 3u);
    let past = column >= vec4(depth());
    let place = own_sums * params.outputs * depth() + column;
    finish(row, place, past, sums[0]);
    finish(row + 1u, place, past, sums[1]);
    finish(row + 2u, place, past, sums[2]);
    finish(row + 3u, place, past, sums[3]);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = flat_group(group, groups);
    let pixels = params.rows * params.columns;
    let tiles_n = tiles_of(depth(), TILE);
    let tiles_m = tiles_of(params.outputs, TILE);
    let g = flat / (tiles_n * tiles_m) % params.group_count;
    let part = flat / (tiles_n * tiles_m * params.group_count);
    let k_start = part * params.part;
    if k_start >= params.batch * pixels {
        return;
    }
    let k_end = min(k_start + params.part, params.batch * pixels);
    own_group = g;
    own_sums = part * params.group_count + g;
    outputs = params.output_start + g * params.outputs * pixels;
    let tile = tile_at(flat % (tiles_m * tiles_n), tiles_m, tiles_n) * TILE;
    multiply(thread, tile.x, tile.y, k_start, k_end);
}
