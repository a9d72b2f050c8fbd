// average[i] = decay average[i] + (1 - decay) weight[i], in place; in the first step, weight[i].
//
// average  [n], rounded up to whole vectors; the padding is written but never read back
// weight   as average
// step     [1], from 1
//
// One invocation takes one vector of four elements.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    decay: f32,
    rest: f32,
}

@group(0) @binding(0) var<storage, read_write> average: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> step: array<f32>;
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
    let w = weight[i];
    if step[0] > 1.0 {
        average[i] = params.decay * average[i] + params.rest * w;
    } else {
        average[i] = w;
    }
}
