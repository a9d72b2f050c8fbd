// grad_x[n, c] = -w[c] t[n, c] g[n], where g is grad_loss, with MEAN divided by total_weight.
//
// target_values  [rows] labels with LABELS, else the bits of values as grad_x
// grad_loss      [1] with REDUCED, else [rows]
// total_weight   [1], read with MEAN only
// weight         [classes], read with WEIGHTED only
// grad_x         [batch, classes, inner]; a row is the classes at one place of a sample
//
// t[n, c] is keep where c is the label, or keep times the value, plus spread. A row whose label is
// ignore_index or no class has gradient 0. One invocation takes one element.

// import lib/index.wgsl

const LABELS: bool = true;
const WEIGHTED: bool = false;
const REDUCED: bool = true;
const MEAN: bool = true;
const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    classes: u32,
    inner: u32,
    ignore_index: u32,
    keep: f32,
    spread: f32,
}

@group(0) @binding(0) var<storage, read> target_values: array<u32>;
@group(0) @binding(1) var<storage, read> grad_loss: array<f32>;
@group(0) @binding(2) var<storage, read> total_weight: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_x: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let e = flat_thread(global, groups, WIDTH);
    if e >= params.count {
        return;
    }
    let plane = e / params.inner;
    let n = plane / params.classes;
    let c = plane - n * params.classes;
    let row = n * params.inner + (e - plane * params.inner);

    var t = 0.0;
    if LABELS {
        let label = target_values[row];
        if label != params.ignore_index && label < params.classes {
            t = params.spread + select(0.0, params.keep, label == c);
        }
    } else {
        t = params.keep * bitcast<f32>(target_values[e]) + params.spread;
    }
    if WEIGHTED {
        t *= weight[c];
    }
    var g = 0.0;
    if REDUCED {
        g = grad_loss[0];
    } else {
        g = grad_loss[row];
    }
    if MEAN {
        g /= total_weight[0];
    }
    grad_x[e] = -t * g;
}
