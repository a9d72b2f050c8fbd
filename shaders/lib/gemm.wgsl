// What the matrix-product kernels share: their parameters, block loads that work for every
// transposition and alignment, and the epilogue. The kernel declares the operands `a` and `b` and
// `vector_a(i)`, `vector_b(i)` that read the elements from 4 * i on of them, for i up to `last_a()`,
// `last_b()`; `bias` and `c` (array<f32>), `params`, and the constants TRANS_A, TRANS_B, TRANS_C,
// ALIGNED_A, ALIGNED_B, BIAS and RELU.

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

const ZERO = vec4<f32>();

// import lib/window.wgsl

fn load_a(index: u32) -> vec4<f32> {
    if ALIGNED_A {
        return vector_a(index / 4u);
    }
    // Clamped: the last window of a buffer may end before its second vector.
    let next = min(index / 4u + 1u, last_a());
    return window(vector_a(index / 4u), vector_a(next), index % 4u);
}

fn load_b(index: u32) -> vec4<f32> {
    if ALIGNED_B {
        return vector_b(index / 4u);
    }
    // Clamped: the last window of a buffer may end before its second vector.
    let next = min(index / 4u + 1u, last_b());
    return window(vector_b(index / 4u), vector_b(next), index % 4u);
}

// `count` elements of a vector, the rest zero.
fn first(v: vec4<f32>, count: u32) -> vec4<f32> {
    return select(ZERO, v, vec4(0u, 1u, 2u, 3u) < vec4(count));
}

// op(A)[row .. row + 4, l .. l + 4], one column of the result per row; zero from k_end on.
fn block_a(base: u32, row: u32, l: u32, k_end: u32) -> mat4x4<f32> {
    let left = k_end - l;
    if TRANS_A {
        let at = base + min(row, (params.m - 1u) / 4u * 4u);
        let v0 = load_a(at + l * params.lda);
        let v1 = load_a(at + min(l + 1u, k_end - 1u) * params.lda);
        let v2 = load_a(at + min(l + 2u, k_end - 1u) * params.lda);
        let v3 = load_a(at + min(l + 3u, k_end - 1u) * params.lda);
        return transpose(mat4x4(
            v0,
            select(ZERO, v1, left > 1u),
            select(ZERO, v2, left > 2u),
            select(ZERO, v3, left > 3u),
        ));
    }
    let last = params.m - 1u;
    return mat4x4(
        first(load_a(base + min(row, last) * params.lda + l), left),
        first(load_a(base + min(row + 1u, last) * params.lda + l), left),
        first(load_a(base + min(row + 2u, last) * params.lda + l), left),
        first(load_a(base + min(row + 3u, last) * params.lda + l), left),
    );
}

// op(B)[l .. l + 4, column .. column + 4], one column of the result per l; zero from k_end on.
fn block_b(base: u32, column: u32, l: u32, k_end: u32) -> mat4x4<f32> {
    let left = k_end - l;
    if TRANS_B {
        let last = params.n - 1u;
        return transpose(mat4x4(
            first(load_b(base + min(column, last) * params.ldb + l), left),
            first(load_b(base + min(column + 1u, last) * params.ldb + l), left),
            first(load_b(base + min(column + 2u, last) * params.ldb + l), left),
            first(load_b(base + min(column + 3u, last) * params.ldb + l), left),
        ));
    }
    let at = base + min(column, (params.n - 1u) / 4u * 4u);
    let v0 = load_b(at + l * params.ldb);
    let v1 = load_b(at + min(l + 1u, k_end - 1u) * params.ldb);
    let v2 = load_b(at + min(l + 2u, k_end - 1u) * params.ldb);
    let v3 = load_b(at + min(l + 3u, k_end - 1u) * params.ldb);
    return mat4x4(
        v0,
        select(ZERO, v1, left > 1u),
        select(ZERO, v2, left > 2u),
        select(ZERO, v3, left > 3u),
    );
}

// C[row, column] = sum (+ C[row, column]) (+ bias) (then ReLU); nothing outside of C.
fn finish(base_c: u32, row: u32, column: u32, sum: f32) {
    if row >= params.m || column >= params.n {
        return;
    }
    var index = base_c + row * params.ldc + column;
    if TRANS_C {
        index = base_c + column * params.ldc + row;
    }
    var value = sum;
    if params.accumulate != 0u {
        value += c[index];
    }
    if BIAS == 1u {
        value += bias[params.offset_bias + row];
    } else if BIAS == 2u {
        value += bias[params.offset_bias + column];
    }
    if RELU {
        value = max(value, 0.0);
    }
    c[index] = value;
}
