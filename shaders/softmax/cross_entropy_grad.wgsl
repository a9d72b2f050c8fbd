// data[n, c] = (data[n, c] - (c == labels[n] ? 1 : 0)) * grad_loss[0] * factor, in place.
//
// data       [rows, classes], probabilities on entry and grad_logits on exit; rounded up to whole
//            vectors, the padding is written but never read back
// labels     [batch]
// grad_loss  [1]
//
// `factor` is 1 / batch. The first bound element is class first_class of sample first_row. One
// invocation takes one vector of four elements, which may belong to several samples.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    classes: u32,
    first_row: u32,
    first_class: u32,
    batch: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> grad_loss: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// 1 where this element is that of its sample's label.
fn target_at(element: u32) -> f32 {
    let row = element / params.classes;
    let label = labels[min(params.first_row + row, params.batch - 1u)];
    return select(0.0, 1.0, element - row * params.classes == label);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    let e = params.first_class + 4u * i;
    let targets = vec4(target_at(e), target_at(e + 1u), target_at(e + 2u), target_at(e + 3u));
    data[i] = (data[i] - targets) * (grad_loss[0] * params.factor);
}
