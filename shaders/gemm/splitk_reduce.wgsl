// Sum of the partial products of a split-k matrix product, in a fixed order:
//     C[i, j] = sum_s partial[s, i, j]  (+ C[i, j])  (+ bias)  (then ReLU)
//
// partial  [parts, batch, m, n], dense, from offset_partial on
// bias     [m] (BIAS 1) or [n] (BIAS 2) from offset_bias on, shared by the batch; unread when
//          BIAS is 0 (bind `partial` again)
// c        m x n, row-major with leading dimension ldc, one per batch member
//
// Thread: one output. Grid: flattened, ceil(batch * m * n / WORKGROUP) workgroups.
const WORKGROUP: u32 = 64u;
const BIAS: u32 = 0u;
const RELU: bool = false;

struct Params {
    m: u32,
    n: u32,
    batch: u32,
    parts: u32,
    ldc: u32,
    stride_c: u32,
    offset_partial: u32,
    offset_c: u32,
    accumulate: u32,
    offset_bias: u32,
}

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (wid.x + wid.y * groups.x) * WORKGROUP + local;
    let size = params.batch * params.m * params.n;
    if index >= size {
        return;
    }
    let column = index % params.n;
    let row = index / params.n % params.m;
    let member = index / (params.n * params.m);

    var sum = 0.0;
    for (var s = 0u; s < params.parts; s += 1u) {
        sum += partial[params.offset_partial + s * size + index];
    }

    let c_index = params.offset_c + member * params.stride_c + row * params.ldc + column;
    if params.accumulate != 0u {
        sum += c[c_index];
    }
    if BIAS == 1u {
        sum += bias[params.offset_bias + row];
    } else if BIAS == 2u {
        sum += bias[params.offset_bias + column];
    }
    if RELU {
        sum = max(sum, 0.0);
    }
    c[c_index] = sum;
}
