// One step of stochastic gradient descent with momentum and weight decay, in place.
//
// weight         [n], rounded up to whole vectors; the padding is written but never read back
// velocity       as weight
// grad           as weight
// learning_rate  [1]; negative: nothing changes
// step           [1], from 1, read with DAMPENED only
//
// CUDA_CONVNET chooses between two forms, with r = learning_rate * learning_rate_scale:
//   false  v = momentum v + undampened (g + weight_decay w),  w = w - r v   (PyTorch)
//   true   v = momentum v - r (g + weight_decay w),           w = w + v     (Krizhevsky et al. 2012)
// With NESTEROV the first form steps by g + weight_decay w + momentum v. The first step is not
// dampened. One invocation takes one vector of four elements.

// import lib/index.wgsl

const CUDA_CONVNET: bool = false;
const NESTEROV: bool = false;
const DAMPENED: bool = false;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    momentum: f32,
    undampened: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> velocity: array<vec4<f32>>;
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
    let rate = learning_rate[0] * params.learning_rate_scale;
    let w = weight[i];
    let slope = grad[i] + params.weight_decay * w;
    if CUDA_CONVNET {
        let v = params.momentum * velocity[i] - rate * slope;
        velocity[i] = v;
        weight[i] = w + v;
        return;
    }
    var share = 1.0;
    if DAMPENED {
        share = select(1.0, params.undampened, step[0] > 1.0);
    }
    let v = params.momentum * velocity[i] + share * slope;
    velocity[i] = v;
    if NESTEROV {
        weight[i] = w - rate * (slope + params.momentum * v);
    } else {
        weight[i] = w - rate * v;
    }
}
