// output[i] = f(x[i], t[i]), or its sums over parts of the tensor.
//
// x           [count]
// t           [count]
// weight      read with WEIGHTED only, repeated over the input
// pos_weight  read with POS_WEIGHTED only, repeated over the input
// output      [count], written unless REDUCED
// sums        [parts of all dispatches], written with REDUCED only
//
// KIND chooses f, with d = x - t:
//   0  mse       d^2
//   1  l1        |d|
//   2  smooth    |d| < parameter ? d^2 / (2 parameter) : |d| - parameter / 2
//   3  huber     |d| < parameter ? d^2 / 2 : parameter (|d| - parameter / 2)
//   4  bce       w (p t softplus(-x) + (1 - t) softplus(x)), logits x, weights w and p
// The first bound element is element `first` of the tensor. A workgroup takes one part, an invocation
// every WIDTH-th element of it; halves of the workgroup are added in workgroup memory.

// import lib/index.wgsl

const KIND: u32 = 0u;
const WEIGHTED: bool = false;
const POS_WEIGHTED: bool = false;
const REDUCED: bool = true;
const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    part: u32,
    parts: u32,
    first_part: u32,
    first: u32,
    weight_inner: u32,
    weight_count: u32,
    pos_inner: u32,
    pos_count: u32,
    parameter: f32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> pos_weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

var<workgroup> partial: array<f32, WIDTH>;

// The element of a repeated weight; with inner = 0, a weight of the input's size.
fn repeated(i: u32, inner: u32, count: u32) -> u32 {
    if inner == 0u {
        return i;
    }
    return ((params.first + i) / inner) % count;
}

fn weight_at(i: u32) -> f32 {
    if WEIGHTED {
        return weight[repeated(i, params.weight_inner, params.weight_count)];
    }
    return 1.0;
}

fn pos_weight_at(i: u32) -> f32 {
    if POS_WEIGHTED {
        return pos_weight[repeated(i, params.pos_inner, params.pos_count)];
    }
    return 1.0;
}

fn value(i: u32) -> f32 {
    let d = abs(x[i] - t[i]);
    let edge = params.parameter;
    switch KIND {
        case 0u: {
            return d * d;
        }
        case 1u: {
            return d;
        }
        case 2u: {
            if d < edge {
                return 0.5 * d * d / edge;
            }
            return d - 0.5 * edge;
        }
        case 3u: {
            if d < edge {
                return 0.5 * d * d;
            }
            return edge * (d - 0.5 * edge);
        }
        default: {
            // exp is only ever taken of a negative number.
            let rest = log(1.0 + exp(-abs(x[i])));
            let above = rest + max(x[i], 0.0);
            let below = rest + max(-x[i], 0.0);
            return weight_at(i) * (pos_weight_at(i) * t[i] * below + (1.0 - t[i]) * above);
        }
    }
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let p = flat_group(group, groups);
    var sum = 0.0;
    if p < params.parts {
        let end = min((p + 1u) * params.part, params.count);
        for (var i = p * params.part + local; i < end; i += WIDTH) {
            let loss = value(i);
            sum += loss;
            if !REDUCED {
                output[i] = loss;
            }
        }
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u && p < params.parts {
        sums[params.first_part + p] = partial[0];
    }
}
