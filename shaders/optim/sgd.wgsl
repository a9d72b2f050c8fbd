// One step of stochastic gradient descent with momentum and weight decay, in place.
//
// weight         [n], rounded up to whole vectors; the padding is written but never read back
// velocity       as weight
// grad           as weight
// learning_rate  [1]
//
// CUDA_CONVNET chooses between two forms, with r = learning_rate * learning_rate_scale:
//   false  v = momentum v + (g + weight_decay w),      w = w - r v   (PyTorch)
//   true   v = momentum v - r (g + weight_decay w),    w = w + v     (Krizhevsky et al. 2012)
// One invocation takes one vector of four elements.

// import lib/index.wgsl

const CUDA_CONVNET: bool = false;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    momentum: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> velocity: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> learning_rate: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    let rate = learning_rate[0] * params.learning_rate_scale;
    let w = weight[i];
    let slope = grad[i] + params.weight_decay * w;
    if CUDA_CONVNET {
        let v = params.momentum * velocity[i] - rate * slope;
        velocity[i] = v;
        weight[i] = w + v;
    } else {
        let v = params.momentum * velocity[i] + slope;
        velocity[i] = v;
        weight[i] = w - rate * v;
    }
}
