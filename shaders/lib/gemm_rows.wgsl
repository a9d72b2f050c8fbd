// How kernels with a tile of lib/subgroup_tile.wgsl store it, where it lies in C as a whole. For lib/gemm.wgsl.

// The lane's first element in C, its row, and the biases of its columns, for `finish_row`.
var<private> first_index: u32;
var<private> first_row: u32;
var<private> column_bias: vec4<f32>;

// Prepares `finish_row` for the lane's four columns, from `column` on, of a tile that starts at `row`. Both
// lie in C with all their neighbours of the tile, and C is neither transposed nor added to.
fn start_rows(base_c: u32, row: u32, column: u32) {
    first_index = base_c + row * params.ldc + column;
    first_row = row;
    if BIAS == 2u {
        let at = params.offset_bias + column;
        column_bias = vec4(bias[at], bias[at + 1u], bias[at + 2u], bias[at + 3u]);
    }
}

fn finish_row(row: u32, sums: vec4<f32>) {
    var values = sums;
    if BIAS == 1u {
        values += bias[params.offset_bias + first_row + row];
    } else if BIAS == 2u {
        values += column_bias;
    }
    if RELU {
        values = max(values, ZERO);
    }
    let index = first_index + row * params.ldc;
    c[index] = values.x;
    c[index + 1u] = values.y;
    c[index + 2u] = values.z;
    c[index + 3u] = values.w;
}
