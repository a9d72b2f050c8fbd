// grad[i] = grad[i] * f'(x[i]), in place, with f' computed from y[i] = f(x[i]).
//
// grad    [n], the gradient at the output on entry and at the input on exit
// output  [n], y
//
// One invocation takes one vector of four elements. FUNCTION is numbered as in unary.wgsl:
//   0  relu        y > 0 ? 1 : 0
//   1  leaky_relu  y > 0 ? 1 : parameter
//   2  sigmoid     y (1 - y)
//   3  tanh        1 - y^2

// import lib/index.wgsl

const FUNCTION: u32 = 0u;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    parameter: f32,
}

@group(0) @binding(0) var<storage, read_write> grad: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

fn derivative(y: vec4<f32>) -> vec4<f32> {
    switch FUNCTION {
        case 1u: {
            return select(vec4(params.parameter), vec4(1.0), y > vec4(0.0));
        }
        case 2u: {
            return y * (1.0 - y);
        }
        case 3u: {
            return 1.0 - y * y;
        }
        default: {
            return select(vec4(0.0), vec4(1.0), y > vec4(0.0));
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
    grad[i] = grad[i] * derivative(output[i]);
}
