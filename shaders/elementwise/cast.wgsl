// output[i] = input[i], in another precision.
//
// input   [4 * vectors], rounded up to whole vectors
// output  as input; the padding is written but never read back
//
// Written in f32 like every kernel: what the bindings hold, the engine puts in. One invocation takes one
// vector of four elements.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i < params.vectors {
        output[i] = input[i];
    }
}
