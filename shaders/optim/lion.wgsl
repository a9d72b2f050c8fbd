// One step of Lion, in place.
//
// weight         [n], rounded up to whole vectors; the padding is written but never read back
// exp_avg        as weight
// grad           as weight
// learning_rate  [1]; negative: nothing changes
//
//   w = w - r (sign(beta1 m + (1 - beta1) g) + weight_decay w), r = learning_rate * learning_rate_scale
//   m = beta2 m + (1 - beta2) g
// One invocation takes one vector of four elements.
//
// Source: Chen et al. 2023, algorithm 2.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> exp_avg: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors || learning_rate[0] < 0.0 {
        return;
    }
    let w = weight[i];
    let g = grad[i];
    let m = exp_avg[i];
    let direction = sign(params.beta1 * m + params.rest1 * g);
    let rate = learning_rate[0] * params.learning_rate_scale;
    weight[i] = w - rate * (direction + params.weight_decay * w);
    exp_avg[i] = params.beta2 * m + params.rest2 * g;
}
