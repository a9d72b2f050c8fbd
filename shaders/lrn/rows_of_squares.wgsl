// rows[p, i, j] = sum over the columns v of the window around j of input[p, i, v]^2
//
// input  [planes, height, width], from params.start
// rows   as input
//
// One invocation computes one element; `items` is the number of them. The first stage of
// within_channel.wgsl.

// import lib/index.wgsl
// import lib/lrn_window.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = flat_thread(global, groups, WIDTH);
    if at >= params.items {
        return;
    }
    let here = params.start + at;
    let j = at % params.width;
    let columns = window(j, params.width);
    var sum = 0.0;
    for (var v = columns.x; v < columns.y; v += 1u) {
        let x = input[here - j + v];
        sum += x * x;
    }
    rows[at] = sum;
}
