// output[i] = f(input[i]): as unary.wgsl, but for functions whose input the backward pass needs.
//
// input   [n], rounded up to whole vectors
// output  [n]; the padding is written but never read back
//
// One invocation takes one vector of four elements. FUNCTION chooses f from lib/unary.wgsl.

// import lib/index.wgsl
// import lib/unary.wgsl

const FUNCTION: u32 = 5u;
const WIDTH: u32 = 64u;

struct Params {
    vectors: u32,
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
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
    output[i] = value(input[i], params.a, params.b);
}
