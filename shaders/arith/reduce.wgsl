// Parts of the sums or maxima over axes:
//     results[p, o] = sum (or max) over the terms t of part p of input[kept(o) + reduced(t)]
// Where the kept axes step through memory, a part is a run of terms, and neighbouring invocations take
// neighbouring outputs; with ACROSS, where the reduced axes do, part p has every params.parts-th term,
// and neighbouring invocations take neighbouring parts. add_parts.wgsl or max_parts.wgsl joins them.
//
// input    a window of a tensor; the offsets are counted in it, and terms outside it are another
//          dispatch's
// results  [parts, outputs]
//
// One invocation takes one output of one part. RANK is the larger of the numbers of kept and reduced
// axes. A NaN among the terms is the maximum, as in PyTorch.

// import lib/index.wgsl
// import lib/strided.wgsl

const MAXIMUM: bool = false;
const ACROSS: bool = false;
const RANK: u32 = 3u;
const WIDTH: u32 = 64u;

struct Params {
    outputs: u32,
    first: u32,
    terms: u32,
    parts: u32,
    // Where the tensor starts, less where the window does; it may wrap around.
    origin: u32,
    window: u32,
    d0: u32,
    d1: u32,
    d2: u32,
    d3: u32,
    d4: u32,
    d5: u32,
    s0: u32,
    s1: u32,
    s2: u32,
    s3: u32,
    s4: u32,
    s5: u32,
    e0: u32,
    e1: u32,
    e2: u32,
    e3: u32,
    e4: u32,
    e5: u32,
    t0: u32,
    t1: u32,
    t2: u32,
    t3: u32,
    t4: u32,
    t5: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.outputs * params.parts {
        return;
    }
    let p = params;
    var output = i % p.outputs;
    var part = i / p.outputs;
    let length = (p.terms + p.parts - 1u) / p.parts;
    var first = part * length;
    var end = min(first + length, p.terms);
    var step = 1u;
    if ACROSS {
        output = i / p.parts;
        part = i % p.parts;
        first = part;
        end = p.terms;
        step = p.parts;
    }
    let start = p.origin + strided_offset(
        p.first + output, p.d1, p.d2, p.d3, p.d4, p.d5, p.s0, p.s1, p.s2, p.s3, p.s4, p.s5,
    );
    var result = 0.0;
    if MAXIMUM {
        result = -3.4028234e38;
    }
    for (var t = first; t < end; t += step) {
        let at = start + strided_offset(
            t, p.e1, p.e2, p.e3, p.e4, p.e5, p.t0, p.t1, p.t2, p.t3, p.t4, p.t5,
        );
        if at >= p.window {
            continue;
        }
        let x = input[at];
        if MAXIMUM {
            if !is_nan(result) && (x > result || is_nan(x)) {
                result = x;
            }
        } else {
            result += x;
        }
    }
    results[part * p.outputs + output] = result;
}
