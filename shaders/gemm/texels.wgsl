// Matrix product for a CPU that runs Vulkan with 8-lane subgroups (lavapipe), on texels:
//     C[i, j] = sum_l op(A)[i, l] * op(B)[l, j]  (+ C[i, j])  (+ bias)  (then ReLU)
// Such a driver reads buffers lane by lane, and each element that it puts into its vector waits for the
// one before. For texels it has vector code, several times as fast. Otherwise this is subgroup.wgsl: no
// workgroup memory; every lane loads only what no other lane has (one 4 x 4 block of A and one of B per
// four steps of k) and A's rows reach the other lanes by subgroupBroadcast.
//
// a     m x k, row-major with leading dimension lda ([k, m] when TRANS_A), one per batch member
// b     k x n, row-major with leading dimension ldb ([n, k] when TRANS_B), one per batch member
// bias  [m] (BIAS 1) or [n] (BIAS 2) from offset_bias on, shared by the batch; unread when BIAS is
//       0 (bind any other buffer)
// c     m x n, row-major with leading dimension ldc ([n, m] when TRANS_C), one per batch member
// a and b are texels of four elements, texel i at column i % 2^SHIFT of row i / 2^SHIFT. ALIGNED_A: lda,
// stride_a and offset_a are multiples of 4 (else each vector costs two loads); ALIGNED_B alike.
//
// Split k and workgroup: as in subgroup.wgsl; tiles as lib/swizzle.wgsl says.
const SHIFT_A: u32 = 12u;
const SHIFT_B: u32 = 12u;
const TILE_M: u32 = 32u;
const TILE_N: u32 = 32u;
const TRANS_A: bool = false;
const TRANS_B: bool = false;
const TRANS_C: bool = false;
const ALIGNED_A: bool = true;
const ALIGNED_B: bool = true;
const BIAS: u32 = 0u;
const RELU: bool = false;

@group(0) @binding(0) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn vector_a(index: u32) -> vec4<f32> {
    return textureLoad(a, vec2(index & ((1u << SHIFT_A) - 1u), index >> SHIFT_A));
}

fn vector_b(index: u32) -> vec4<f32> {
    return textureLoad(b, vec2(index & ((1u << SHIFT_B) - 1u), index >> SHIFT_B));
}

// Any texel may be read: one past the last is nothing, and not used.
fn last_a() -> u32 {
    return 0xffffffffu;
}

fn last_b() -> u32 {
    return 0xffffffffu;
}

// import lib/gemm.wgsl
// import lib/subgroup_tile.wgsl
// import lib/gemm_rows.wgsl
// import lib/swizzle.wgsl

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = wid.x + wid.y * groups.x;
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let slice = flat / (tiles_n * tiles_m);
    let tile = tile_at(flat - slice * tiles_n * tiles_m, tiles_m, tiles_n);
    let row = tile.x * TILE_M;
    let column = tile.y * TILE_N + lane * 4u;
    let member = slice % params.batch;
    let k_start = slice / params.batch * params.k_part;
    if k_start >= params.k {
        return;
    }
    let k_end = min(params.k, k_start + params.k_part);
    let base_a = params.offset_a + member * params.stride_a;
    let base_b = params.offset_b + member * params.stride_b;

    for (var l = k_start; l < k_end; l += 4u) {
        multiply_add(
            block_a(base_a, row + lane * 4u, l, k_end),
            block_b(base_b, column, l, k_end),
        );
    }

    let base_c = params.offset_c + slice * params.stride_c;
    let is_whole = row + TILE_M <= params.m && column - lane * 4u + TILE_N <= params.n;
    if is_whole && !TRANS_C && params.accumulate == 0u {
        start_rows(base_c, row, column);
        finish_rows();
        return;
    }
    let rows = min(TILE_M, params.m - row);
    for (var r = 0u; r < rows; r += 1u) {
        let value = sums_of(r);
        finish(base_c, row + r, column, value.x);
        finish(base_c, row + r, column + 1u, value.y);
        finish(base_c, row + r, column + 2u, value.z);
        finish(base_c, row + r, column + 3u, value.w);
    }
}
