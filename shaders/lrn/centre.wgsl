// output[p, i, j] = input[p, i, j] - (sum of input over the window around i, j) / n, with n the elements of
// the window; or where TURNED, with the windows turned around, the gradient of that with respect to its
// input: output[p, i, j] = input[p, i, j] - sum over the window of input[p, u, v] / n(u, v).
//
// input   [planes, height, width], from params.start
// rows    as input: the sums along rows, from rows.wgsl
// output  as input
//
// One invocation computes one element; `items` is the number of them.

// import lib/index.wgsl
// import lib/lrn_window.wgsl

const WIDTH: u32 = 64u;
const TURNED: bool = false;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let at = flat_thread(global, groups, WIDTH);
    if at >= params.items {
        return;
    }
    let here = params.start + at;
    let i = at / params.width % params.height;
    let around = window(i, params.height);
    var sum = 0.0;
    for (var u = around.x; u < around.y; u += 1u) {
        let x = rows[at - i * params.width + u * params.width];
        if TURNED {
            sum += x / turned_length(u, params.height);
        } else {
            sum += x;
        }
    }
    if !TURNED {
        let columns = window(at % params.width, params.width);
        sum /= f32((around.y - around.x) * (columns.y - columns.x));
    }
    output[here] = input[here] - sum;
}
