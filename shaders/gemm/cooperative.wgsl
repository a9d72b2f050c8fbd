// Matrix product for a GPU whose subgroups multiply matrices (tensor cores): factors in half precision, or
// where the adapter has such in single precision, and sums in single precision.
//     C[i, j] = sum_l op(A)[i, l] * op(B)[l, j]  (+ C[i, j])  (+ bias)  (then ReLU)
// lib/cooperative_tile.wgsl has the method; Markidis et al. 2018, "NVIDIA tensor core programmability,
// performance & precision", what the hardware does.
//
// a, b, bias, c, TRANS_*, ALIGNED_*, BIAS, RELU and split k as in gemm/tiled.wgsl.
//
// Workgroup: THREADS invocations, TILE x TILE outputs of one batch member, 32 steps of k at a time. Grid:
// flattened, ceil(m / TILE) * ceil(n / TILE) * batch * ceil(k / k_part) workgroups, tiles as
// lib/swizzle.wgsl says. TILE is 128 or 64; MATRICES says which matrices the adapter has.
const THREADS: u32 = 256u;
const SUBGROUPS: u32 = 8u;
const TRANS_A: bool = false;
const TRANS_B: bool = false;
const TRANS_C: bool = false;
const ALIGNED_A: bool = true;
const ALIGNED_B: bool = true;
const BIAS: u32 = 0u;
const RELU: bool = false;

const ALONG_K_A = !TRANS_A;
const ALONG_K_B = TRANS_B;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// import lib/gemm_buffers.wgsl
// import lib/gemm.wgsl
// import lib/cooperative_tile.wgsl
// import lib/swizzle.wgsl

// Where the workgroup's matrices start.
var<private> base_a: u32;
var<private> base_b: u32;
var<private> base_c: u32;

// There is nothing to prepare.
fn prepare(column: u32) {}

fn rows_of_a(row: u32, k: u32, k_end: u32) -> mat4x4<f32> {
    if k >= k_end {
        return mat4x4<f32>();
    }
    return block_a(base_a, row, k, k_end);
}

fn rows_of_b(k: u32, column: u32, k_end: u32) -> mat4x4<f32> {
    if k >= k_end {
        return mat4x4<f32>();
    }
    return block_b(base_b, column, k, k_end);
}

fn finish_quad(row: u32, column: u32, sums: vec4<f32>) {
    finish(base_c, row, column, sums.x);
    finish(base_c, row, column + 1u, sums.y);
    finish(base_c, row, column + 2u, sums.z);
    finish(base_c, row, column + 3u, sums.w);
}

fn finish_block(row: u32, column: u32, sums: mat4x4<f32>) {
    finish_quad(row, column, sums[0]);
    finish_quad(row + 1u, column, sums[1]);
    finish_quad(row + 2u, column, sums[2]);
    finish_quad(row + 3u, column, sums[3]);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = wid.x + wid.y * groups.x;
    let tiles_m = (params.m + TILE - 1u) / TILE;
    let tiles_n = (params.n + TILE - 1u) / TILE;
    let slice = flat / (tiles_n * tiles_m);
    let member = slice % params.batch;
    let k_start = slice / params.batch * params.k_part;
    if k_start >= params.k {
        return;
    }
    base_a = params.offset_a + member * params.stride_a;
    base_b = params.offset_b + member * params.stride_b;
    base_c = params.offset_c + slice * params.stride_c;
    let k_end = min(params.k, k_start + params.k_part);
    let tile = tile_at(flat % (tiles_m * tiles_n), tiles_m, tiles_n) * TILE;
    multiply(thread, tile.x, tile.y, k_start, k_end);
}
