// The leaky ReLU whose slope is learnt, and its gradients. With w = weight[channel of i]:
//   PART 0  output[i] = x > 0 ? x : w x            input = x
//   PART 1  output[i] = grad (x > 0 ? 1 : w)       input = x, output holds grad on entry
//   PART 2  output[i] = grad min(x, 0)             input = x, output holds grad on entry
// The sum of PART 2 over a channel is the gradient of its weight.
//
// input   [batch, channels, inner], from element params.first
// output  as input
// weight  [channels], or [1] with params.channels = 1
//
// One invocation takes one element. He et al., "Delving Deep into Rectifiers", 2015.

// import lib/index.wgsl

const PART: u32 = 0u;
const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    first: u32,
    channels: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.count {
        return;
    }
    let x = input[i];
    let w = weight[(params.first + i) / params.inner % params.channels];
    switch PART {
        case 1u: {
            output[i] = output[i] * select(w, 1.0, x > 0.0);
        }
        case 2u: {
            output[i] = output[i] * min(x, 0.0);
        }
        default: {
            output[i] = select(w * x, x, x > 0.0);
        }
    }
}
