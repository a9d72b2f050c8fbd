// sums[first_part + p] = sum of x[i]^2 over part p, `part` elements long; with OVERFLOWS the number of
// elements of which half precision has none as large.
//
// x     [count]
// sums  [parts of all dispatches]
//
// One workgroup takes one part: each invocation adds up every WIDTH-th square, then halves of the
// workgroup are added in workgroup memory, in the same order every time.

// import lib/index.wgsl

const OVERFLOWS: bool = false;
const WIDTH: u32 = 64u;

// The bits of 65504, the largest number in half precision. Those of larger ones, of infinities and of what
// is no number are above.
const LARGEST = 0x477fe000u;

struct Params {
    count: u32,
    part: u32,
    parts: u32,
    first_part: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn term(x: f32) -> f32 {
    if OVERFLOWS {
        return select(0.0, 1.0, (bitcast<u32>(x) & 0x7fffffffu) >= LARGEST);
    }
    return x * x;
}

var<workgroup> partial: array<f32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let p = flat_group(group, groups);
    var sum = 0.0;
    if p < params.parts {
        let end = min((p + 1u) * params.part, params.count);
        for (var i = p * params.part + local; i < end; i += WIDTH) {
            sum += term(x[i]);
        }
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u && p < params.parts {
        sums[params.first_part + p] = partial[0];
    }
}
