// Parts of the sums over batch and space, one workgroup for each channel of each part:
//     sums[p, c] = sum over the elements e of part p of input[n, c, i],  e = n * inner + i
// A part has params.part of the batch * inner elements of a channel; add_parts.wgsl adds the parts up.
//
// input  [batch, channels, inner], from params.input_start
// sums   [parts, channels]
//
// Each of the WIDTH invocations sums every WIDTH-th element, so that neighbours read neighbouring
// elements; then the sums are added in a tree (Harris 2007, "Optimizing parallel reduction in CUDA").

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    batch: u32,
    channels: u32,
    inner: u32,
    part: u32,
    input_start: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> shared_sums: array<f32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups);
    let c = index % params.channels;
    let first = index / params.channels * params.part;
    let count = params.batch * params.inner;
    if first >= count {
        return;
    }
    let end = min(first + params.part, count);
    var sum = 0.0;
    for (var e = first + lane; e < end; e += WIDTH) {
        let n = e / params.inner;
        sum += input[params.input_start + (n * params.channels + c) * params.inner + e % params.inner];
    }
    shared_sums[lane] = sum;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if lane < half {
            shared_sums[lane] += shared_sums[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        sums[index] = shared_sums[0];
    }
}
