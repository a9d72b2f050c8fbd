// output[i] = f(a[offset_a(i)], b[offset_b(i)]), with a and b broadcast to the output's shape: along
// an axis in which an operand has one element its stride is 0.
//
// a, b    windows of tensors with strides; the offsets are counted in them
// output  [n], from element params.first
//
// One invocation takes one element; those whose operands lie outside the windows are another
// dispatch's. RANK is the number of axes, at most 6. FUNCTION chooses f:
//   0 a + b   1 a - b   2 a b   3 a / b   4 max(a, b)   5 min(a, b)
//   6 a == b ? 1 : 0
//   7 a > b ? 1 : a == b ? 1/2 : 0

// import lib/index.wgsl
// import lib/strided.wgsl

const FUNCTION: u32 = 0u;
const RANK: u32 = 6u;
const WIDTH: u32 = 64u;

struct Params {
    count: u32,
    first: u32,
    // Where the operand starts, less where its window does; it may wrap around.
    origin_a: u32,
    window_a: u32,
    origin_b: u32,
    window_b: u32,
    d0: u32,
    d1: u32,
    d2: u32,
    d3: u32,
    d4: u32,
    d5: u32,
    a0: u32,
    a1: u32,
    a2: u32,
    a3: u32,
    a4: u32,
    a5: u32,
    b0: u32,
    b1: u32,
    b2: u32,
    b3: u32,
    b4: u32,
    b5: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn value(x: f32, y: f32) -> f32 {
    switch FUNCTION {
        case 1u: {
            return x - y;
        }
        case 2u: {
            return x * y;
        }
        case 3u: {
            return x / y;
        }
        case 4u: {
            return max(x, y);
        }
        case 5u: {
            return min(x, y);
        }
        case 6u: {
            return select(0.0, 1.0, x == y);
        }
        case 7u: {
            return select(select(0.0, 0.5, x == y), 1.0, x > y);
        }
        default: {
            return x + y;
        }
    }
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
    let p = params;
    let at_a = p.origin_a + strided_offset(
        p.first + i, p.d1, p.d2, p.d3, p.d4, p.d5, p.a0, p.a1, p.a2, p.a3, p.a4, p.a5,
    );
    let at_b = p.origin_b + strided_offset(
        p.first + i, p.d1, p.d2, p.d3, p.d4, p.d5, p.b0, p.b1, p.b2, p.b3, p.b4, p.b5,
    );
    if at_a >= p.window_a || at_b >= p.window_b {
        return;
    }
    output[i] = value(a[at_a], b[at_b]);
}
