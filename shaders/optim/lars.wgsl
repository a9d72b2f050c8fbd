// One step of layer-wise adaptive rate scaling, in place.
//
// weight         [n], rounded up to whole vectors; the padding is written but never read back
// velocity       as weight
// grad           as weight
// learning_rate  [1]; negative: nothing changes
// weight_square  [1], the sum of the squares of the weight
// grad_square    [1], the sum of the squares of the gradient
//
//   t = trust_coefficient |w| / (|g| + weight_decay |w|), or 1 where either norm is 0
//   v = momentum v + learning_rate * learning_rate_scale * t (g + weight_decay w),  w = w - v
// One invocation takes one vector of four elements.
//
// Source: You et al. 2017, algorithm 1.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    momentum: f32,
    weight_decay: f32,
    trust_coefficient: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> velocity: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(4) var<storage, read> weight_square: array<f32>;
@group(0) @binding(5) var<storage, read> grad_square: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors || learning_rate[0] < 0.0 {
        return;
    }
    let weight_norm = sqrt(weight_square[0]);
    let grad_norm = sqrt(grad_square[0]);
    var trust = 1.0;
    if weight_norm > 0.0 && grad_norm > 0.0 {
        trust = params.trust_coefficient * weight_norm
            / (grad_norm + params.weight_decay * weight_norm);
    }
    let rate = learning_rate[0] * params.learning_rate_scale * trust;
    let w = weight[i];
    let v = params.momentum * velocity[i] + rate * (grad[i] + params.weight_decay * w);
    velocity[i] = v;
    weight[i] = w - v;
}
