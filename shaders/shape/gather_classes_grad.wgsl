// grad_input[n, c, i] = c == labels[n, i] ? grad_output[n, i] : 0.
//
// grad_output  a window of [batch, inner], from element params.window_start
// labels       the same window
// grad_input   [batch, classes, inner], from element params.first
//
// One invocation takes one element; those whose gradient lies outside the window are another
// dispatch's.

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

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;
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
    let plane = (params.first + e) / params.inner;
    let i = params.first + e - plane * params.inner;
    let n = plane / params.classes;
    let at = n * params.inner + i - params.window_start;
    if at >= params.window {
        return;
    }
    grad_input[e] = select(0.0, grad_output[at], labels[at] == plane - n * params.classes);
}
