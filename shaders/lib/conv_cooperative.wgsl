// The core of the tiled convolution kernels for GPUs whose subgroups multiply matrices: in place of
// lib/conv_tile.wgsl, with the same functions. lib/cooperative_tile.wgsl has the method.

const SUBGROUPS: u32 = 8u;
// The left factors are contiguous in k but for strides, the right ones in columns.
const ALONG_K_A = true;
const ALONG_K_B = false;

// import lib/cooperative_tile.wgsl

fn rows_of_a(row: u32, k: u32, k_end: u32) -> mat4x4<f32> {
    return transpose(mat4x4(
        fetch_a(row, k, k_end),
        fetch_a(row, k + 1u, k_end),
        fetch_a(row, k + 2u, k_end),
        fetch_a(row, k + 3u, k_end),
    ));
}

fn rows_of_b(k: u32, column: u32, k_end: u32) -> mat4x4<f32> {
    return mat4x4(
        fetch_b(k, k_end), fetch_b(k + 1u, k_end), fetch_b(k + 2u, k_end), fetch_b(k + 3u, k_end));
}
