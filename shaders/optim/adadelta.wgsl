// One step of Adadelta, in place.
//
// weight         [n], rounded up to whole vectors; the padding is written but never read back
// square_avg     as weight
// acc_delta      as weight
// grad           as weight
// learning_rate  [1]; negative: nothing changes
//
//   g = g + weight_decay w,  s = rho s + (1 - rho) g^2
//   d = sqrt(a + eps) / sqrt(s + eps) g,  a = rho a + (1 - rho) d^2
//   w = w - learning_rate * learning_rate_scale * d
// One invocation takes one vector of four elements.
//
// Source: Zeiler 2012, algorithm 1.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    rho: f32,
    rest: f32,
    eps: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> square_avg: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> acc_delta: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> learning_rate: array<f32>;
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
    let w = weight[i];
    let g = grad[i] + params.weight_decay * w;
    let s = params.rho * square_avg[i] + params.rest * g * g;
    let a = acc_delta[i];
    let d = sqrt(a + params.eps) / sqrt(s + params.eps) * g;
    square_avg[i] = s;
    acc_delta[i] = params.rho * a + params.rest * d * d;
    weight[i] = w - learning_rate[0] * params.learning_rate_scale * d;
}
