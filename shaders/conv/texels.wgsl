// Convolution for a CPU that runs Vulkan with 8-lane subgroups (lavapipe), on packed texels: an implicit
// matrix product [rows, taps * channels] x [taps * channels, pixels], without a matrix of columns.
//     sum[r, p] = sum_(i, j, c) weight[r, i, j, c] * image[y + i, x + j, c]     p = (n, y, x)
// Such a driver has vector code for texels, not for buffers. A texel holds four channels, so the four
// texels of a lane's four pixels are a 4 x 4 block of the columns, and the images' padding and stride cost
// nothing within the loop. The same kernel computes the output and the input's gradient: see
// pack_weight.wgsl.
//
// weight  [groups, rows, taps, quads] texels; texel i at column i % 2^SHIFT of row i / 2^SHIFT
// image   [images, groups, packed_height, packed_width, quads] texels, likewise
// bias    [groups * channels], from 0 on; unread unless BIAS; where RELU, negative results become 0
// result  [images, groups * channels, height, width] from `result_start` on, images `result_image` apart:
//         row r is a channel of one phase (`phased`, lib/texel_conv.wgsl) of the pixel (y + first_y, x + first_x),
//         whose first pixel is at (-top, -left)
//
// The texels of the taps of a pixel lie in `runs` runs of `run` texels each; run u starts
// u / run_columns * step_y + u % run_columns * step_x texels after the pixel. Phases that lack the last row or column of taps
// lack the first run or the first tap of a run here, since taps come from last to first.
//
// Workgroup: 8 lanes of one subgroup, TILE_M rows x 32 pixels of one group. Lane: TILE_M rows x 4 pixels.
// A dispatch takes the rows first_row .. end_row. Grid: flattened, ceil(those / TILE_M) * ceil(pixels / 32) *
// groups, rows fastest.
const SCALE_Y: u32 = 1u;
const SCALE_X: u32 = 1u;
const WHOLE_Y: u32 = 1u;
const WHOLE_X: u32 = 1u;
const CHANNELS: u32 = 1u;
const TILE_M: u32 = 32u;
const SHIFT: u32 = 10u;
const BIAS: bool = false;
const RELU: bool = false;

@group(0) @binding(0) var weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var image: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Params {
    images: u32,
    groups: u32,
    rows: u32,
    first_row: u32,
    end_row: u32,
    pixel_rows: u32,
    pixel_columns: u32,
    packed_height: u32,
    packed_width: u32,
    quads: u32,
    stride_y: u32,
    stride_x: u32,
    runs: u32,
    run: u32,
    run_columns: u32,
    step_y: u32,
    step_x: u32,
    channels: u32,
    height: u32,
    width: u32,
    first_y: u32,
    first_x: u32,
    top: u32,
    left: u32,
    result_start: u32,
    result_image: u32,
}

// import lib/subgroup_tile.wgsl
// import lib/texel_conv.wgsl

const SCALE = vec2(SCALE_Y, SCALE_X);
const WHOLE = vec2(WHOLE_Y, WHOLE_X);

fn weight_at(i: u32) -> vec4<f32> {
    return textureLoad(weight, vec2(i & ((1u << SHIFT) - 1u), i >> SHIFT));
}

fn image_at(i: u32) -> vec4<f32> {
    return textureLoad(image, vec2(i & ((1u << SHIFT) - 1u), i >> SHIFT));
}

// The image, row and column of a pixel; the last one's for those past the end.
fn pixel_of(index: u32) -> vec3<u32> {
    let pixels = params.pixel_rows * params.pixel_columns;
    let p = min(index, params.images * pixels - 1u);
    return vec3(p / pixels, p / params.pixel_columns % params.pixel_rows, p % params.pixel_columns);
}

// The first texel of the window of a pixel.
fn window_of(group: u32, pixel: vec3<u32>) -> u32 {
    let plane = pixel.x * params.groups + group;
    let y = plane * params.packed_height + pixel.y * params.stride_y;
    return (y * params.packed_width + pixel.z * params.stride_x) * params.quads;
}

// Where a tile goes: its first row, the first channel of its group, and of each of the lane's pixels the place in
// channel 0 of the result, the row and the column. These wrap around below zero; a pixel past the last is
// below the last row.
var<private> tile_row: u32;
var<private> first_channel: u32;
var<private> places: vec4<u32>;
var<private> ys: vec4<u32>;
var<private> xs: vec4<u32>;

fn place_of(pixel: vec3<u32>, is_pixel: bool) -> vec3<u32> {
    let first = vec2(params.first_y, params.first_x);
    let at = (pixel.yz + first) * SCALE - vec2(params.top, params.left);
    let place = params.result_start + pixel.x * params.result_image + at.x * params.width + at.y;
    return vec3(place, select(params.height, at.x, is_pixel), at.y);
}

// Stores a row of the tile for those pixels that the result has.
fn finish_part(row: u32, sums: vec4<f32>, are_all: bool) {
    let part = phased(tile_row + row, CHANNELS, SCALE, WHOLE);
    let channel = first_channel + part.x;
    var totals = sums;
    if BIAS {
        totals += bias[channel];
    }
    if RELU {
        totals = max(totals, vec4<f32>());
    }
    let at = places + (channel * params.height + part.y) * params.width + part.z;
    if are_all {
        result[at.x] = totals.x;
        result[at.y] = totals.y;
        result[at.z] = totals.z;
        result[at.w] = totals.w;
        return;
    }
    let is_inside = (ys + part.y < vec4(params.height)) & (xs + part.z < vec4(params.width));
    if is_inside.x {
        result[at.x] = totals.x;
    }
    if is_inside.y {
        result[at.y] = totals.y;
    }
    if is_inside.z {
        result[at.z] = totals.z;
    }
    if is_inside.w {
        result[at.w] = totals.w;
    }
}

fn finish_row(row: u32, sums: vec4<f32>) {
    finish_part(row, sums, SCALE_Y == 1u && SCALE_X == 1u);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = wid.x + wid.y * groups.x;
    let pixels = params.images * params.pixel_rows * params.pixel_columns;
    let tiles_m = (params.end_row - params.first_row + TILE_M - 1u) / TILE_M;
    let tiles_n = (pixels + 31u) / 32u;
    let row = params.first_row + flat % tiles_m * TILE_M;
    let first = flat / tiles_m % tiles_n * 32u + lane * 4u;
    let group = flat / (tiles_m * tiles_n);
    if group >= params.groups {
        return;
    }
    let p0 = pixel_of(first);
    let p1 = pixel_of(first + 1u);
    let p2 = pixel_of(first + 2u);
    let p3 = pixel_of(first + 3u);
    let i0 = window_of(group, p0);
    let i1 = window_of(group, p1);
    let i2 = window_of(group, p2);
    let i3 = window_of(group, p3);
    let depth = params.runs * params.run;
    let last = params.rows - 1u;
    let w0 = (group * params.rows + min(row + lane * 4u, last)) * depth;
    let w1 = (group * params.rows + min(row + lane * 4u + 1u, last)) * depth;
    let w2 = (group * params.rows + min(row + lane * 4u + 2u, last)) * depth;
    let w3 = (group * params.rows + min(row + lane * 4u + 3u, last)) * depth;

    // The taps that the first row lacks before its first one, the others lack too.
    let lacks = phased(row, CHANNELS, SCALE, WHOLE).yz >= WHOLE;
    var t = select(0u, params.quads, lacks.y);
    for (var u = u32(lacks.x); u < params.runs; u += 1u) {
        let there = u / params.run_columns * params.step_y + u % params.run_columns * params.step_x;
        let tap = u * params.run;
        for (; t < params.run; t += 1u) {
            let w = tap + t;
            let i = there + t;
            multiply_add(
                mat4x4(weight_at(w0 + w), weight_at(w1 + w), weight_at(w2 + w), weight_at(w3 + w)),
                transpose(mat4x4(image_at(i0 + i), image_at(i1 + i), image_at(i2 + i), image_at(i3 + i))),
            );
        }
        t = 0u;
    }

    tile_row = row;
    first_channel = group * params.channels;
    let to0 = place_of(p0, first < pixels);
    let to1 = place_of(p1, first + 1u < pixels);
    let to2 = place_of(p2, first + 2u < pixels);
    let to3 = place_of(p3, first + 3u < pixels);
    places = vec4(to0.x, to1.x, to2.x, to3.x);
    ys = vec4(to0.y, to1.y, to2.y, to3.y);
    xs = vec4(to0.z, to1.z, to2.z, to3.z);
    // Without a scale the result has every pixel.
    let is_whole = row + TILE_M <= params.end_row;
    let are_pixels = first - lane * 4u + 32u <= pixels;
    if is_whole && (are_pixels || SCALE_Y > 1u || SCALE_X > 1u) {
        finish_rows();
        return;
    }
    let rows = min(TILE_M, params.end_row - row);
    for (var r = 0u; r < rows; r += 1u) {
        finish_part(r, sums_of(r), false);
    }
}
