// output[0] = factor * sum of values[i] (+ output[0] where params.accumulate), in an order that
// depends on nothing but WIDTH.
//
// values  [count]
// output  [1]
//
// One workgroup. Each invocation adds up every WIDTH-th value, then halves of the workgroup are
// added in workgroup memory.

const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    factor: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<f32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < params.count; i += WIDTH) {
        sum += values[i];
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        var total = partial[0] * params.factor;
        if params.accumulate != 0u {
            total += output[0];
        }
        output[0] = total;
    }
}
