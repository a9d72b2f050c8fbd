// Parts of the sums over batch and space, one invocation for each channel of each part:
//     sums[p, c] = sum over the elements e of part p of input[n, c, i],  e = n * inner + i
// A part has params.part of the batch * inner elements of a channel; add_parts.wgsl adds the parts up.
//
// input  [batch, channels, inner], from params.input_start
// sums   [parts, channels]
//
// Best where inner is 1 (neighbouring invocations read neighbouring elements), and on software
// adapters, which have no use for workgroup memory.

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

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let c = index % params.channels;
    let first = index / params.channels * params.part;
    let count = params.batch * params.inner;
    if first >= count {
        return;
    }
    let end = min(first + params.part, count);
    var sum = 0.0;
    var e = first;
    while e < end {
        let n = e / params.inner;
        let i = e % params.inner;
        let run = min(params.inner - i, end - e);
        let start = params.input_start + (n * params.channels + c) * params.inner + i;
        for (var k = 0u; k < run; k += 1u) {
            sum += input[start + k];
        }
        e += run;
    }
    sums[index] = sum;
}
