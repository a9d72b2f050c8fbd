// output[n, c, i] = input[n, c, i] * scale[n, c, i]^-BETA, with
// scale[n, c, i] = k + alpha * sum of input[n, j, i]^2 for j from c - BELOW to c + ABOVE.
//
// input   [samples, channels, plane]
// output  as input
// scale   as input; kept for the backward pass
//
// lib/lrn_channels.wgsl says which invocation computes what. `alpha` already has the division by the
// window's size where the convention wants it.
//
// Source: Krizhevsky et al. 2012, section 3.3.

// import lib/index.wgsl
// import lib/inverse_power.wgsl
// import lib/lrn_channels.wgsl

const WIDTH: u32 = 64u;
const BETA: f32 = 0.75;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.items {
        return;
    }
    sum_windows(i);
}

fn term(at: u32) -> f32 {
    return input[at] * input[at];
}

fn finish(at: u32, sum: f32) {
    let s = params.k + params.alpha * sum;
    output[at] = input[at] * inverse_power(s, BETA);
    scale[at] = s;
}
