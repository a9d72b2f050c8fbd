// Winograd convolution, the results: y = A^T m A of each tile of products (lib/winograd.wgsl), and what
// is done to them before they are stored: + bias[channel], and where RELU, negative ones become 0.
//
// products  [SIDE * SIDE, channels, leading], of which the first images * tiles_y * tiles_x of a row are
//           read: the tiles of all images side by side
// bias      [channels]; unread unless BIAS
// result    [images, channels, height, width], from `start` on; the last tiles of a row and of a column
//           may reach beyond
//
// Thread: one tile of one channel; neighbours take neighbouring tiles, and read side by side. Grid:
// flattened.
const BIAS: bool = false;
const RELU: bool = false;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> products: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Params {
    images: u32,
    channels: u32,
    height: u32,
    width: u32,
    tiles_y: u32,
    tiles_x: u32,
    leading: u32,
    start: u32,
}

// import lib/index.wgsl
// import lib/winograd.wgsl

// A^T times column `j` of the products.
fn product_column(place: u32, j: u32) -> vec4<f32> {
    let plane = params.channels * params.leading;
    let first = j * plane + place;
    let step = SIDE * plane;
    var column = Line(
        products[first],
        products[first + step],
        products[first + 2u * step],
        products[first + 3u * step],
        0.0,
        0.0,
    );
    if TILE == 4u {
        column[4] = products[first + 4u * step];
        column[5] = products[first + 5u * step];
    }
    return output_line(column);
}

fn store(place: u32, x: u32, added: f32, value: f32) {
    if x >= params.width {
        return;
    }
    var total = value + added;
    if RELU {
        total = max(total, 0.0);
    }
    result[place + x] = total;
}

fn store_row(plane: u32, y: u32, x: u32, added: f32, row: Line) {
    if y >= params.height {
        return;
    }
    let line = output_line(row);
    let place = plane + y * params.width;
    store(place, x, added, line.x);
    store(place, x + 1u, added, line.y);
    if TILE == 4u {
        store(place, x + 2u, added, line.z);
        store(place, x + 3u, added, line.w);
    }
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let tiles = params.images * params.tiles_y * params.tiles_x;
    if index >= params.channels * tiles {
        return;
    }
    let channel = index / tiles;
    let tile = index % tiles;
    let member = tile / (params.tiles_y * params.tiles_x);
    let y = tile / params.tiles_x % params.tiles_y * TILE;
    let x = tile % params.tiles_x * TILE;

    let place = channel * params.leading + tile;
    let c0 = product_column(place, 0u);
    let c1 = product_column(place, 1u);
    let c2 = product_column(place, 2u);
    let c3 = product_column(place, 3u);
    var c4 = vec4<f32>();
    var c5 = vec4<f32>();
    if TILE == 4u {
        c4 = product_column(place, 4u);
        c5 = product_column(place, 5u);
    }
    var added = 0.0;
    if BIAS {
        added = bias[channel];
    }
    let plane = params.start + (member * params.channels + channel) * params.height * params.width;
    store_row(plane, y, x, added, Line(c0.x, c1.x, c2.x, c3.x, c4.x, c5.x));
    store_row(plane, y + 1u, x, added, Line(c0.y, c1.y, c2.y, c3.y, c4.y, c5.y));
    if TILE == 4u {
        store_row(plane, y + 2u, x, added, Line(c0.z, c1.z, c2.z, c3.z, c4.z, c5.z));
        store_row(plane, y + 3u, x, added, Line(c0.w, c1.w, c2.w, c3.w, c4.w, c5.w));
    }
}
