// data[i] = min(max(data[i], -limit), limit), in place; a NaN stays one.
//
// data  [n], rounded up to whole vectors; the padding is written but never read back
//
// One invocation takes one vector of four elements.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    limit: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    let x = data[i];
    // Whether max and min keep a NaN is up to the driver; its bits are not.
    let is_nan = (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    data[i] = select(min(max(x, vec4(-params.limit)), vec4(params.limit)), x, is_nan);
}
