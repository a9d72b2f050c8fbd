// One step of RMSprop, in place.
//
// weight           [n], rounded up to whole vectors; the padding is written but never read back
// square_avg       as weight
// momentum_buffer  as weight, touched with MOMENTUM only
// grad_avg         as weight, touched with CENTERED only
// grad             as weight
// learning_rate    [1]; negative: nothing changes
//
//   g = g + weight_decay w,  s = alpha s + (1 - alpha) g^2
//   CENTERED  a = alpha a + (1 - alpha) g,  d = s - a^2;  else d = s
//   b = g / (sqrt(d) + eps), with MOMENTUM + momentum b
//   w = w - learning_rate * learning_rate_scale * b
// One invocation takes one vector of four elements.
//
// Source: Tieleman & Hinton 2012, lecture 6.5; Graves 2013, equations 38 to 45; PyTorch's RMSprop.

// import lib/index.wgsl

const MOMENTUM: bool = false;
const CENTERED: bool = false;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    alpha: f32,
    rest: f32,
    eps: f32,
    weight_decay: f32,
    momentum: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> square_avg: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> momentum_buffer: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> grad_avg: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> learning_rate: array<f32>;
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
    let w = weight[i];
    let g = grad[i] + params.weight_decay * w;
    let s = params.alpha * square_avg[i] + params.rest * g * g;
    square_avg[i] = s;
    var variance = s;
    if CENTERED {
        let a = params.alpha * grad_avg[i] + params.rest * g;
        grad_avg[i] = a;
        // Rounding may take it below 0.
        variance = max(s - a * a, vec4(0.0));
    }
    var b = g / (sqrt(variance) + params.eps);
    if MOMENTUM {
        b += params.momentum * momentum_buffer[i];
        momentum_buffer[i] = b;
    }
    weight[i] = w - learning_rate[0] * params.learning_rate_scale * b;
}
