// The gradients of normalisation with given statistics with respect to these:
//     grad_mean[c] = -w sum[c] / d,    grad_variance[c] = -w sum_xhat[c] / (2 d^2)
// with d = sqrt(variance[c] + eps) and w = weight[c].
//
// variance       [items]
// sum            [items]
// sum_xhat       [items]
// weight         [items], read only where WEIGHT, otherwise 1
// grad_mean      [items]
// grad_variance  [items]
//
// One invocation takes one channel.

// import lib/index.wgsl

const WIDTH: u32 = 64u;
const WEIGHT: bool = true;

struct Params {
    items: u32,
    eps: f32,
    unused: f32,
}

@group(0) @binding(0) var<storage, read> variance: array<f32>;
@group(0) @binding(1) var<storage, read> sum: array<f32>;
@group(0) @binding(2) var<storage, read> sum_xhat: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_variance: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let c = flat_thread(global, groups, WIDTH);
    if c >= params.items {
        return;
    }
    let inverse = 1.0 / sqrt(variance[c] + params.eps);
    var factor = -inverse;
    if WEIGHT {
        factor *= weight[c];
    }
    grad_mean[c] = factor * sum[c];
    grad_variance[c] = 0.5 * factor * inverse * sum_xhat[c];
}
