// The weight's gradient for a CPU that runs Vulkan with 8-lane subgroups (lavapipe), on packed texels: an
// implicit matrix product [outputs, pixels] x [pixels, taps * channels], without a matrix of columns.
//     sum[o, (i, j, c)] = sum_p grad_output[p, o] * image[y + i, x + j, c]     p = (n, y, x)
// A texel holds four channels: the texels of four pixels in a row are a 4 x 4 block of either factor.
//
// grad_output  [images, groups, pixels, output_quads] texels, the pixels a multiple of four with zeros past
//              the last: `grad_plane` texels a group; texel i at column i % 2^SHIFT of row i / 2^SHIFT
// image        [images, groups, packed_height, packed_width, quads] texels, likewise
// sums         [parts, groups, group_outputs, group_inputs, kernel_height, kernel_width]
//
// Part s sums the images from s * part on. Columns are texels of (tap, quad); the last of a row of taps
// are those of its last tap.
//
// Workgroup: 8 lanes of one subgroup, TILE_M outputs x 8 texels of one group and part. Lane: TILE_M
// outputs x 4 channels. Grid: flattened, ceil(group_outputs / TILE_M) * ceil(taps * quads / 8) * groups *
// parts, outputs fastest.
const SCALE_Y: u32 = 1u;
const SCALE_X: u32 = 1u;
const TILE_M: u32 = 32u;
const SHIFT: u32 = 10u;

@group(0) @binding(0) var grad_output: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var image: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
    images: u32,
    groups: u32,
    part: u32,
    pixel_rows: u32,
    pixel_columns: u32,
    output_quads: u32,
    grad_plane: u32,
    packed_height: u32,
    packed_width: u32,
    quads: u32,
    stride_y: u32,
    stride_x: u32,
    taps_height: u32,
    taps_width: u32,
    step_y: u32,
    step_x: u32,
    group_outputs: u32,
    group_inputs: u32,
    kernel_height: u32,
    kernel_width: u32,
    sums_start: u32,
}

// import lib/subgroup_tile.wgsl
// import lib/texel_conv.wgsl

fn grad_output_at(i: u32) -> vec4<f32> {
    return textureLoad(grad_output, vec2(i & ((1u << SHIFT) - 1u), i >> SHIFT));
}

fn image_at(i: u32) -> vec4<f32> {
    return textureLoad(image, vec2(i & ((1u << SHIFT) - 1u), i >> SHIFT));
}

// Texels from a window to the one beside it, and what more there are to the first of the row below.
var<private> beside: u32;
var<private> below: u32;

// Where the window of the pixel k < 4 further on starts, relative to that of the pixel p, which is in column x. Past the
// last pixel grad_output is zero, and the image is read where it is finite.
fn offset_of(k: u32, p: u32, x: u32) -> u32 {
    let columns = params.pixel_columns;
    var offset = k * beside + select(0u, below, x + k >= columns);
    if k > 1u {
        offset += select(0u, below, x + k >= 2u * columns);
    }
    if k > 2u {
        offset += select(0u, below, x + k >= 3u * columns);
    }
    return select(offset, 0u, p + k >= params.pixel_rows * columns);
}

// Where the lane's four channels of the tile's first output go, and which of them are weights.
var<private> places: vec4<u32>;
var<private> are_weights: vec4<bool>;

fn place(channel: u32, tap: vec2<u32>) -> vec3<u32> {
    let scale = vec2(SCALE_Y, SCALE_X);
    let part = ungrouped(channel, scale);
    return vec3(part.x, ungrouped_place(tap, part, scale));
}

fn is_weight(at: vec3<u32>) -> bool {
    return at.x < params.group_inputs && at.y < params.kernel_height && at.z < params.kernel_width;
}

fn index(at: vec3<u32>) -> u32 {
    return (at.x * params.kernel_height + at.y) * params.kernel_width + at.z;
}

fn finish_row(row: u32, values: vec4<f32>) {
    let at = places + row * params.group_inputs * params.kernel_height * params.kernel_width;
    if are_weights.x {
        sums[at.x] = values.x;
    }
    if are_weights.y {
        sums[at.y] = values.y;
    }
    if are_weights.z {
        sums[at.z] = values.z;
    }
    if are_weights.w {
        sums[at.w] = values.w;
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = wid.x + wid.y * groups.x;
    let columns = params.taps_height * params.taps_width * params.quads;
    let tiles_m = (params.group_outputs + TILE_M - 1u) / TILE_M;
    let tiles_n = (columns + 7u) / 8u;
    let output = flat % tiles_m * TILE_M;
    let column = flat / tiles_m % tiles_n * 8u + lane;
    let group = flat / (tiles_m * tiles_n) % params.groups;
    let part = flat / (tiles_m * tiles_n) / params.groups;
    let first_image = part * params.part;
    if first_image >= params.images {
        return;
    }
    let last_image = min(params.images, first_image + params.part);
    let own = min(column, columns - 1u);
    let quad = own % params.quads;
    let tap = vec2(own / params.quads / params.taps_width, own / params.quads % params.taps_width);
    let window = tap.x * params.step_y + tap.y * params.step_x + quad;
    let output_quad = min(output / 4u + lane, params.output_quads - 1u);
    let pixels = params.pixel_rows * params.pixel_columns;
    beside = params.stride_x * params.quads;
    below = (params.stride_y * params.packed_width - params.pixel_columns * params.stride_x) * params.quads;
    let by = vec2(4u / params.pixel_columns, 4u % params.pixel_columns);

    for (var n = first_image; n < last_image; n += 1u) {
        let plane = n * params.groups + group;
        // The texel of the window of pixel p, which is in column x.
        var at = plane * params.packed_height * params.packed_width * params.quads + window;
        let grad_start = plane * params.grad_plane + output_quad;
        var x = 0u;
        for (var p = 0u; p < pixels; p += 4u) {
            let grad = grad_start + p * params.output_quads;
            let a = mat4x4(
                grad_output_at(grad),
                grad_output_at(grad + params.output_quads),
                grad_output_at(grad + 2u * params.output_quads),
                grad_output_at(grad + 3u * params.output_quads),
            );
            let b = mat4x4(
                image_at(at),
                image_at(at + offset_of(1u, p, x)),
                image_at(at + offset_of(2u, p, x)),
                image_at(at + offset_of(3u, p, x)),
            );
            multiply_add(transpose(a), b);
            at += 4u * beside + by.x * below;
            x += by.y;
            if x >= params.pixel_columns {
                x -= params.pixel_columns;
                at += below;
            }
        }
    }

    if column >= columns {
        return;
    }
    let c0 = place(quad * 4u, tap);
    let c1 = place(quad * 4u + 1u, tap);
    let c2 = place(quad * 4u + 2u, tap);
    let c3 = place(quad * 4u + 3u, tap);
    are_weights = vec4(is_weight(c0), is_weight(c1), is_weight(c2), is_weight(c3));
    let outputs = (part * params.groups + group) * params.group_outputs + output;
    let kernel = params.group_inputs * params.kernel_height * params.kernel_width;
    places = params.sums_start + outputs * kernel + vec4(index(c0), index(c1), index(c2), index(c3));
    if output + TILE_M <= params.group_outputs {
        finish_rows();
        return;
    }
    let rows = params.group_outputs - output;
    for (var r = 0u; r < rows; r += 1u) {
        finish_row(r, sums_of(r));
    }
}
