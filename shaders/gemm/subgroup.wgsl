// Matrix product for a CPU that runs Vulkan with 8-lane subgroups (lavapipe):
//     C[i, j] = sum_l op(A)[i, l] * op(B)[l, j]  (+ C[i, j])  (+ bias)  (then ReLU)
// Such a driver loads storage lane by lane, which costs far more than arithmetic.
// So there is no workgroup memory; every lane loads only what no other lane has
// (one 4 x 4 block of A and one of B per four steps of k) and A's rows reach the
// other lanes by subgroupBroadcast: 8 vector loads feed 512 multiply-adds.
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
// Workgroup: 8 lanes (all of one subgroup, so the adapter's subgroups must have at least 8),
// TILE_M x TILE_N outputs of one batch member. Lane: TILE_M rows x 4 columns.
// TILE_M is 8, 16 or 32 (fewer rows for thin matrices). Grid: flattened,
// ceil(m / TILE_M) * ceil(n / TILE_N) * batch * ceil(k / k_part) workgroups, n fastest.
const TILE_M: u32 = 32u;
const TILE_N: u32 = 32u;
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

// import lib/gemm.wgsl

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let flat = wid.x + wid.y * groups.x;
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let row = flat / tiles_n % tiles_m * TILE_M;
    let column = flat % tiles_n * TILE_N + lane * 4u;
    let slice = flat / (tiles_n * tiles_m);
    let member = slice % params.batch;
    let k_start = slice / params.batch * params.k_part;
    if k_start >= params.k {
        return;
    }
    let k_end = min(params.k, k_start + params.k_part);
    let base_a = params.offset_a + member * params.stride_a;
    let base_b = params.offset_b + member * params.stride_b;

    // TILE_M of these are used; indexed by constants only, they stay in registers.
    var sum = array<vec4<f32>, 32>();
    for (var l = k_start; l < k_end; l += 4u) {
        let bl = block_b(base_b, column, l, k_end);
        let al = block_a(base_a, row + lane * 4u, l, k_end);
        sum[0] += bl * subgroupBroadcast(al[0], 0u);
        sum[1] += bl * subgroupBroadcast(al[1], 0u);
        sum[2] += bl * subgroupBroadcast(al[2], 0u);
        sum[3] += bl * subgroupBroadcast(al[3], 0u);
        sum[4] += bl * subgroupBroadcast(al[0], 1u);
        sum[5] += bl * subgroupBroadcast(al[1], 1u);
        sum[6] += bl * subgroupBroadcast(al[2], 1u);
        sum[7] += bl * subgroupBroadcast(al[3], 1u);
        if TILE_M > 8u {
            sum[8] += bl * subgroupBroadcast(al[0], 2u);
            sum[9] += bl * subgroupBroadcast(al[1], 2u);
            sum[10] += bl * subgroupBroadcast(al[2], 2u);
            sum[11] += bl * subgroupBroadcast(al[3], 2u);
            sum[12] += bl * subgroupBroadcast(al[0], 3u);
            sum[13] += bl * subgroupBroadcast(al[1], 3u);
            sum[14] += bl * subgroupBroadcast(al[2], 3u);
            sum[15] += bl * subgroupBroadcast(al[3], 3u);
        }
        if TILE_M > 16u {
            sum[16] += bl * subgroupBroadcast(al[0], 4u);
            sum[17] += bl * subgroupBroadcast(al[1], 4u);
            sum[18] += bl * subgroupBroadcast(al[2], 4u);
            sum[19] += bl * subgroupBroadcast(al[3], 4u);
            sum[20] += bl * subgroupBroadcast(al[0], 5u);
            sum[21] += bl * subgroupBroadcast(al[1], 5u);
            sum[22] += bl * subgroupBroadcast(al[2], 5u);
            sum[23] += bl * subgroupBroadcast(al[3], 5u);
            sum[24] += bl * subgroupBroadcast(al[0], 6u);
            sum[25] += bl * subgroupBroadcast(al[1], 6u);
            sum[26] += bl * subgroupBroadcast(al[2], 6u);
            sum[27] += bl * subgroupBroadcast(al[3], 6u);
            sum[28] += bl * subgroupBroadcast(al[0], 7u);
            sum[29] += bl * subgroupBroadcast(al[1], 7u);
            sum[30] += bl * subgroupBroadcast(al[2], 7u);
            sum[31] += bl * subgroupBroadcast(al[3], 7u);
        }
    }

    let base_c = params.offset_c + slice * params.stride_c;
    // A switch, not sum[r]: one variable index would push all of `sum` out of the registers.
    let rows = min(TILE_M, params.m - row);
    for (var r = 0u; r < rows; r += 1u) {
        var value = sum[0];
        switch r {
            case 1u: { value = sum[1]; }
            case 2u: { value = sum[2]; }
            case 3u: { value = sum[3]; }
            case 4u: { value = sum[4]; }
            case 5u: { value = sum[5]; }
            case 6u: { value = sum[6]; }
            case 7u: { value = sum[7]; }
            case 8u: { value = sum[8]; }
            case 9u: { value = sum[9]; }
            case 10u: { value = sum[10]; }
            case 11u: { value = sum[11]; }
            case 12u: { value = sum[12]; }
            case 13u: { value = sum[13]; }
            case 14u: { value = sum[14]; }
            case 15u: { value = sum[15]; }
            case 16u: { value = sum[16]; }
            case 17u: { value = sum[17]; }
            case 18u: { value = sum[18]; }
            case 19u: { value = sum[19]; }
            case 20u: { value = sum[20]; }
            case 21u: { value = sum[21]; }
            case 22u: { value = sum[22]; }
            case 23u: { value = sum[23]; }
            case 24u: { value = sum[24]; }
            case 25u: { value = sum[25]; }
            case 26u: { value = sum[26]; }
            case 27u: { value = sum[27]; }
            case 28u: { value = sum[28]; }
            case 29u: { value = sum[29]; }
            case 30u: { value = sum[30]; }
            case 31u: { value = sum[31]; }
            default: {}
        }
        finish(base_c, row + r, column, value.x);
        finish(base_c, row + r, column + 1u, value.y);
        finish(base_c, row + r, column + 2u, value.z);
        finish(base_c, row + r, column + 3u, value.w);
    }
}
