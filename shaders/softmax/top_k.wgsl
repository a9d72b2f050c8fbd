// hits[n] = 1 where fewer than k classes come before the label, else 0.
//
// logits  [rows, classes]
// labels  [batch]; row n is sample first_row + n
// hits    [batch]
//
// A class comes before the label where its logit is larger, or equal at a lower index. As softmax.wgsl:
// a workgroup takes WIDTH / LANES rows with LANES invocations each (a power of two), which add up
// their counts in workgroup memory.

// import lib/index.wgsl

const LANES: u32 = 1u;
const WIDTH: u32 = 64u;

struct Params {
    rows: u32,
    classes: u32,
    first_row: u32,
    k: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> hits: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<u32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local % LANES;
    let own_row = flat_group(group, groups) * (WIDTH / LANES) + local / LANES;
    // No early return: all invocations must reach the barriers.
    let row = min(own_row, params.rows - 1u);
    let start = row * params.classes;
    let label = labels[params.first_row + row];
    let own = logits[start + min(label, params.classes - 1u)];

    var before = 0u;
    for (var c = lane; c < params.classes; c += LANES) {
        let logit = logits[start + c];
        // What is not known to be behind is before, so that a NaN never makes a hit.
        let behind = logit < own || (logit == own && c >= label);
        before += select(1u, 0u, behind);
    }
    partial[local] = before;
    if LANES > 1u {
        workgroupBarrier();
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            if lane < half {
                partial[local] += partial[local + half];
            }
            workgroupBarrier();
        }
    }
    if lane == 0u && own_row < params.rows {
        let is_hit = label < params.classes && partial[local] < params.k;
        hits[params.first_row + row] = select(0.0, 1.0, is_hit);
    }
}
