// Gathers the channels of images by fours, with the padding in place, for kernels that read texels:
//     packed[n, g, y, x, 4 q + e] = image[n, g, c, y * scale_y + py - top, x * scale_x + px - left]
// where (c, py, px) is the grouped channel 4 q + e (lib/texel_conv.wgsl), and 0 outside of the image.
//
// image   [images, groups, channels, height, width], from `start` on
// packed  [images, groups, packed_height, packed_width, quads] vectors of four
//
// Thread: one vector. Grid: flattened.
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> image: array<f32>;
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
    scale_y: u32,
    scale_x: u32,
    top: i32,
    left: i32,
    start: u32,
}

// import lib/index.wgsl
// import lib/texel_conv.wgsl

fn element(member: u32, channel: u32, y: u32, x: u32) -> f32 {
    let scale = vec2(params.scale_y, params.scale_x);
    let part = ungrouped(channel, scale);
    let place = vec2<i32>(ungrouped_place(vec2(y, x), part, scale));
    let row = place.x - params.top;
    let column = place.y - params.left;
    let is_inside = part.x < params.channels
        && row >= 0 && row < i32(params.height)
        && column >= 0 && column < i32(params.width);
    if !is_inside {
        return 0.0;
    }
    let plane = member * params.channels + part.x;
    return image[params.start + (plane * params.height + u32(row)) * params.width + u32(column)];
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    let pixels = params.packed_height * params.packed_width;
    if i >= params.images * params.groups * pixels * params.quads {
        return;
    }
    // Neighbouring threads take neighbouring pixels: they read what lies side by side.
    let x = i % params.packed_width;
    let y = i / params.packed_width % params.packed_height;
    let quad = i / pixels % params.quads;
    let member = i / pixels / params.quads;
    packed[((member * params.packed_height + y) * params.packed_width + x) * params.quads + quad] = vec4(
        element(member, quad * 4u, y, x),
        element(member, quad * 4u + 1u, y, x),
        element(member, quad * 4u + 2u, y, x),
        element(member, quad * 4u + 3u, y, x),
    );
}
