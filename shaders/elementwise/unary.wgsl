// data[i] = f(data[i]), in place.
//
// data    [n], rounded up to whole vectors; the padding is written but never read back
//
// One invocation takes one vector of four elements. FUNCTION chooses f and is a compile-time
// constant, so the branches cost nothing:
//   0  relu        max(x, 0)
//   1  leaky_relu  x > 0 ? x : parameter * x
//   2  sigmoid     1 / (1 + exp(-x))
//   3  tanh        tanh(x)

// import lib/index.wgsl

const FUNCTION: u32 = 0u;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    parameter: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> params: Params;

fn value(x: vec4<f32>) -> vec4<f32> {
    switch FUNCTION {
        case 1u: {
            return select(params.parameter * x, x, x > vec4(0.0));
        }
        case 2u: {
            // Both forms are finite: exp is only ever taken of a negative number.
            let e = exp(-abs(x));
            return select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
        }
        case 3u: {
            // tanh overflows in some drivers beyond the point where it is 1 to the last bit.
            return tanh(clamp(x, vec4(-15.0), vec4(15.0)));
        }
        default: {
            return max(x, vec4(0.0));
        }
    }
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    data[i] = value(data[i]);
}
