// y[i] = x[i] * factor + addend, `rounds` times: how fast an adapter multiplies and adds.
//
// input   [n], rounded up to whole vectors
// output  [n], rounded up to whole vectors
//
// One invocation keeps CHAINS (1 to 4, or 8) vectors of four in registers, independent of each other,
// so that a round's latency is hidden behind the other chains. Chain c of thread t is vector
// c * threads + t. The loop takes UNROLL rounds at a time, of which `rounds` is a multiple: many cost
// little for the loop, few let a processor with a short window see all chains, where the compiler does
// not mix them. FUSED asks for `fma`; otherwise the driver may fuse what it likes. `factor` is 1, but
// only the host knows: no compiler can leave the work out.

// import lib/index.wgsl

const WIDTH: u32 = 64u;
const CHAINS: u32 = 4u;
const UNROLL: u32 = 16u;
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

fn load(i: u32) -> vec4<f32> {
    if i < params.vectors {
        return input[i];
    }
    return vec4(0.0);
}

fn store(i: u32, x: vec4<f32>) {
    if i < params.vectors {
        output[i] = x;
    }
}

fn one_round(x: vec4<f32>, factor: vec4<f32>, addend: vec4<f32>) -> vec4<f32> {
    if FUSED {
        return fma(x, factor, addend);
    }
    return x * factor + addend;
}

fn rounds(x: vec4<f32>, factor: vec4<f32>, addend: vec4<f32>) -> vec4<f32> {
    var y = x;
    for (var r = 0u; r < UNROLL; r++) {
        y = one_round(y, factor, addend);
    }
    return y;
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
    let factor = vec4(params.factor);
    let addend = vec4(params.addend);
    // Indexed by constants only, so that they stay in registers.
    var x = array<vec4<f32>, 8>();
    x[0] = load(t);
    if CHAINS > 1u {
        x[1] = load(1u * params.threads + t);
    }
    if CHAINS > 2u {
        x[2] = load(2u * params.threads + t);
    }
    if CHAINS > 3u {
        x[3] = load(3u * params.threads + t);
    }
    if CHAINS > 4u {
        x[4] = load(4u * params.threads + t);
        x[5] = load(5u * params.threads + t);
        x[6] = load(6u * params.threads + t);
        x[7] = load(7u * params.threads + t);
    }
    for (var r = 0u; r < params.rounds; r += UNROLL) {
        x[0] = rounds(x[0], factor, addend);
        if CHAINS > 1u {
            x[1] = rounds(x[1], factor, addend);
        }
        if CHAINS > 2u {
            x[2] = rounds(x[2], factor, addend);
        }
        if CHAINS > 3u {
            x[3] = rounds(x[3], factor, addend);
        }
        if CHAINS > 4u {
            x[4] = rounds(x[4], factor, addend);
            x[5] = rounds(x[5], factor, addend);
            x[6] = rounds(x[6], factor, addend);
            x[7] = rounds(x[7], factor, addend);
        }
    }
    store(t, x[0]);
    if CHAINS > 1u {
        store(1u * params.threads + t, x[1]);
    }
    if CHAINS > 2u {
        store(2u * params.threads + t, x[2]);
    }
    if CHAINS > 3u {
        store(3u * params.threads + t, x[3]);
    }
    if CHAINS > 4u {
        store(4u * params.threads + t, x[4]);
        store(5u * params.threads + t, x[5]);
        store(6u * params.threads + t, x[6]);
        store(7u * params.threads + t, x[7]);
    }
}
