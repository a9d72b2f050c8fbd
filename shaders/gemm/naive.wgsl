// Matrix product, one thread per output element:
//     C[i, j] = sum_l op(A)[i, l] * op(B)[l, j]  (+ C[i, j])  (+ bias)  (then ReLU)
// The kernel to read first and to compare the others with; its inner loop is
// two loads per multiply-add, so it is slow everywhere.
//
// a     m x k, row-major with leading dimension lda ([k, m] when TRANS_A), one per batch member
// b     k x n, row-major with leading dimension ldb ([n, k] when TRANS_B), one per batch member
// bias  [m] (BIAS 1) or [n] (BIAS 2) from offset_bias on, shared by the batch; unread when BIAS is
//       0 (bind `b` again)
// c     m x n, row-major with leading dimension ldc, one per batch member
//
// Workgroup: TILE_M x TILE_N outputs of one batch member. Grid: flattened,
// ceil(m / TILE_M) * ceil(n / TILE_N) * batch workgroups, n fastest, then m, then batch.
const TILE_M: u32 = 8u;
const TILE_N: u32 = 8u;
const TRANS_A: bool = false;
const TRANS_B: bool = false;
const BIAS: u32 = 0u;
const RELU: bool = false;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    lda: u32,
    ldb: u32,
    ldc: u32,
    batch: u32,
    stride_a: u32,
    stride_b: u32,
    stride_c: u32,
    offset_a: u32,
    offset_b: u32,
    offset_c: u32,
    accumulate: u32,
    k_part: u32,
    offset_bias: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(TILE_N, TILE_M)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let flat = wid.x + wid.y * groups.x;
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let row = (flat / tiles_n) % tiles_m * TILE_M + local.y;
    let column = flat % tiles_n * TILE_N + local.x;
    let member = flat / (tiles_n * tiles_m);
    if member >= params.batch || row >= params.m || column >= params.n {
        return;
    }

    var a_step = 1u;
    var b_step = params.ldb;
    var a_index = params.offset_a + member * params.stride_a;
    var b_index = params.offset_b + member * params.stride_b;
    if TRANS_A {
        a_step = params.lda;
        a_index += row;
    } else {
        a_index += row * params.lda;
    }
    if TRANS_B {
        b_step = 1u;
        b_index += column * params.ldb;
    } else {
        b_index += column;
    }

    var sum = 0.0;
    for (var l = 0u; l < params.k; l += 1u) {
        sum += a[a_index] * b[b_index];
        a_index += a_step;
        b_index += b_step;
    }

    let c_index = params.offset_c + member * params.stride_c + row * params.ldc + column;
    if params.accumulate != 0u {
        sum += c[c_index];
    }
    if BIAS == 1u {
        sum += bias[params.offset_bias + row];
    } else if BIAS == 2u {
        sum += bias[params.offset_bias + column];
    }
    if RELU {
        sum = max(sum, 0.0);
    }
    c[c_index] = sum;
}
