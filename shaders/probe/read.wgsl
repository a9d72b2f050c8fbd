// y[b, c] = sum over r of x[b, r, c]: how fast an adapter reads memory.
//
// input   [blocks, rows, columns], columns a multiple of four
// output  [blocks, columns]
//
// One invocation adds one column of vectors of four, so that neighbours read neighbours. Four sums
// for every fourth row keep four loads under way; they are added at the end.

// import lib/index.wgsl

const WIDTH: u32 = 64u;

struct Params {
    blocks: u32,
    rows: u32,
    // Vectors of four in a row.
    columns: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = flat_thread(global, groups, WIDTH);
    if i >= params.blocks * params.columns {
        return;
    }
    let step = params.columns;
    var at = i / step * params.rows * step + i % step;
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    for (var round = 0u; round < params.rows / 4u; round++) {
        sum0 += input[at];
        sum1 += input[at + step];
        sum2 += input[at + 2u * step];
        sum3 += input[at + 3u * step];
        at += 4u * step;
    }
    for (var row = 0u; row < params.rows % 4u; row++) {
        sum0 += input[at];
        at += step;
    }
    output[i] = (sum0 + sum1) + (sum2 + sum3);
}
