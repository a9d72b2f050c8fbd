// grad[i] = g f'(x[i], t[i]), with respect to x or, with OF_TARGET, to t.
//
// x           [count]
// t           [count]
// weight      read with WEIGHTED only, repeated over the input
// pos_weight  read with POS_WEIGHTED only, repeated over the input
// grad_loss   [1] with REDUCED, where g = factor * grad_loss; else [count]
// grad        [count]
//
// KIND chooses f, with d = x - t:
//   0  mse       d^2
//   1  l1        |d|
//   2  smooth    |d| < parameter ? d^2 / (2 parameter) : |d| - parameter / 2
//   3  huber     |d| < parameter ? d^2 / 2 : parameter (|d| - parameter / 2)
//   4  bce       w (p t softplus(-x) + (1 - t) softplus(x)), logits x, weights w and p
// The first bound element is element `first` of the tensor. One invocation takes one element.

// import lib/index.wgsl

const KIND: u32 = 0u;
const WEIGHTED: bool = false;
const POS_WEIGHTED: bool = false;
const REDUCED: bool = true;
const OF_TARGET: bool = false;
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
@group(0) @binding(4) var<storage, read> grad_loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

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

fn derivative(i: u32) -> f32 {
    let d = x[i] - t[i];
    let edge = params.parameter;
    var slope = sign(d);
    switch KIND {
        case 0u: {
            slope = 2.0 * d;
        }
        case 2u: {
            if abs(d) < edge {
                slope = d / edge;
            }
        }
        case 3u: {
            slope = clamp(d, -edge, edge);
        }
        case 4u: {
            // exp is only ever taken of a negative number.
            let e = exp(-abs(x[i]));
            let w = weight_at(i);
            let p = pos_weight_at(i);
            if OF_TARGET {
                let rest = log(1.0 + e);
                return w * (p * (rest + max(-x[i], 0.0)) - (rest + max(x[i], 0.0)));
            }
            let up = select(e, 1.0, x[i] >= 0.0) / (1.0 + e);
            let down = select(1.0, e, x[i] >= 0.0) / (1.0 + e);
            return w * ((1.0 - t[i]) * up - p * t[i] * down);
        }
        default: {
        }
    }
    return select(slope, -slope, OF_TARGET);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.count {
        return;
    }
    var g = 0.0;
    if REDUCED {
        g = params.factor * grad_loss[0];
    } else {
        g = grad_loss[i];
    }
    grad[i] = g * derivative(i);
}
