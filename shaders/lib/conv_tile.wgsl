// The core of the tiled convolution kernels: a TILE x TILE block of a matrix product whose factors are
// read straight out of the images. The kernel declares
//     fn prepare(column: u32): the four columns from here on are those that the thread will ask for
//     fn fetch_a(row: u32, k: u32, k_end: u32) -> vec4<f32>: rows row .. row + 4 of the left factor at k
//     fn fetch_b(k: u32, k_end: u32) -> vec4<f32>: the prepared columns of the right factor at k
//     fn finish_block(row: u32, column: u32, sums: mat4x4<f32>): takes row + i, in column i, at column .. + 4
// The fetches give 0 outside of the factor and from k_end on; `finish_block` is told rows and columns past
// the end of the product. Workgroups are (256, 1, 1). TILE is 64 or 128: a thread owns four rows and columns
// in each 64 x 64 quarter of the block. lib/conv_cooperative.wgsl can take this file's place.
//
// Memory: 8 or 16 KiB a workgroup.

const TILE: u32 = 64u;
const TILE_K = 16u;
// Quads of rows or columns.
const QUADS = TILE / 4u;

// Vectors of four rows (columns), for each k.
var<workgroup> tile_a: array<vec4<f32>, TILE_K * QUADS>;
var<workgroup> tile_b: array<vec4<f32>, TILE_K * QUADS>;

// Neighbouring threads store different k of the same rows: the exclusive-or spreads them over the banks.
fn slot_a(k: u32, quad: u32) -> u32 {
    return k * QUADS + (quad ^ k);
}

// sums + rows x columns, one column of the matrix per row.
fn outer(sums: mat4x4<f32>, rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        sums[0] + rows.x * columns,
        sums[1] + rows.y * columns,
        sums[2] + rows.z * columns,
        sums[3] + rows.w * columns,
    );
}

// Computes the block of the product that starts at a row and a column, summed over k_start .. k_end.
fn multiply(thread: u32, first_row: u32, first_column: u32, k_start: u32, k_end: u32) {
    let high = thread / 16u;
    let low = thread % 16u;
    // The right factor's columns that this thread fetches, and the first of its steps of k.
    let quad = thread % QUADS;
    let step = thread / QUADS;
    prepare(first_column + 4u * quad);
    let row = first_row + 4u * high;
    var s00 = mat4x4<f32>();
    var s01 = mat4x4<f32>();
    var s10 = mat4x4<f32>();
    var s11 = mat4x4<f32>();
    var next_a = fetch_a(row, k_start + low, k_end);
    var next_b = fetch_b(k_start + step, k_end);
    var more_a = vec4<f32>();
    var more_b = vec4<f32>();
    if TILE > 64u {
        more_a = fetch_a(row + 64u, k_start + low, k_end);
        more_b = fetch_b(k_start + step + 8u, k_end);
    }
    for (var l = k_start; l < k_end; l += TILE_K) {
        tile_a[slot_a(low, high)] = next_a;
        tile_b[step * QUADS + quad] = next_b;
        if TILE > 64u {
            tile_a[slot_a(low, high + 16u)] = more_a;
            tile_b[(step + 8u) * QUADS + quad] = more_b;
        }
        workgroupBarrier();
        // The next slices arrive while these are multiplied.
        let ahead = l + TILE_K;
        next_a = fetch_a(row, ahead + low, k_end);
        next_b = fetch_b(ahead + step, k_end);
        if TILE > 64u {
            more_a = fetch_a(row + 64u, ahead + low, k_end);
            more_b = fetch_b(ahead + step + 8u, k_end);
        }
        for (var k = 0u; k < TILE_K; k += 1u) {
            let a0 = tile_a[slot_a(k, high)];
            let b0 = tile_b[k * QUADS + low];
            s00 = outer(s00, a0, b0);
            if TILE > 64u {
                let a1 = tile_a[slot_a(k, high + 16u)];
                let b1 = tile_b[k * QUADS + low + 16u];
                s01 = outer(s01, a0, b1);
                s10 = outer(s10, a1, b0);
                s11 = outer(s11, a1, b1);
            }
        }
        workgroupBarrier();
    }
    let column = first_column + 4u * low;
    finish_block(row, column, s00);
    if TILE > 64u {
        finish_block(row, column + 64u, s01);
        finish_block(row + 64u, column, s10);
        finish_block(row + 64u, column + 64u, s11);
    }
}
