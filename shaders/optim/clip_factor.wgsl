// norm[0] = sqrt(square_sum[0]), factor[0] = min(1, max_norm / (norm[0] + 1e-6)).
//
// square_sum  [1]
// factor      [1]
// norm        [1]
//
// One invocation does it.

const WIDTH: u32 = 1u;

struct Params {
    max_norm: f32,
}

@group(0) @binding(0) var<storage, read> square_sum: array<f32>;
@group(0) @binding(1) var<storage, read_write> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main() {
    let length = sqrt(square_sum[0]);
    norm[0] = length;
    factor[0] = min(1.0, params.max_norm / (length + 1e-6));
}
