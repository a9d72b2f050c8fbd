// With p[n, c] the softmax of row n of the logits x and m[n] its maximum:
//   losses[n]         = -log p[n, label[n]] = log(sum over c of exp(x[n, c] - m[n])) - (x[n, label[n]] - m[n])
//   hits[n]           = 1 where fewer than k classes come before the label, else 0
//   grad_logits[n, c] = (p[n, c] - (c == label[n] ? 1 : 0)) * factor
//   loss              = share * sum of losses,  hit_count = sum of hits
//
// logits       [rows, classes]
// labels       [batch]; row n is sample first_row + n
// losses       [batch]
// hits         [batch]
// loss         [1]
// hit_count    [1]
// grad_logits  as logits
//
// The first three lines are computed with ROWS, the last with TOTALS; with both by a single workgroup.
// A class comes before the label where its logit is larger, or equal at a lower index. As softmax.wgsl:
// a workgroup takes WIDTH / LANES rows at a time with LANES invocations each (a power of two), which
// meet in workgroup memory. A label that is no class gets the loss `invalid`, which the host sets to
// NaN. The sums have the order of reduce/total.wgsl. `share` is 1 / batch, and `factor` that times
// the weight of the loss.

// import lib/index.wgsl

const LANES: u32 = 1u;
const WIDTH: u32 = 64u;
const ROWS: bool = true;
const TOTALS: bool = true;

struct Params {
    rows: u32,
    classes: u32,
    first_row: u32,
    batch: u32,
    k: u32,
    share: f32,
    factor: f32,
    invalid: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> hits: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> hit_count: array<f32>;
@group(0) @binding(6) var<storage, read_write> grad_logits: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> partial: array<f32, WIDTH>;

// The maximum, or else the sum, of the values of `count` neighbouring invocations, a power of two;
// the same order every time.
fn together(local: u32, count: u32, value: f32, is_max: bool) -> f32 {
    if count == 1u {
        return value;
    }
    let lane = local % count;
    partial[local] = value;
    workgroupBarrier();
    for (var half = count / 2u; half > 0u; half /= 2u) {
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

// Row `own`, by the LANES invocations that ask for it. All invocations must reach the barriers, those
// beyond the last row too.
fn one_row(local: u32, own: u32) {
    let lane = local % LANES;
    let row = min(own, params.rows - 1u);
    let start = row * params.classes;
    let sample = params.first_row + row;
    let label = labels[sample];
    let at_label = logits[start + min(label, params.classes - 1u)];

    var max_here = logits[start];
    for (var c = lane; c < params.classes; c += LANES) {
        max_here = max(max_here, logits[start + c]);
    }
    let m = together(local, LANES, max_here, true);
    var sum_here = 0.0;
    var before_here = 0u;
    for (var c = lane; c < params.classes; c += LANES) {
        let x = logits[start + c];
        sum_here += exp(x - m);
        // What is not known to be behind is before, so that a NaN never makes a hit.
        before_here += select(1u, 0u, x < at_label || (x == at_label && c >= label));
    }
    let s = together(local, LANES, sum_here, false);
    let before = together(local, LANES, f32(before_here), false);
    if own >= params.rows {
        return;
    }
    for (var c = lane; c < params.classes; c += LANES) {
        let p = exp(logits[start + c] - m) / s;
        grad_logits[start + c] = (p - select(0.0, 1.0, c == label)) * params.factor;
    }
    if lane == 0u {
        let is_class = label < params.classes;
        losses[sample] = select(params.invalid, log(s) - (at_label - m), is_class);
        hits[sample] = select(0.0, 1.0, is_class && before < f32(params.k));
    }
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    if ROWS {
        let rows = WIDTH / LANES;
        var first = flat_group(group, groups) * rows;
        let end = select(first + rows, params.rows, TOTALS);
        for (; first < end; first += rows) {
            one_row(local, first + local / LANES);
        }
        storageBarrier();
    }
    if TOTALS {
        var loss_here = 0.0;
        var hits_here = 0.0;
        for (var n = local; n < params.batch; n += WIDTH) {
            loss_here += losses[n];
            hits_here += hits[n];
        }
        let loss_sum = together(local, WIDTH, loss_here, false);
        let hit_sum = together(local, WIDTH, hits_here, false);
        if local == 0u {
            loss[0] = loss_sum * params.share;
            hit_count[0] = hit_sum;
        }
    }
}
