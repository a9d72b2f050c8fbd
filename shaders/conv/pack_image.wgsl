// Gathers the channels of images by fours, with the padding in place, for kernels that read texels:
//     packed[n, g, y, x, 4 q + e] = image[n, g, c, y * scale_y + py - top, x * scale_x + px - left]
// where (c, py, px) is the grouped channel 4 q + e (lib/texel_conv.wgsl), and 0 outside of the image.
//
// image   [images, groups, channels, height, width], from `start` on
// packed  [images, groups, packed_height, packed_width, quads] vectors of four
//
// Four elements that follow each other in a row of the image are one load or two; where pixels are not grouped along
// the rows, a thread takes four of them and exchanges rows and columns.
//
// Workgroup: the vectors of one quad in ROWS rows. Grid: flattened, rows fastest, then quads, then groups and
// images.
const SCALE_Y: u32 = 1u;
const SCALE_X: u32 = 1u;
const WIDTH: u32 = 8u;
const ROWS = 8u;

@group(0) @binding(0) var<storage, read> image: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
    images: u32,
    groups: u32,
    channels: u32,
    height: u32,
    width: u32,
    packed_height: u32,
    packed_width: u32,
    quads: u32,
    top: i32,
    left: i32,
    start: u32,
    // The last vector of `image`.
    last: u32,
}

// import lib/index.wgsl
// import lib/texel_conv.wgsl
// import lib/window.wgsl

const SCALE = vec2(SCALE_Y, SCALE_X);

// Four elements of one channel in one row of an image, from the grouped channel of a grouped pixel on, with
// zeros outside.
fn run_at(member: u32, channel: u32, y: u32, x: u32) -> vec4<f32> {
    let part = ungrouped(channel, SCALE);
    let place = vec2<i32>(ungrouped_place(vec2(y, x), part, SCALE)) - vec2(params.top, params.left);
    if part.x >= params.channels || place.x < 0 || place.x >= i32(params.height) {
        return vec4<f32>();
    }
    let plane = member * params.channels + part.x;
    let row = params.start + (plane * params.height + u32(place.x)) * params.width;
    // Four further on: what is before the first element is zero, whatever is loaded.
    let index = u32(i32(row) + place.y + 4);
    let low = image[max(index / 4u, 1u) - 1u];
    let high = image[min(index / 4u, params.last)];
    let columns = place.y + vec4(0, 1, 2, 3);
    let is_inside = (columns >= vec4(0)) & (columns < vec4(i32(params.width)));
    return select(vec4<f32>(), window(low, high, index % 4u), is_inside);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = flat_group(group, groups);
    let bands = (params.packed_height + ROWS - 1u) / ROWS;
    let first_row = flat % bands * ROWS;
    let quad = flat / bands % params.quads;
    let member = flat / bands / params.quads;
    if member >= params.images * params.groups {
        return;
    }
    let rows = min(ROWS, params.packed_height - first_row);
    let plane = member * params.packed_height * params.packed_width * params.quads + quad;
    let channel = quad * 4u;
    // Vectors that a thread takes at a time.
    let step = select(1u, 4u, SCALE_X == 1u);
    let steps = (params.packed_width + step - 1u) / step;
    for (var i = thread; i < rows * steps; i += WIDTH) {
        let y = first_row + i / steps;
        let x = i % steps * step;
        let at = plane + (y * params.packed_width + x) * params.quads;
        if SCALE_X == 1u {
            let vectors = transpose(mat4x4(
                run_at(member, channel, y, x),
                run_at(member, channel + 1u, y, x),
                run_at(member, channel + 2u, y, x),
                run_at(member, channel + 3u, y, x),
            ));
            packed[at] = vectors[0];
            if x + 1u < params.packed_width {
                packed[at + params.quads] = vectors[1];
            }
            if x + 2u < params.packed_width {
                packed[at + 2u * params.quads] = vectors[2];
            }
            if x + 3u < params.packed_width {
                packed[at + 3u * params.quads] = vectors[3];
            }
        } else if SCALE_X == 4u {
            packed[at] = run_at(member, channel, y, x);
        } else {
            packed[at] = vec4(
                run_at(member, channel, y, x).x,
                run_at(member, channel + 1u, y, x).x,
                run_at(member, channel + 2u, y, x).x,
                run_at(member, channel + 3u, y, x).x,
            );
        }
    }
}
