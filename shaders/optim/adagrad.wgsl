// One step of Adagrad, in place.
//
// weight         [n], rounded up to whole vectors; the padding is written but never read back
// state_sum      as weight
// grad           as weight
// learning_rate  [1]; negative: nothing changes
// step           [1], from 1, read with FALLING only
//
//   g = g + weight_decay w,  s = s + g^2
//   r = learning_rate * learning_rate_scale, with FALLING divided by 1 + (step - 1) lr_decay
//   w = w - r g / (sqrt(s) + eps)
// One invocation takes one vector of four elements.
//
// Source: Duchi et al. 2011, figure 1; PyTorch's Adagrad.

// import lib/index.wgsl

const FALLING: bool = false;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    lr_decay: f32,
    eps: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> state_sum: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(4) var<storage, read> step: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors || learning_rate[0] < 0.0 {
        return;
    }
    var rate = learning_rate[0] * params.learning_rate_scale;
    if FALLING {
        rate /= 1.0 + (max(step[0], 1.0) - 1.0) * params.lr_decay;
    }
    let w = weight[i];
    let g = grad[i] + params.weight_decay * w;
    let s = state_sum[i] + g * g;
    state_sum[i] = s;
    weight[i] = w - rate * g / (sqrt(s) + params.eps);
}
