// sum[i] = sum[i] + factor * addend[i], in place.
//
// sum     [n]
// addend  [n]
// factor  [1], read only where SCALED
//
// One invocation takes one vector of four elements.

// import lib/index.wgsl

const SCALED: bool = false;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
}

@group(0) @binding(0) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> addend: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    var x = addend[i];
    if SCALED {
        x = factor[0] * x;
    }
    sum[i] = sum[i] + x;
}
