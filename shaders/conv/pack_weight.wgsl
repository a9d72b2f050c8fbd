// Gathers the channels of weights by fours, for kernels that read texels.
//
// Forward: rows are output channels, the channels of a texel are grouped input channels (lib/texel_conv.wgsl):
//     packed[g, o, i, j, 4 q + e] = weight[g, o, c, i * scale_y + py, j * scale_x + px]
// BACKWARD, for the input's gradient: rows are input channels of the phases of a stride (`phased`), the channels of a texel
// are output channels, and the taps come from last to first:
//     packed[g, r, i, j, 4 q + e] = weight[g, 4 q + e, c, (taps_height - 1 - i) * scale_y + py, (...j) * scale_x + px]
// Outside of the kernel and past the last channel the values are 0.
//
// weight  [groups, group_outputs, group_inputs, kernel_height, kernel_width], from `start` on
// packed  [groups, rows, taps_height, taps_width, quads] vectors of four
//
// Workgroup: the vectors of one row. Grid: flattened.
const SCALE_Y: u32 = 1u;
const SCALE_X: u32 = 1u;
const WHOLE_Y: u32 = 1u;
const WHOLE_X: u32 = 1u;
const CHANNELS: u32 = 1u;
const BACKWARD: bool = false;
const WIDTH: u32 = 8u;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

struct Params {
    groups: u32,
    rows: u32,
    taps_height: u32,
    taps_width: u32,
    quads: u32,
    group_outputs: u32,
    group_inputs: u32,
    kernel_height: u32,
    kernel_width: u32,
    start: u32,
}

// import lib/index.wgsl
// import lib/texel_conv.wgsl

fn element(group: u32, row: u32, i: u32, j: u32, channel: u32) -> f32 {
    let scale = vec2(SCALE_Y, SCALE_X);
    var output = row;
    var part = ungrouped(channel, scale);
    var tap = vec2(i, j);
    if BACKWARD {
        output = channel;
        part = phased(row, CHANNELS, scale, vec2(WHOLE_Y, WHOLE_X));
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
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = flat_group(wid, groups);
    if flat >= params.groups * params.rows {
        return;
    }
    let group = flat / params.rows;
    let row = flat % params.rows;
    var tap = flat * params.taps_height * params.taps_width * params.quads;
    for (var i = 0u; i < params.taps_height; i += 1u) {
        for (var j = 0u; j < params.taps_width; j += 1u) {
            for (var quad = thread; quad < params.quads; quad += WIDTH) {
                packed[tap + quad] = vec4(
                    element(group, row, i, j, quad * 4u),
                    element(group, row, i, j, quad * 4u + 1u),
                    element(group, row, i, j, quad * 4u + 2u),
                    element(group, row, i, j, quad * 4u + 3u),
                );
            }
            tap += params.quads;
        }
    }
}
