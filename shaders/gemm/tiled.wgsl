// Matrix product for a GPU: workgroup-memory tiles, 4 x 4 to 8 x 8 outputs a thread.
//     C[i, j] = sum_l op(A)[i, l] * op(B)[l, j]  (+ C[i, j])  (+ bias)  (then ReLU)
// Register and workgroup blocking after Volkov and Demmel (2008) as in MAGMA and CUTLASS; the
// next tile is fetched into registers while the present one is multiplied.
//
// a     m x k, row-major with leading dimension lda ([k, m] when TRANS_A), one per batch member
// b     k x n, row-major with leading dimension ldb ([n, k] when TRANS_B), one per batch member
// bias  [m] (BIAS 1) or [n] (BIAS 2) from offset_bias on, shared by the batch; unread when BIAS is
//       0 (bind `b` again)
// c     m x n, row-major with leading dimension ldc ([n, m] when TRANS_C), one per batch member
// a and b are read as vec4: their bindings are a multiple of 16 bytes long. ALIGNED_A: lda,
// stride_a and offset_a are multiples of 4 (else each vector costs two loads); ALIGNED_B alike.
//
// Split k: part s of ceil(k / k_part) sums l in [s * k_part, (s + 1) * k_part) and writes its own
// C, at (s * batch + member) * stride_c; k_part is k for a plain product, else a multiple of 4.
//
// Workgroup: 256 threads, TILE_M x TILE_N outputs of one batch member, TILE_K steps of k at a time.
// Thread: TILE_M / 16 x TILE_N / 16 outputs; loads one 4 x 4 block of A or of B per step.
// TILE_M and TILE_N are 64 or 128, TILE_K a multiple of 4, (TILE_M + TILE_N) * TILE_K <= 4096
// (one block a thread, and 16 KiB of workgroup memory). Grid: flattened,
// ceil(m / TILE_M) * ceil(n / TILE_N) * batch * ceil(k / k_part) workgroups, tiles as lib/swizzle.wgsl says.
const TILE_M: u32 = 128u;
const TILE_N: u32 = 128u;
const TILE_K: u32 = 16u;
const TRANS_A: bool = false;
const TRANS_B: bool = false;
const TRANS_C: bool = false;
const ALIGNED_A: bool = true;
const ALIGNED_B: bool = true;
const BIAS: u32 = 0u;
const RELU: bool = false;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// import lib/gemm_buffers.wgsl
// import lib/gemm.wgsl
// import lib/swizzle.wgsl

const BLOCKS_K = TILE_K / 4u;
const BLOCKS_M = TILE_M / 4u;
const BLOCKS_N = TILE_N / 4u;

// Vectors of four rows (columns) for each k; slot() says where one lies.
var<workgroup> tile_a: array<vec4<f32>, TILE_K * BLOCKS_M>;
var<workgroup> tile_b: array<vec4<f32>, TILE_K * BLOCKS_N>;

// Place of vector `block` of step `k`. The exclusive-or spreads over the banks the vectors that
// neighbouring threads store when they hold different k of the same rows.
fn slot(k: u32, block: u32, blocks: u32) -> u32 {
    return k * blocks + (block ^ (k / 2u & 6u));
}

// Which 4 x 4 block of the two tiles this thread fetches.
struct Fetch {
    is_a: bool,
    is_b: bool,
    // First k within the tile.
    k: u32,
    // Row block of A or column block of B within the tile.
    block: u32,
}

fn fetch_of(thread: u32) -> Fetch {
    let is_a = thread < BLOCKS_K * BLOCKS_M;
    let index = select(thread - BLOCKS_K * BLOCKS_M, thread, is_a);
    // Neighbouring threads walk along memory: k where the rows of op() are contiguous.
    let along_k = select(TRANS_B, !TRANS_A, is_a);
    let blocks = select(BLOCKS_N, BLOCKS_M, is_a);
    let is_b = !is_a && index < BLOCKS_K * BLOCKS_N;
    return Fetch(
        is_a,
        is_b,
        4u * select(index / blocks, index % BLOCKS_K, along_k),
        select(index % blocks, index / BLOCKS_K, along_k),
    );
}

// One vector of the block per k.
fn fetch(f: Fetch, base_a: u32, base_b: u32, row: u32, column: u32, l: u32, k_end: u32) -> mat4x4<f32> {
    if l + f.k < k_end {
        if f.is_a {
            return transpose(block_a(base_a, row + 4u * f.block, l + f.k, k_end));
        }
        if f.is_b {
            return block_b(base_b, column + 4u * f.block, l + f.k, k_end);
        }
    }
    return mat4x4<f32>();
}

fn stage(f: Fetch, v: mat4x4<f32>) {
    if f.is_a {
        tile_a[slot(f.k, f.block, BLOCKS_M)] = v[0];
        tile_a[slot(f.k + 1u, f.block, BLOCKS_M)] = v[1];
        tile_a[slot(f.k + 2u, f.block, BLOCKS_M)] = v[2];
        tile_a[slot(f.k + 3u, f.block, BLOCKS_M)] = v[3];
    } else if f.is_b {
        tile_b[slot(f.k, f.block, BLOCKS_N)] = v[0];
        tile_b[slot(f.k + 1u, f.block, BLOCKS_N)] = v[1];
        tile_b[slot(f.k + 2u, f.block, BLOCKS_N)] = v[2];
        tile_b[slot(f.k + 3u, f.block, BLOCKS_N)] = v[3];
    }
}

// sum + rows x columns, one column of the matrix per row of C.
fn outer(sum: mat4x4<f32>, rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        sum[0] + rows.x * columns,
        sum[1] + rows.y * columns,
        sum[2] + rows.z * columns,
        sum[3] + rows.w * columns,
    );
}

fn finish_row(base_c: u32, row: u32, column: u32, sum: vec4<f32>) {
    finish(base_c, row, column, sum.x);
    finish(base_c, row, column + 1u, sum.y);
    finish(base_c, row, column + 2u, sum.z);
    finish(base_c, row, column + 3u, sum.w);
}

fn finish_block(base_c: u32, row: u32, column: u32, sum: mat4x4<f32>) {
    finish_row(base_c, row, column, sum[0]);
    finish_row(base_c, row + 1u, column, sum[1]);
    finish_row(base_c, row + 2u, column, sum[2]);
    finish_row(base_c, row + 3u, column, sum[3]);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = wid.x + wid.y * groups.x;
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let tile = tile_at(flat % (tiles_m * tiles_n), tiles_m, tiles_n);
    let row = tile.x * TILE_M;
    let column = tile.y * TILE_N;
    let slice = flat / (tiles_n * tiles_m);
    let member = slice % params.batch;
    let k_start = slice / params.batch * params.k_part;
    if k_start >= params.k {
        return;
    }
    let k_end = min(params.k, k_start + params.k_part);
    let base_a = params.offset_a + member * params.stride_a;
    let base_b = params.offset_b + member * params.stride_b;

    // A thread owns four rows and columns in each 64 x 64 quarter of the tile.
    let x = thread % 16u;
    let y = thread / 16u;
    let f = fetch_of(thread);
    var s00 = mat4x4<f32>();
    var s01 = mat4x4<f32>();
    var s10 = mat4x4<f32>();
    var s11 = mat4x4<f32>();
    var next = fetch(f, base_a, base_b, row, column, k_start, k_end);
    for (var l = k_start; l < k_end; l += TILE_K) {
        stage(f, next);
        workgroupBarrier();
        next = fetch(f, base_a, base_b, row, column, l + TILE_K, k_end);
        for (var k = 0u; k < TILE_K; k += 1u) {
            let a0 = tile_a[slot(k, y, BLOCKS_M)];
            let b0 = tile_b[slot(k, x, BLOCKS_N)];
            s00 = outer(s00, a0, b0);
            if TILE_N > 64u {
                let b1 = tile_b[slot(k, x + 16u, BLOCKS_N)];
                s01 = outer(s01, a0, b1);
                if TILE_M > 64u {
                    s11 = outer(s11, tile_a[slot(k, y + 16u, BLOCKS_M)], b1);
                }
            }
            if TILE_M > 64u {
                s10 = outer(s10, tile_a[slot(k, y + 16u, BLOCKS_M)], b0);
            }
        }
        workgroupBarrier();
    }

    let base_c = params.offset_c + slice * params.stride_c;
    finish_block(base_c, row + 4u * y, column + 4u * x, s00);
    if TILE_N > 64u {
        finish_block(base_c, row + 4u * y, column + 4u * x + 64u, s01);
    }
    if TILE_M > 64u {
        finish_block(base_c, row + 4u * y + 64u, column + 4u * x, s10);
    }
    if TILE_M > 64u && TILE_N > 64u {
        finish_block(base_c, row + 4u * y + 64u, column + 4u * x + 64u, s11);
    }
}
