// Gathers the channels of weights by fours, for kernels that read texels.
//
// Forward: rows are output channels, the channels of a texel are grouped input channels (lib/texel_conv.wgsl):
//     packed[g, o, i, j, 4 q + e] = weight[g, o, c, i * scale_y + py, j * scale_x + px]
// BACKWARD, for the input's gradient: rows are grouped input channels, the channels of a texel are output
// channels, and the taps come from last to first:
//     packed[g, r, i, j, 4 q + e] = weight[g, 4 q + e, c, (taps_height - 1 - i) * scale_y + py, (...j) * scale_x + px]
// Outside of the kernel and past the last channel the values are 0.
//
// weight  [groups, group_outputs, group_inputs, kernel_height, kernel_width], from `start` on
// packed  [groups, rows, taps_height, taps_width, quads] vectors of four
//
// Thread: one vector. Grid: flattened.
const BACKWARD: bool = false;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
    groups: u32,
    rows: u32,
    taps_height: u32,
    taps_width: u32,
    quads: u32,
    scale_y: u32,
    scale_x: u32,
    group_outputs: u32,
    group_inputs: u32,
    kernel_height: u32,
    kernel_width: u32,
    start: u32,
}

// import lib/index.wgsl
// import lib/texel_conv.wgsl

fn element(group: u32, row: u32, i: u32, j: u32, channel: u32) -> f32 {
    let scale = vec2(params.scale_y, params.scale_x);
    var output = row;
    var part = ungrouped(channel, scale);
    var tap = vec2(i, j);
    if BACKWARD {
        output = channel;
        part = ungrouped(row, scale);
        tap = vec2(params.taps_height - 1u - i, params.taps_width - 1u - j);
    }
    let place = ungrouped_place(tap, part, scale);
    let is_inside = output < params.group_outputs && part.x < params.group_inputs
        && place.x < params.kernel_height && place.y < params.kernel_width;
    if !is_inside {
        return 0.0;
    }
    let plane = (group * params.group_outputs + output) * params.group_inputs + part.x;
    return weight[params.start + (plane * params.kernel_height + place.x) * params.kernel_width + place.y];
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let taps = params.taps_height * params.taps_width;
    if index >= params.groups * params.rows * taps * params.quads {
        return;
    }
    let quad = index % params.quads;
    let tap = index / params.quads % taps;
    let row = index / params.quads / taps % params.rows;
    let group = index / params.quads / taps / params.rows;
    let i = tap / params.taps_width;
    let j = tap % params.taps_width;
    packed[index] = vec4(
        element(group, row, i, j, quad * 4u),
        element(group, row, i, j, quad * 4u + 1u),
        element(group, row, i, j, quad * 4u + 2u),
        element(group, row, i, j, quad * 4u + 3u),
    );
}
