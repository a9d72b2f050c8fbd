// grad[n, c] = y[n, c] (grad[n, c] - sum over j of grad[n, j] y[n, j]), in place; with LOG, where y is the
// logarithm of the softmax, grad[n, c] - exp(y[n, c]) sum over j of grad[n, j].
//
// grad    [batch, classes, inner]; a row is the classes at one place of a sample
// output  as grad, the forward op's output
//
// As softmax.wgsl: a workgroup takes WIDTH / LANES rows with LANES invocations each (a power of
// two), which add up their sums in workgroup memory.

// import lib/index.wgsl

const LANES: u32 = 1u;
const WIDTH: u32 = 64u;
const LOG: bool = false;

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<f32, WIDTH>;

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
    let classes = params.classes;
    let inner = params.inner;
    let start = (row / inner) * classes * inner + row % inner;

    var sum = 0.0;
    if own < params.rows {
        for (var c = lane; c < classes; c += LANES) {
            let e = start + c * inner;
            sum += grad[e] * select(output[e], 1.0, LOG);
        }
    }
    partial[local] = sum;
    if LANES > 1u {
        workgroupBarrier();
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            if lane < half {
                partial[local] += partial[local + half];
            }
            workgroupBarrier();
        }
        sum = partial[local - lane];
    }
    if own < params.rows {
        for (var c = lane; c < classes; c += LANES) {
            let e = start + c * inner;
            let y = output[e];
            grad[e] = select(y * (grad[e] - sum), grad[e] - exp(y) * sum, LOG);
        }
    }
}
