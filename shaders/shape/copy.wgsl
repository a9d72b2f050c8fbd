// Copies a box of elements between a tensor in which they lie one after another and one in which they
// have strides: permuting, slicing and broadcasting gather, concatenating and padding scatter.
//     gather   target[i] = source[offset(i)]
//     scatter  target[offset(i)] = source[i]
// with offset(i) = sum over axes k of index_k(params.first + i) * s_k, counted in the bound window.
//
// source  gather: a window of the strided tensor; scatter: elements of the box, from params.first
// target  gather: elements of the box, from params.first; scatter: a window of the strided tensor
//
// Both as bit patterns, of any type. One invocation takes one element; those outside the window are
// another dispatch's. RANK is the number of axes, at most 6.

// import lib/index.wgsl
// import lib/strided.wgsl

const SCATTER: bool = false;
const RANK: u32 = 6u;
const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    first: u32,
    // Where the box starts, less where the window does; it may wrap around.
    origin: u32,
    window: u32,
    d0: u32,
    d1: u32,
    d2: u32,
    d3: u32,
    d4: u32,
    d5: u32,
    s0: u32,
    s1: u32,
    s2: u32,
    s3: u32,
    s4: u32,
    s5: u32,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_data: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.count {
        return;
    }
    let at = params.origin + strided_offset(
        params.first + i,
        params.d1, params.d2, params.d3, params.d4, params.d5,
        params.s0, params.s1, params.s2, params.s3, params.s4, params.s5,
    );
    if at >= params.window {
        return;
    }
    if SCATTER {
        target_data[at] = source[i];
    } else {
        target_data[i] = source[at];
    }
}
