// y[i] = x[i] * factor + addend, `rounds` times: how fast an adapter multiplies and adds.
//
// input   [n], rounded up to whole vectors
// output  [n], rounded up to whole vectors
//
// One invocation keeps CHAINS vectors of four in registers, independent of each other, so that a
// round's latency is hidden behind the other chains. Chain c of thread t is vector c * threads + t.
// FUSED asks for `fma`, which some drivers take apart; otherwise the driver may fuse what it likes.
// `factor` is 1, but only the host knows: no compiler can leave the work out.

// import lib/index.wgsl

const WIDTH: u32 = 64u;
const CHAINS: u32 = 4u;
const FUSED: bool = true;

struct Params {
    vectors: u32,
    threads: u32,
    rounds: u32,
    factor: f32,
    addend: f32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

fn advance(x: vec4<f32>, factor: vec4<f32>, addend: vec4<f32>) -> vec4<f32> {
    if FUSED {
        return fma(x, factor, addend);
    }
    return x * factor + addend;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let t = flat_thread(global, groups, WIDTH);
    if t >= params.threads {
        return;
    }
    var x: array<vec4<f32>, CHAINS>;
    for (var c = 0u; c < CHAINS; c++) {
        let i = c * params.threads + t;
        if i < params.vectors {
            x[c] = input[i];
        }
    }
    let factor = vec4(params.factor);
    let addend = vec4(params.addend);
    // Several rounds at a time: the loop costs too.
    for (var round = 0u; round < params.rounds / 8u; round++) {
        for (var r = 0u; r < 8u; r++) {
            for (var c = 0u; c < CHAINS; c++) {
                x[c] = advance(x[c], factor, addend);
            }
        }
    }
    for (var round = 0u; round < params.rounds % 8u; round++) {
        for (var c = 0u; c < CHAINS; c++) {
            x[c] = advance(x[c], factor, addend);
        }
    }
    for (var c = 0u; c < CHAINS; c++) {
        let i = c * params.threads + t;
        if i < params.vectors {
            output[i] = x[c];
        }
    }
}
