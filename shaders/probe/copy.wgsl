// y[i] = x[i]: how fast an adapter reads and writes memory.
//
// input   [n], rounded up to whole vectors
// output  [n], rounded up to whole vectors
//
// A workgroup copies EACH * WIDTH vectors of four that lie together, an invocation EACH of them,
// WIDTH apart.

// import lib/index.wgsl

const WIDTH: u32 = 64u;
const EACH: u32 = 4u;

struct Params {
    vectors: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first = flat_group(group, groups) * (EACH * WIDTH) + local;
    for (var e = 0u; e < EACH; e++) {
        let i = first + e * WIDTH;
        if i < params.vectors {
            output[i] = input[i];
        }
    }
}
