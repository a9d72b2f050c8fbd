// data[i] = data[i] * factor[0], in place.
//
// data    [n], rounded up to whole vectors; the padding is written but never read back
// factor  [1]
//
// One invocation takes one vector of four elements.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
}

@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    data[i] = data[i] * factor[0];
}
