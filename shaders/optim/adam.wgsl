// One step of Adam, in place.
//
// weight          [n], rounded up to whole vectors; the padding is written but never read back
// exp_avg         as weight
// exp_avg_sq      as weight
// max_exp_avg_sq  as weight, touched with AMSGRAD only
// grad            as weight
// learning_rate   [1]; negative: nothing changes
// step            [1], from 1
//
// With r = learning_rate * learning_rate_scale:
//   DECOUPLED  w = w (1 - r weight_decay), else g = g + weight_decay w
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   w = w - r m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps)
// With AMSGRAD the largest v so far stands in for v. One invocation takes one vector of four elements.
//
// Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.

// import lib/index.wgsl
// import lib/one_minus_exp.wgsl

const DECOUPLED: bool = false;
const AMSGRAD: bool = false;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    beta1: f32,
    rest1: f32,
    log_beta1: f32,
    beta2: f32,
    rest2: f32,
    log_beta2: f32,
    eps: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> exp_avg: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> exp_avg_sq: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> max_exp_avg_sq: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(6) var<storage, read> step: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors || learning_rate[0] < 0.0 {
        return;
    }
    let rate = learning_rate[0] * params.learning_rate_scale;
    var w = weight[i];
    var g = grad[i];
    if DECOUPLED {
        w *= 1.0 - rate * params.weight_decay;
    } else {
        g += params.weight_decay * w;
    }
    let m = params.beta1 * exp_avg[i] + params.rest1 * g;
    let v = params.beta2 * exp_avg_sq[i] + params.rest2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    var divisor = v;
    if AMSGRAD {
        divisor = max(max_exp_avg_sq[i], v);
        max_exp_avg_sq[i] = divisor;
    }
    let correction = sqrt(one_minus_exp(params.log_beta2 * step[0]));
    let length = rate / one_minus_exp(params.log_beta1 * step[0]);
    weight[i] = w - length * m / (sqrt(divisor) / correction + params.eps);
}
