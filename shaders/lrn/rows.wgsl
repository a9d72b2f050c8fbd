// rows[p, i, j] = sum over the columns v of the window around j of input[p, i, v], or where TURNED of
// input[p, i, v] / n(v), with n the number of columns in v's own window.
//
// input  [planes, height, width], from params.start
// rows   as input
//
// One invocation computes one element; `items` is the number of them. The first stage of centre.wgsl.

// import lib/index.wgsl
// import lib/lrn_window.wgsl

const WIDTH: u32 = 64u;
const TURNED: bool = false;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

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
    let j = at % params.width;
    let columns = window(j, params.width);
    var sum = 0.0;
    for (var v = columns.x; v < columns.y; v += 1u) {
        let x = input[here - j + v];
        if TURNED {
            sum += x / turned_length(v, params.width);
        } else {
            sum += x;
        }
    }
    rows[at] = sum;
}
