// probabilities[n, c] = exp(x[n, c] - m[n]) / s[n], with m = max and s = sum of exp(x - m) of a row;
// with LOG the logarithm of that; with LOSS also losses[n] = log(s[n]) - (x[n, label[n]] - m[n]).
//
// logits         [batch, classes, inner]; a row is the classes at one place of a sample
// labels         [rows], read with LOSS only; row n is row first_row + n of all
// losses         [rows], written with LOSS only
// probabilities  as logits
//
// A workgroup takes WIDTH / LANES rows with LANES invocations each (a power of two), which meet in
// workgroup memory for the maximum and the sum; with LANES = 1 there is nothing to meet for. A label
// that is no class gets the loss `invalid`, which the host sets to NaN.
//
// Source of the shift by the maximum: every textbook; it makes exp's argument at most 0.

// import lib/index.wgsl

const LANES: u32 = 1u;
const WIDTH: u32 = 64u;
const LOSS: bool = true;
const LOG: bool = false;

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,
    first_row: u32,
    invalid: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> probabilities: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<f32, WIDTH>;

// The maximum, or else the sum, of the values of a row's invocations; the same order every time.
fn together(local: u32, lane: u32, value: f32, is_max: bool) -> f32 {
    if LANES == 1u {
        return value;
    }
    partial[local] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let other = partial[local + half];
            partial[local] = select(partial[local] + other, max(partial[local], other), is_max);
        }
        workgroupBarrier();
    }
    let result = partial[local - lane];
    workgroupBarrier();
    return result;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local % LANES;
    let own = flat_group(group, groups) * (WIDTH / LANES) + local / LANES;
    // No early return: all invocations must reach the barriers.
    let row = min(own, params.rows - 1u);
    let is_own = own < params.rows;
    let classes = params.classes;
    let inner = params.inner;
    let start = (row / inner) * classes * inner + row % inner;

    var max_here = logits[start];
    for (var c = lane; c < classes; c += LANES) {
        max_here = max(max_here, logits[start + c * inner]);
    }
    let m = together(local, lane, max_here, true);
    var sum_here = 0.0;
    for (var c = lane; c < classes; c += LANES) {
        sum_here += exp(logits[start + c * inner] - m);
    }
    let s = together(local, lane, sum_here, false);
    if !is_own {
        return;
    }
    for (var c = lane; c < classes; c += LANES) {
        let x = logits[start + c * inner] - m;
        probabilities[start + c * inner] = select(exp(x) / s, x - log(s), LOG);
    }
    if LOSS {
        if lane == 0u {
            let sample = params.first_row + row;
            let label = labels[sample];
            var loss = params.invalid;
            if label < classes {
                loss = log(s) - (logits[start + label * inner] - m);
            }
            losses[sample] = loss;
        }
    }
}
