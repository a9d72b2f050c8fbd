// loss[n] = -sum over c of w[c] t[n, c] x[n, c] for each row n: its losses, or the sums of a workgroup's.
//
// x       [batch, classes, inner], logarithms of probabilities; a row is the classes at one place of
//         a sample
// labels  [rows], or with PROBABILITIES the bits of t, as x
// weight  [classes], read with WEIGHTED only
// losses  [rows], written unless REDUCED
// sums    [groups, 2]: the loss and the weight of the workgroup's rows; those of this dispatch start
//         at first_group
//
// For labels t[n, c] is keep where c is the label, with its weight, plus spread, which is not 0 with
// SMOOTH only; probabilities are keep t + spread. A row whose label is ignore_index has loss and
// weight 0. A label that is no class gets the loss `invalid`, which the host sets to NaN.
//
// One invocation takes one row; halves of the workgroup are added in workgroup memory.

// import lib/index.wgsl

const PROBABILITIES: bool = false;
const WEIGHTED: bool = false;
const SMOOTH: bool = false;
const REDUCED: bool = true;
const WIDTH: u32 = 64u;

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,
    ignore_index: u32,
    keep: f32,
    spread: f32,
    invalid: f32,
    first_group: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> partial: array<vec2<f32>, WIDTH>;

fn class_weight(c: u32) -> f32 {
    if WEIGHTED {
        return weight[c];
    }
    return 1.0;
}

// The loss and the weight of a row.
fn loss_of(row: u32) -> vec2<f32> {
    let inner = params.inner;
    let start = (row / inner) * params.classes * inner + row % inner;
    var loss = 0.0;
    if PROBABILITIES {
        for (var c = 0u; c < params.classes; c += 1u) {
            let e = start + c * inner;
            let t = params.keep * bitcast<f32>(labels[e]) + params.spread;
            loss -= class_weight(c) * t * x[e];
        }
        return vec2(loss, 1.0);
    }
    let label = labels[row];
    if label == params.ignore_index {
        return vec2(0.0, 0.0);
    }
    if label >= params.classes {
        return vec2(params.invalid, 0.0);
    }
    if SMOOTH {
        for (var c = 0u; c < params.classes; c += 1u) {
            loss -= class_weight(c) * x[start + c * inner];
        }
        loss *= params.spread;
    }
    let own = class_weight(label);
    return vec2(loss - params.keep * own * x[start + label * inner], own);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let g = flat_group(group, groups);
    let row = g * WIDTH + local;
    var found = vec2(0.0, 0.0);
    if row < params.rows {
        found = loss_of(row);
        if !REDUCED {
            losses[row] = found.x;
        }
    }
    partial[local] = found;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u && g * WIDTH < params.rows {
        let place = 2u * (params.first_group + g);
        sums[place] = partial[0].x;
        sums[place + 1u] = partial[0].y;
    }
}
