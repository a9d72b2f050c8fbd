// Winograd convolution, the results: y = A^T m A of each tile of products (lib/winograd.wgsl), and what
// is done to them before they are stored: + bias[channel], and where RELU, negative ones become 0.
//
// products  [SIDE * SIDE, channels, quads] vectors of four tiles: the images * tiles_y * tiles_x tiles of
//           all images side by side; the SIDE * SIDE parts are `plane` vectors apart
// bias      [channels]; unread unless BIAS
// result    [images, channels, height, width], from `start` on; the last tiles of a row and of a column
//           may reach beyond
//
// Thread: four tiles of one channel; neighbours take neighbouring tiles, and read side by side. Grid:
// flattened.
const BIAS: bool = false;
const RELU: bool = false;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> products: array<vec4<f32>>;
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
    quads: u32,
    plane: u32,
    start: u32,
}

// import lib/index.wgsl
// import lib/winograd.wgsl

// A^T times column `j` of the products.
fn product_column(place: u32, j: u32) -> Outputs {
    let first = j * params.plane + place;
    let step = SIDE * params.plane;
    var column = Line(
        products[first],
        products[first + step],
        products[first + 2u * step],
        products[first + 3u * step],
        NONE,
        NONE,
    );
    if TILE == 4u {
        column[4] = products[first + 4u * step];
        column[5] = products[first + 5u * step];
    }
    return output_line(column);
}

fn store(channel: u32, tile: u32, i: u32, row: vec4<f32>, added: f32) {
    let tiles = params.tiles_y * params.tiles_x;
    let member = tile / tiles;
    let y = tile / params.tiles_x % params.tiles_y * TILE + i;
    let x = tile % params.tiles_x * TILE;
    if member >= params.images || y >= params.height {
        return;
    }
    var total = row + added;
    if RELU {
        total = max(total, NONE);
    }
    let plane = member * params.channels + channel;
    let place = params.start + (plane * params.height + y) * params.width + x;
    let left = params.width - x;
    result[place] = total.x;
    if left > 1u {
        result[place + 1u] = total.y;
    }
    if TILE == 4u && left > 2u {
        result[place + 2u] = total.z;
    }
    if TILE == 4u && left > 3u {
        result[place + 3u] = total.w;
    }
}

// Row `i` of the four tiles from `tile` on.
fn store_row(channel: u32, tile: u32, i: u32, row: Line, added: f32) {
    let outputs = output_line(row);
    let rows = transpose(mat4x4(outputs[0], outputs[1], outputs[2], outputs[3]));
    store(channel, tile, i, rows[0], added);
    store(channel, tile + 1u, i, rows[1], added);
    store(channel, tile + 2u, i, rows[2], added);
    store(channel, tile + 3u, i, rows[3], added);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    if index >= params.channels * params.quads {
        return;
    }
    let channel = index / params.quads;
    let tile = index % params.quads * 4u;
    let c0 = product_column(index, 0u);
    let c1 = product_column(index, 1u);
    let c2 = product_column(index, 2u);
    let c3 = product_column(index, 3u);
    var c4 = Outputs();
    var c5 = Outputs();
    if TILE == 4u {
        c4 = product_column(index, 4u);
        c5 = product_column(index, 5u);
    }
    var added = 0.0;
    if BIAS {
        added = bias[channel];
    }
    store_row(channel, tile, 0u, Line(c0[0], c1[0], c2[0], c3[0], c4[0], c5[0]), added);
    store_row(channel, tile, 1u, Line(c0[1], c1[1], c2[1], c3[1], c4[1], c5[1]), added);
    if TILE == 4u {
        store_row(channel, tile, 2u, Line(c0[2], c1[2], c2[2], c3[2], c4[2], c5[2]), added);
        store_row(channel, tile, 3u, Line(c0[3], c1[3], c2[3], c3[3], c4[3], c5[3]), added);
    }
}
