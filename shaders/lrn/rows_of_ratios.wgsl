// rows[p, i, j] = sum over the columns v of the window around j of
//     grad_output[p, i, v] * output[p, i, v] / scale[p, i, v]
//
// output       [planes, height, width], from params.start, what the forward pass computed
// scale        as output, the base of the power from the forward pass
// grad_output  as output
// rows         as output
//
// One invocation computes one element; `items` is the number of them. The first stage of
// within_channel_grad.wgsl.

// import lib/index.wgsl
// import lib/lrn_window.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> output: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> grad_output: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = flat_thread(global, groups, WIDTH);
    if at >= params.items {
        return;
    }
    let j = at % params.width;
    let columns = window(j, params.width);
    var sum = 0.0;
    for (var v = columns.x; v < columns.y; v += 1u) {
        let other = params.start + at - j + v;
        sum += grad_output[other] * output[other] / scale[other];
    }
    rows[at] = sum;
}
