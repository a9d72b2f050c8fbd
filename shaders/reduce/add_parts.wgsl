// output[e] = sum over p of sums[p, e] (+ output[e] where params.accumulate), added in order.
//
// sums    [parts, length]
// output  [length], from params.output_start
//
// One invocation takes one element. The second stage of every sum that is split into parts.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    length: u32,
    parts: u32,
    output_start: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = flat_thread(global, groups, WIDTH);
    if e >= params.length {
        return;
    }
    var sum = 0.0;
    if params.accumulate != 0u {
        sum = output[params.output_start + e];
    }
    for (var p = 0u; p < params.parts; p += 1u) {
        sum += sums[p * params.length + e];
    }
    output[params.output_start + e] = sum;
}
