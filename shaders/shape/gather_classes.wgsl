// output[n, i] = input[n, labels[n, i], i]; 0 where the label is no class.
//
// input   a window of [batch, classes, inner], from element params.window_start
// labels  [batch, inner], from element params.first
// output  as labels
//
// One invocation takes one label; those whose class lies outside the window are another dispatch's.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    first: u32,
    classes: u32,
    inner: u32,
    window_start: u32,
    window: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = flat_thread(global, groups, WIDTH);
    if e >= params.count {
        return;
    }
    let place = params.first + e;
    let n = place / params.inner;
    let label = labels[e];
    let is_class = label < params.classes;
    let c = select(0u, label, is_class);
    let at = (n * params.classes + c) * params.inner + (place - n * params.inner)
        - params.window_start;
    if at >= params.window {
        return;
    }
    output[e] = select(0.0, input[at], is_class);
}
