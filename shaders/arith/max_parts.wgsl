// output[e] = max over p of results[p, e] (and output[e] where params.accumulate); NaN where one is.
//
// results  [parts, length]
// output   [length], from params.output_start
//
// One invocation takes one element. The second stage of maxima that are found in parts.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    length: u32,
    parts: u32,
    output_start: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> results: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = flat_thread(global, groups, WIDTH);
    if e >= params.length {
        return;
    }
    var result = results[e];
    if params.accumulate != 0u {
        result = output[params.output_start + e];
    }
    for (var p = 0u; p < params.parts; p += 1u) {
        let x = results[p * params.length + e];
        if !is_nan(result) && (x > result || is_nan(x)) {
            result = x;
        }
    }
    output[params.output_start + e] = result;
}
