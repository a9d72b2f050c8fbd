// Matrix product for a CPU that runs Vulkan, without subgroups (lavapipe under default limits):
//     C[i, j] = sum_l op(A)[i, l] * op(B)[l, j]  (+ C[i, j])  (+ bias)  (then ReLU)
// Such a driver loads storage and workgroup memory lane by lane, which costs far more than
// arithmetic, so each lane keeps a large tile in registers and reads both operands itself, as
// vectors: 24 vector loads feed 512 multiply-adds.
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
// Workgroup: 8 threads, LANES_N of them side by side, 8 / LANES_N below each other; TILE_M x TILE_N
// outputs of one batch member. Thread: 16 rows x 8 columns. TILE_M = 128 / LANES_N, TILE_N = 8 * LANES_N:
// LANES_N is 8 for wide matrices, less for thin ones. Grid: flattened,
// ceil(m / TILE_M) * ceil(n / TILE_N) * batch * ceil(k / k_part) workgroups, n fastest.
const TILE_M: u32 = 16u;
const TILE_N: u32 = 64u;
const TRANS_A: bool = false;
const TRANS_B: bool = false;
const TRANS_C: bool = false;
const ALIGNED_A: bool = true;
const ALIGNED_B: bool = true;
const BIAS: u32 = 0u;
const RELU: bool = false;

const LANES_N = TILE_N / 8u;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// import lib/gemm_buffers.wgsl
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
    let row = flat / tiles_n % tiles_m * TILE_M + lane / LANES_N * 16u;
    let column = flat % tiles_n * TILE_N + lane % LANES_N * 8u;
    let slice = flat / (tiles_n * tiles_m);
    let member = slice % params.batch;
    let k_start = slice / params.batch * params.k_part;
    if k_start >= params.k {
        return;
    }
    let k_end = min(params.k, k_start + params.k_part);
    let base_a = params.offset_a + member * params.stride_a;
    let base_b = params.offset_b + member * params.stride_b;

    // Indexed by constants only, so that they stay in registers: rows x left and right columns.
    var left = array<vec4<f32>, 16>();
    var right = array<vec4<f32>, 16>();
    for (var l = k_start; l < k_end; l += 4u) {
        let b0 = block_b(base_b, column, l, k_end);
        let b1 = block_b(base_b, column + 4u, l, k_end);
        let a0 = block_a(base_a, row + 0u, l, k_end);
        left[0] += b0 * a0[0];
        right[0] += b1 * a0[0];
        left[1] += b0 * a0[1];
        right[1] += b1 * a0[1];
        left[2] += b0 * a0[2];
        right[2] += b1 * a0[2];
        left[3] += b0 * a0[3];
        right[3] += b1 * a0[3];
        let a1 = block_a(base_a, row + 4u, l, k_end);
        left[4] += b0 * a1[0];
        right[4] += b1 * a1[0];
        left[5] += b0 * a1[1];
        right[5] += b1 * a1[1];
        left[6] += b0 * a1[2];
        right[6] += b1 * a1[2];
        left[7] += b0 * a1[3];
        right[7] += b1 * a1[3];
        let a2 = block_a(base_a, row + 8u, l, k_end);
        left[8] += b0 * a2[0];
        right[8] += b1 * a2[0];
        left[9] += b0 * a2[1];
        right[9] += b1 * a2[1];
        left[10] += b0 * a2[2];
        right[10] += b1 * a2[2];
        left[11] += b0 * a2[3];
        right[11] += b1 * a2[3];
        let a3 = block_a(base_a, row + 12u, l, k_end);
        left[12] += b0 * a3[0];
        right[12] += b1 * a3[0];
        left[13] += b0 * a3[1];
        right[13] += b1 * a3[1];
        left[14] += b0 * a3[2];
        right[14] += b1 * a3[2];
        left[15] += b0 * a3[3];
        right[15] += b1 * a3[3];
    }

    let base_c = params.offset_c + slice * params.stride_c;
    // A switch, not left[r]: one variable index would push all of it out of the registers.
    for (var r = 0u; r < 16u; r += 1u) {
        var v0 = left[0];
        var v1 = right[0];
        switch r {
            case 1u: { v0 = left[1]; v1 = right[1]; }
            case 2u: { v0 = left[2]; v1 = right[2]; }
            case 3u: { v0 = left[3]; v1 = right[3]; }
            case 4u: { v0 = left[4]; v1 = right[4]; }
            case 5u: { v0 = left[5]; v1 = right[5]; }
            case 6u: { v0 = left[6]; v1 = right[6]; }
            case 7u: { v0 = left[7]; v1 = right[7]; }
            case 8u: { v0 = left[8]; v1 = right[8]; }
            case 9u: { v0 = left[9]; v1 = right[9]; }
            case 10u: { v0 = left[10]; v1 = right[10]; }
            case 11u: { v0 = left[11]; v1 = right[11]; }
            case 12u: { v0 = left[12]; v1 = right[12]; }
            case 13u: { v0 = left[13]; v1 = right[13]; }
            case 14u: { v0 = left[14]; v1 = right[14]; }
            case 15u: { v0 = left[15]; v1 = right[15]; }
            default: {}
        }
        finish(base_c, row + r, column + 0u, v0.x);
        finish(base_c, row + r, column + 1u, v0.y);
        finish(base_c, row + r, column + 2u, v0.z);
        finish(base_c, row + r, column + 3u, v0.w);
        finish(base_c, row + r, column + 4u, v1.x);
        finish(base_c, row + r, column + 5u, v1.y);
        finish(base_c, row + r, column + 6u, v1.z);
        finish(base_c, row + r, column + 7u, v1.w);
    }
}
