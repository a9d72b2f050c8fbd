// A TILE x TILE block of a matrix product from cooperative matrices: square matrices that the lanes of a
// subgroup hold and multiply together (VK_KHR_cooperative_matrix, Metal's simdgroup_matrix; tensor cores).
// Their sums are in single precision, their factors in the precision of `Factor`.
//
// The kernel declares THREADS, the invocations of its workgroup: 8 times the most lanes that a subgroup may
// have, so that there are 8 subgroups or more; SUBGROUPS, how many there are at most; ALONG_K_A and ALONG_K_B: whether neighbours in memory, of the
// left and the right factor, differ in k; and
//     fn rows_of_a(row: u32, k: u32, k_end: u32) -> mat4x4<f32>: column i has row + i at k .. k + 4
//     fn rows_of_b(k: u32, column: u32, k_end: u32) -> mat4x4<f32>: column i has k + i at column .. column + 4
//     fn finish_block(row: u32, column: u32, sums: mat4x4<f32>): takes row + i, in column i, at column .. + 4
// The first two give 0 from k_end on, and anything outside of the factor otherwise; `finish_block` is told
// rows and columns past the end of the product. Unless ALONG_K_B a thread asks for the same four columns of
// the right factor each time, those from `column` on that are named before by
//     fn prepare(column: u32)
//
// Both factors pass through workgroup memory, TILE_K steps of k at a time, while the next ones are on
// their way in registers. Each of 8 subgroups multiplies 2 x 4 matrices of the block, which are four rows
// and two columns of such; where there are more subgroups, they do the eighth's work too, for nothing. Rows are padded by 16 bytes, for the banks and for aligned loads.
// Memory, with 8 subgroups: 27 KiB (SIDE 16), 11.5 KiB (SIDE 8 in half precision) or 20 KiB (in single precision).

// import lib/cooperative_16.wgsl as MATRICES

const TILE = 8u * SIDE;
const TILE_K = 32u;
// Quads, of rows, columns or steps of k.
const QUADS = TILE / 4u;
const QUADS_K = TILE_K / 4u;
// Blocks of 4 x 4 in a tile of one factor, and how many of both a thread fetches.
const BLOCKS = QUADS * QUADS_K;
const FETCHES = (2u * BLOCKS + THREADS - 1u) / THREADS;
const ROW_A = TILE_K + 8u;
const ROW_B = TILE + 8u;
const MATRIX = SIDE * SIDE;

var<workgroup> tile_a: array<Factor, TILE * ROW_A>;
var<workgroup> tile_b: array<Factor, TILE_K * ROW_B>;
// A matrix of sums for each of the subgroups.
var<workgroup> scratch: array<f32, SUBGROUPS * MATRIX>;

// The quads of rows (or columns) and of k of a block.
fn quads_of(block: u32, along_k: bool) -> vec2<u32> {
    if along_k {
        return vec2(block / QUADS_K, block % QUADS_K);
    }
    return vec2(block % QUADS, block / QUADS);
}

fn fetch(block: u32, first_row: u32, first_column: u32, l: u32, k_end: u32) -> mat4x4<f32> {
    if block < BLOCKS {
        let at = 4u * quads_of(block, ALONG_K_A);
        return rows_of_a(first_row + at.x, l + at.y, k_end);
    }
    if block < 2u * BLOCKS {
        let at = 4u * quads_of(block - BLOCKS, ALONG_K_B);
        return rows_of_b(l + at.y, first_column + at.x, k_end);
    }
    return mat4x4<f32>();
}

fn stage_a(at: u32, values: vec4<f32>) {
    tile_a[at] = Factor(values.x);
    tile_a[at + 1u] = Factor(values.y);
    tile_a[at + 2u] = Factor(values.z);
    tile_a[at + 3u] = Factor(values.w);
}

fn stage_b(at: u32, values: vec4<f32>) {
    tile_b[at] = Factor(values.x);
    tile_b[at + 1u] = Factor(values.y);
    tile_b[at + 2u] = Factor(values.z);
    tile_b[at + 3u] = Factor(values.w);
}

fn stage(block: u32, values: mat4x4<f32>) {
    if block < BLOCKS {
        let quads = quads_of(block, ALONG_K_A);
        let at = 4u * (quads.x * ROW_A + quads.y);
        stage_a(at, values[0]);
        stage_a(at + ROW_A, values[1]);
        stage_a(at + 2u * ROW_A, values[2]);
        stage_a(at + 3u * ROW_A, values[3]);
    } else if block < 2u * BLOCKS {
        let quads = quads_of(block - BLOCKS, ALONG_K_B);
        let at = 4u * (quads.y * ROW_B + quads.x);
        stage_b(at, values[0]);
        stage_b(at + ROW_B, values[1]);
        stage_b(at + 2u * ROW_B, values[2]);
        stage_b(at + 3u * ROW_B, values[3]);
    }
}

// Gives the kernel a matrix of each subgroup, those of the first subgroup from a row and a column on. Called
// by all of a workgroup.
fn finish_matrix(
    sums: MatrixC, mine: u32, thread: u32, first_row: u32, first_column: u32
) {
    workgroupBarrier();
    coopStoreT(sums, &scratch[mine], SIDE);
    workgroupBarrier();
    let width = SIDE / 4u;
    let subgroup = thread / (width * width);
    if subgroup < 8u {
        let row = thread / width % width * 4u;
        let column = thread % width * 4u;
        let at = subgroup * MATRIX + row * SIDE + column;
        finish_block(
            first_row + subgroup / 2u * 2u * SIDE + row,
            first_column + subgroup % 2u * 4u * SIDE + column,
            mat4x4(quad(at), quad(at + SIDE), quad(at + 2u * SIDE), quad(at + 3u * SIDE)),
        );
    }
}

fn quad(at: u32) -> vec4<f32> {
    return vec4(scratch[at], scratch[at + 1u], scratch[at + 2u], scratch[at + 3u]);
}

// Computes the block of the product that starts at a row and a column, summed over k_start .. k_end.
// Called by all of a workgroup.
fn multiply(thread: u32, first_row: u32, first_column: u32, k_start: u32, k_end: u32) {
    // Subgroups are lanes that follow each other.
    let subgroup = subgroupBroadcastFirst(thread) / subgroupAdd(1u);
    let mine = subgroup * MATRIX;
    let at = min(subgroup, 7u);
    // The subgroup's first row of the left tile and first column of the right one.
    let row_a = at / 2u * 2u * SIDE * ROW_A;
    let column_b = at % 2u * 4u * SIDE;

    prepare(first_column + thread % QUADS * 4u);
    for (var i = thread; i < SUBGROUPS * MATRIX; i += THREADS) {
        scratch[i] = 0.0;
    }
    workgroupBarrier();
    var c00 = coopLoadT<MatrixC>(&scratch[mine], SIDE);
    var c01 = c00;
    var c02 = c00;
    var c03 = c00;
    var c10 = c00;
    var c11 = c00;
    var c12 = c00;
    var c13 = c00;

    var next0 = fetch(thread, first_row, first_column, k_start, k_end);
    var next1 = mat4x4<f32>();
    var next2 = mat4x4<f32>();
    var next3 = mat4x4<f32>();
    if FETCHES > 1u {
        next1 = fetch(thread + THREADS, first_row, first_column, k_start, k_end);
    }
    if FETCHES > 2u {
        next2 = fetch(thread + 2u * THREADS, first_row, first_column, k_start, k_end);
        next3 = fetch(thread + 3u * THREADS, first_row, first_column, k_start, k_end);
    }
    for (var l = k_start; l < k_end; l += TILE_K) {
        stage(thread, next0);
        if FETCHES > 1u {
            stage(thread + THREADS, next1);
        }
        if FETCHES > 2u {
            stage(thread + 2u * THREADS, next2);
            stage(thread + 3u * THREADS, next3);
        }
        workgroupBarrier();
        let ahead = l + TILE_K;
        next0 = fetch(thread, first_row, first_column, ahead, k_end);
        if FETCHES > 1u {
            next1 = fetch(thread + THREADS, first_row, first_column, ahead, k_end);
        }
        if FETCHES > 2u {
            next2 = fetch(thread + 2u * THREADS, first_row, first_column, ahead, k_end);
            next3 = fetch(thread + 3u * THREADS, first_row, first_column, ahead, k_end);
        }
        for (var k = 0u; k < TILE_K; k += SIDE) {
            let a0 = coopLoadT<MatrixA>(&tile_a[row_a + k], ROW_A);
            let a1 = coopLoadT<MatrixA>(&tile_a[row_a + SIDE * ROW_A + k], ROW_A);
            let b = k * ROW_B + column_b;
            let b0 = coopLoadT<MatrixB>(&tile_b[b], ROW_B);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c10 = coopMultiplyAdd(a1, b0, c10);
            let b1 = coopLoadT<MatrixB>(&tile_b[b + SIDE], ROW_B);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c11 = coopMultiplyAdd(a1, b1, c11);
            let b2 = coopLoadT<MatrixB>(&tile_b[b + 2u * SIDE], ROW_B);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c12 = coopMultiplyAdd(a1, b2, c12);
            let b3 = coopLoadT<MatrixB>(&tile_b[b + 3u * SIDE], ROW_B);
            c03 = coopMultiplyAdd(a0, b3, c03);
            c13 = coopMultiplyAdd(a1, b3, c13);
        }
        workgroupBarrier();
    }

    finish_matrix(c00, mine, thread, first_row, first_column);
    finish_matrix(c01, mine, thread, first_row, first_column + SIDE);
    finish_matrix(c02, mine, thread, first_row, first_column + 2u * SIDE);
    finish_matrix(c03, mine, thread, first_row, first_column + 3u * SIDE);
    finish_matrix(c10, mine, thread, first_row + SIDE, first_column);
    finish_matrix(c11, mine, thread, first_row + SIDE, first_column + SIDE);
    finish_matrix(c12, mine, thread, first_row + SIDE, first_column + 2u * SIDE);
    finish_matrix(c13, mine, thread, first_row + SIDE, first_column + 3u * SIDE);
}
