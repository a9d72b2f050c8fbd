// average[i] = keep * average[i] + take * value[i]
//
// average  [items]
// value    [items]
//
// One invocation takes one element.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    items: u32,
    keep: f32,
    take: f32,
}

@group(0) @binding(0) var<storage, read_write> average: array<f32>;
@group(0) @binding(1) var<storage, read> value: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.items {
        return;
    }
    average[i] = params.keep * average[i] + params.take * value[i];
}
