// grad[i] = grad[i] * f'(x[i]), in place, with f' computed from x[i] or from y[i] = f(x[i]).
//
// grad  [n], the gradient at the output on entry and at the input on exit
// kept  [n], x or y, as the table in lib/unary.wgsl says
//
// One invocation takes one vector of four elements. FUNCTION chooses f from lib/unary.wgsl.

// import lib/index.wgsl
// import lib/unary.wgsl

const FUNCTION: u32 = 0u;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<storage, read_write> grad: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.vectors {
        return;
    }
    grad[i] = grad[i] * derivative(kept[i], params.a, params.b);
}
