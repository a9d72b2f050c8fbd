// Winograd convolution, the weights: U = G g G^T of each 3 x 3 kernel (lib/winograd.wgsl).
//
// Forward: row r of group g is output channel r, and its terms are input channels. BACKWARD, for the
// input's gradient: rows are input channels, terms are output channels, and the taps are turned:
//     U[., g, r, q] = G weight[g, q, r, 2 - u, 2 - v] G^T
//
// weight       [groups, group_outputs, group_inputs, 3, 3]
// transformed  [SIDE * SIDE, groups, rows, quads] vectors of four terms; the SIDE * SIDE parts are `plane`
//              vectors apart
//
// Thread: the kernels of four terms; neighbours take neighbouring terms, and write side by side. Past
// the last term it takes the last one. Grid: flattened.
const BACKWARD: bool = false;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> transformed: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
    groups: u32,
    rows: u32,
    terms: u32,
    quads: u32,
    plane: u32,
}

// import lib/index.wgsl
// import lib/winograd.wgsl

// Where the kernel of a term starts; row r of group g is r + g * rows.
fn kernel_of(row: u32, term: u32) -> u32 {
    let last = min(term, params.terms - 1u);
    if BACKWARD {
        let output = row / params.rows * params.terms + last;
        return (output * params.rows + row % params.rows) * 9u;
    }
    return (row * params.terms + last) * 9u;
}

fn taps(kernels: vec4<u32>, u: u32, v: u32) -> vec4<f32> {
    var tap = u * 3u + v;
    if BACKWARD {
        tap = 8u - tap;
    }
    let at = kernels + tap;
    return vec4(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

// G times column `v` of the kernels.
fn kernel_column(kernels: vec4<u32>, v: u32) -> Line {
    return weight_line(taps(kernels, 0u, v), taps(kernels, 1u, v), taps(kernels, 2u, v));
}

fn store_row(place: u32, i: u32, c0: vec4<f32>, c1: vec4<f32>, c2: vec4<f32>) {
    let line = weight_line(c0, c1, c2);
    let plane = params.plane;
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
    if index >= params.groups * params.rows * params.quads {
        return;
    }
    let row = index / params.quads;
    let term = index % params.quads * 4u;
    let kernels = vec4(
        kernel_of(row, term),
        kernel_of(row, term + 1u),
        kernel_of(row, term + 2u),
        kernel_of(row, term + 3u),
    );
    let c0 = kernel_column(kernels, 0u);
    let c1 = kernel_column(kernels, 1u);
    let c2 = kernel_column(kernels, 2u);
    store_row(index, 0u, c0[0], c1[0], c2[0]);
    store_row(index, 1u, c0[1], c1[1], c2[1]);
    store_row(index, 2u, c0[2], c1[2], c2[2]);
    store_row(index, 3u, c0[3], c1[3], c2[3]);
    if TILE == 4u {
        store_row(index, 4u, c0[4], c1[4], c2[4]);
        store_row(index, 5u, c0[5], c1[5], c2[5]);
    }
}
