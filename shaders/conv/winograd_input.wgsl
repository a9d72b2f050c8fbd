// Winograd convolution, the images: V = B^T d B of each tile of SIDE x SIDE pixels (lib/winograd.wgsl).
// Tiles start TILE pixels apart, the first at (-top, -left); outside of the image there are zeros.
//
// image        [images, channels, height, width], from `start` on
// transformed  [SIDE * SIDE, channels, leading], of which the first images * tiles_y * tiles_x of a row
//              are written: the tiles of all images side by side
//
// Thread: one tile of one channel; neighbours take neighbouring tiles, and write side by side. Grid:
// flattened.
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read_write> transformed: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
    images: u32,
    channels: u32,
    height: u32,
    width: u32,
    tiles_y: u32,
    tiles_x: u32,
    leading: u32,
    start: u32,
    // Those above and to the left of the image; negative where the first tile starts within it.
    top: i32,
    left: i32,
}

// import lib/index.wgsl
// import lib/winograd.wgsl

fn pixel(plane: u32, y: u32, x: u32) -> f32 {
    // Above the image this has wrapped to a large number, which is not less than the height either.
    if y >= params.height || x >= params.width {
        return 0.0;
    }
    return image[plane + y * params.width + x];
}

// B^T times column `x` of the tile whose first row is `y`.
fn tile_column(plane: u32, y: u32, x: u32) -> Line {
    var column = Line(
        pixel(plane, y, x),
        pixel(plane, y + 1u, x),
        pixel(plane, y + 2u, x),
        pixel(plane, y + 3u, x),
        0.0,
        0.0,
    );
    if TILE == 4u {
        column[4] = pixel(plane, y + 4u, x);
        column[5] = pixel(plane, y + 5u, x);
    }
    return input_line(column);
}

fn store_row(place: u32, i: u32, row: Line) {
    let line = input_line(row);
    let plane = params.channels * params.leading;
    let first = i * SIDE * plane + place;
    transformed[first] = line[0];
    transformed[first + plane] = line[1];
    transformed[first + 2u * plane] = line[2];
    transformed[first + 3u * plane] = line[3];
    if TILE == 4u {
        transformed[first + 4u * plane] = line[4];
        transformed[first + 5u * plane] = line[5];
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
    let y = tile / params.tiles_x % params.tiles_y * TILE - u32(params.top);
    let x = tile % params.tiles_x * TILE - u32(params.left);
    let plane = params.start + (member * params.channels + channel) * params.height * params.width;

    let c0 = tile_column(plane, y, x);
    let c1 = tile_column(plane, y, x + 1u);
    let c2 = tile_column(plane, y, x + 2u);
    let c3 = tile_column(plane, y, x + 3u);
    var c4 = Line();
    var c5 = Line();
    if TILE == 4u {
        c4 = tile_column(plane, y, x + 4u);
        c5 = tile_column(plane, y, x + 5u);
    }
    let place = channel * params.leading + tile;
    store_row(place, 0u, Line(c0[0], c1[0], c2[0], c3[0], c4[0], c5[0]));
    store_row(place, 1u, Line(c0[1], c1[1], c2[1], c3[1], c4[1], c5[1]));
    store_row(place, 2u, Line(c0[2], c1[2], c2[2], c3[2], c4[2], c5[2]));
    store_row(place, 3u, Line(c0[3], c1[3], c2[3], c3[3], c4[3], c5[3]));
    if TILE == 4u {
        store_row(place, 4u, Line(c0[4], c1[4], c2[4], c3[4], c4[4], c5[4]));
        store_row(place, 5u, Line(c0[5], c1[5], c2[5], c3[5], c4[5], c5[5]));
    }
}
