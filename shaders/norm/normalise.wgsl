// output[e] = (input[e] - mean[s]) / sqrt(variance[s] + eps) * weight[p] + bias[p], s the set and p the
// parameter of element e.
//
// input     [elements], a part of the tensor from params.first
// output    as input
// mean      [sets], read only where MEAN, otherwise 0
// variance  [sets]
// weight    [parameters], read only where WEIGHT, otherwise 1
// bias      [parameters], read only where BIAS, otherwise 0
//
// One invocation takes four elements in a row; ALIKE says that these share set and parameter.

// import lib/index.wgsl
// import lib/norm.wgsl

const WIDTH: u32 = 64u;
const ALIKE: bool = true;
const MEAN: bool = true;
const WEIGHT: bool = true;
const BIAS: bool = true;

struct Params {
    vectors: u32,
    first: u32,
    block: u32,
    sets: u32,
    plane: u32,
    parameters: u32,
    set_size: f32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> params: Params;

// The mean, the factor and the addend of an element.
fn coefficients(element: u32) -> vec3<f32> {
    let s = set_of(element, params.block, params.sets);
    let parameter = parameter_of(element, params.plane, params.parameters);
    var all = vec3(0.0, 1.0 / sqrt(variance[s] + params.eps), 0.0);
    if MEAN {
        all.x = mean[s];
    }
    if WEIGHT {
        all.y *= weight[parameter];
    }
    if BIAS {
        all.z = bias[parameter];
    }
    return all;
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
    let x = input[i];
    let element = params.first + 4u * i;
    let a = coefficients(element);
    if ALIKE {
        output[i] = (x - a.x) * a.y + a.z;
        return;
    }
    let b = coefficients(element + 1u);
    let c = coefficients(element + 2u);
    let d = coefficients(element + 3u);
    output[i] = (x - vec4(a.x, b.x, c.x, d.x)) * vec4(a.y, b.y, c.y, d.y)
        + vec4(a.z, b.z, c.z, d.z);
}
