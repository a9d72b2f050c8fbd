// Winograd convolution, the images: V = B^T d B of each tile of SIDE x SIDE pixels (lib/winograd.wgsl).
// Tiles start TILE pixels apart, the first at (-top, -left); outside of the image there are zeros.
//
// image        [images, channels, height, width], from `start` on
// transformed  [SIDE * SIDE, channels, quads] vectors of four tiles: the images * tiles_y * tiles_x tiles
//              of all images side by side; the SIDE * SIDE parts are `plane` vectors apart
//
// Thread: four tiles of one channel; neighbours take neighbouring tiles, and write side by side. Past the
// last tile it takes the last one. Grid: flattened.
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read_write> transformed: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

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
    // Zeros above and to the left of the image; negative where the first tile starts within it.
    top: i32,
    left: i32,
}

// import lib/index.wgsl
// import lib/winograd.wgsl

// Where four tiles start: the place of the image's first pixel, the row and the column.
struct Tiles {
    plane: vec4<u32>,
    y: vec4<u32>,
    x: vec4<u32>,
}

fn tiles_at(channel: u32, first: u32) -> Tiles {
    let tiles = params.tiles_y * params.tiles_x;
    let tile = min(first + vec4(0u, 1u, 2u, 3u), vec4(params.images * tiles - 1u));
    let plane = tile / tiles * params.channels + channel;
    // Above the image these wrap to large numbers, which are not less than the height either.
    return Tiles(
        params.start + plane * params.height * params.width,
        tile / params.tiles_x % params.tiles_y * TILE - u32(params.top),
        tile % params.tiles_x * TILE - u32(params.left),
    );
}

fn pixel(plane: u32, y: u32, x: u32) -> f32 {
    if y >= params.height || x >= params.width {
        return 0.0;
    }
    return image[plane + y * params.width + x];
}

fn pixels(tiles: Tiles, i: u32, j: u32) -> vec4<f32> {
    let y = tiles.y + i;
    let x = tiles.x + j;
    return vec4(
        pixel(tiles.plane.x, y.x, x.x),
        pixel(tiles.plane.y, y.y, x.y),
        pixel(tiles.plane.z, y.z, x.z),
        pixel(tiles.plane.w, y.w, x.w),
    );
}

// B^T times column `j` of the tiles.
fn tile_column(tiles: Tiles, j: u32) -> Line {
    var column = Line(
        pixels(tiles, 0u, j),
        pixels(tiles, 1u, j),
        pixels(tiles, 2u, j),
        pixels(tiles, 3u, j),
        NONE,
        NONE,
    );
    if TILE == 4u {
        column[4] = pixels(tiles, 4u, j);
        column[5] = pixels(tiles, 5u, j);
    }
    return input_line(column);
}

fn store_row(place: u32, i: u32, row: Line) {
    let line = input_line(row);
    let plane = params.plane;
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
    if index >= params.channels * params.quads {
        return;
    }
    let tiles = tiles_at(index / params.quads, index % params.quads * 4u);
    let c0 = tile_column(tiles, 0u);
    let c1 = tile_column(tiles, 1u);
    let c2 = tile_column(tiles, 2u);
    let c3 = tile_column(tiles, 3u);
    var c4 = Line();
    var c5 = Line();
    if TILE == 4u {
        c4 = tile_column(tiles, 4u);
        c5 = tile_column(tiles, 5u);
    }
    store_row(index, 0u, Line(c0[0], c1[0], c2[0], c3[0], c4[0], c5[0]));
    store_row(index, 1u, Line(c0[1], c1[1], c2[1], c3[1], c4[1], c5[1]));
    store_row(index, 2u, Line(c0[2], c1[2], c2[2], c3[2], c4[2], c5[2]));
    store_row(index, 3u, Line(c0[3], c1[3], c2[3], c3[3], c4[3], c5[3]));
    if TILE == 4u {
        store_row(index, 4u, Line(c0[4], c1[4], c2[4], c3[4], c4[4], c5[4]));
        store_row(index, 5u, Line(c0[5], c1[5], c2[5], c3[5], c4[5], c5[5]));
    }
}
