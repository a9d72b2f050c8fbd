// The gradient of normalisation with respect to its input:
//     grad_input[e] = (w g - (S + xhat X) / m) / d    or, ACROSS the batch,
//     grad_input[e] = w (g - (S + xhat X) / m) / d
// with g = grad_output[e], w = weight[p], d = sqrt(variance[s] + eps), xhat = (input[e] - mean[s]) / d,
// S = sum[s] and X = sum_xhat[s] the sums over the m elements of the set s, p the parameter of e.
//
// input        [elements], a part of the tensor from params.first
// grad_output  as input
// grad_input   as input
// mean         [sets]
// variance     [sets]
// sum          [sets]
// sum_xhat     [sets]
// weight       [parameters], read only where WEIGHT, otherwise 1
//
// One invocation takes four elements in a row; ALIKE says that these share set and parameter.
// Source: Ioffe and Szegedy 2015, section 3.

// import lib/index.wgsl
// import lib/norm.wgsl

const WIDTH: u32 = 64u;
const ALIKE: bool = true;
const WEIGHT: bool = true;
const ACROSS: bool = true;

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
@group(0) @binding(3) var<storage, read> grad_output: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> sum: array<f32>;
@group(0) @binding(5) var<storage, read> sum_xhat: array<f32>;
@group(0) @binding(6) var<storage, read> weight: array<f32>;
@group(0) @binding(7) var<storage, read_write> grad_input: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> params: Params;

// The mean, the factor of g, the constant and the factor of x - mean for an element.
fn coefficients(element: u32) -> vec4<f32> {
    let s = set_of(element, params.block, params.sets);
    let inverse = 1.0 / sqrt(variance[s] + params.eps);
    var w = 1.0;
    if WEIGHT {
        w = weight[parameter_of(element, params.plane, params.parameters)];
    }
    let share = select(inverse, inverse * w, ACROSS) / params.set_size;
    return vec4(mean[s], inverse * w, share * sum[s], share * inverse * sum_xhat[s]);
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
    let g = grad_output[i];
    let element = params.first + 4u * i;
    let a = coefficients(element);
    if ALIKE {
        grad_input[i] = a.y * g - a.z - a.w * (x - a.x);
        return;
    }
    let b = coefficients(element + 1u);
    let c = coefficients(element + 2u);
    let d = coefficients(element + 3u);
    grad_input[i] = vec4(a.y, b.y, c.y, d.y) * g - vec4(a.z, b.z, c.z, d.z)
        - vec4(a.w, b.w, c.w, d.w) * (x - vec4(a.x, b.x, c.x, d.x));
}
