// loss[0] = sum of sums[g, 0], with MEAN divided by total_weight[0] = sum of sums[g, 1].
//
// sums          [groups, 2]
// loss          [1]
// total_weight  [1]
//
// One workgroup. Each invocation adds up every WIDTH-th pair, then halves of the workgroup are added
// in workgroup memory.

const MEAN: bool = true;
const WIDTH: u32 = 64u;

struct Params {
    groups: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> total_weight: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<vec2<f32>, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = vec2(0.0, 0.0);
    for (var g = local; g < params.groups; g += WIDTH) {
        sum += vec2(sums[2u * g], sums[2u * g + 1u]);
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
        let total = partial[0];
        total_weight[0] = total.y;
        loss[0] = select(total.x, total.x / total.y, MEAN);
    }
}
