// Winograd convolution, the weights: U = G g G^T of each 3 x 3 kernel (lib/winograd.wgsl).
//
// Forward: row r of group g is output channel r, and its terms are input channels. BACKWARD, for the
// input's gradient: rows are input channels, terms are output channels, and the taps are turned:
//     U[., g, r, q] = G weight[g, q, r, 2 - u, 2 - v] G^T
//
// weight       [groups, group_outputs, group_inputs, 3, 3]
// transformed  [SIDE * SIDE, groups, rows, leading], of which the first `terms` of a row are written
//
// Thread: one kernel; neighbours take neighbouring terms, and write side by side. Grid: flattened.
const BACKWARD: bool = false;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> transformed: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
    groups: u32,
    rows: u32,
    terms: u32,
    leading: u32,
}

// import lib/index.wgsl
// import lib/winograd.wgsl

// Column `v` of the kernel that starts at `first`.
fn kernel_column(first: u32, v: u32) -> vec3<f32> {
    if BACKWARD {
        let last = first + 8u - v;
        return vec3(weight[last], weight[last - 3u], weight[last - 6u]);
    }
    return vec3(weight[first + v], weight[first + 3u + v], weight[first + 6u + v]);
}

fn store_row(place: u32, i: u32, c0: f32, c1: f32, c2: f32) {
    let line = weight_line(vec3(c0, c1, c2));
    let plane = params.groups * params.rows * params.leading;
    let first = i * SIDE * plane + place;
    transformed[first] = line[0];
    transformed[first + plane] = line[1];
    transformed[first + 2u * plane] = line[2];
    transformed[first + 3u * plane] = line[3];
    if TILE == 4u {
        transformed[first + 4u * plane] = line[4];
        transformed[first + 5u * plane] = line[5];
    }
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    if index >= params.groups * params.rows * params.terms {
        return;
    }
    let term = index % params.terms;
    let row = index / params.terms;
    var kernel = index;
    if BACKWARD {
        let group = row / params.rows;
        kernel = (group * params.terms + term) * params.rows + row % params.rows;
    }
    let c0 = weight_line(kernel_column(kernel * 9u, 0u));
    let c1 = weight_line(kernel_column(kernel * 9u, 1u));
    let c2 = weight_line(kernel_column(kernel * 9u, 2u));
    let place = row * params.leading + term;
    store_row(place, 0u, c0[0], c1[0], c2[0]);
    store_row(place, 1u, c0[1], c1[1], c2[1]);
    store_row(place, 2u, c0[2], c1[2], c2[2]);
    store_row(place, 3u, c0[3], c1[3], c2[3]);
    if TILE == 4u {
        store_row(place, 4u, c0[4], c1[4], c2[4]);
        store_row(place, 5u, c0[5], c1[5], c2[5]);
    }
}
