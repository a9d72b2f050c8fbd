// Gathers the channels of weights by fours, for kernels that read texels.
//
// Forward: rows are output channels, the channels of a texel are grouped input channels (lib/texel_conv.wgsl):
//     packed[g, o, i, j, 4 q + e] = weight[g, o, c, i * scale_y + py, j * scale_x + px]
// BACKWARD, for the input's gradient: rows are input channels of the phases of a stride (`phased`), the channels of a texel
// are output channels, and the taps come from last to first:
//     packed[g, r, i, j, 4 q + e] = weight[g, 4 q + e, c, (taps_height - 1 - i) * scale_y + py, (...j) * scale_x + px]
// Outside of the kernel and past the last channel the values are 0.
//
// weight  [groups, group_outputs, group_inputs, kernel_height, kernel_width]
// packed  [groups, rows, taps_height, taps_width, quads] vectors of four
//
// Without a scale the taps of a channel lie side by side: a thread takes four of them for four channels and exchanges
// taps and channels.
//
// Workgroup: the vectors of one row. Grid: flattened.
const SCALE_Y: u32 = 1u;
const SCALE_X: u32 = 1u;
const WHOLE_Y: u32 = 1u;
const WHOLE_X: u32 = 1u;
const CHANNELS: u32 = 1u;
const BACKWARD: bool = false;
const WIDTH: u32 = 8u;

@group(0) @binding(0) var<storage, read> weight: array<vec4<f32>>;
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
    // The last vector of `weight`.
    last: u32,
}

// import lib/index.wgsl
// import lib/texel_conv.wgsl
// import lib/window.wgsl

// The four weights from one on, and whatever past the last.
fn run_at(index: u32) -> vec4<f32> {
    let at = min(index / 4u, params.last);
    return window(weight[at], weight[min(at + 1u, params.last)], index % 4u);
}

// The first weight of an output and an input channel.
fn kernel_at(group: u32, output: u32, input: u32) -> u32 {
    let plane = (group * params.group_outputs + output) * params.group_inputs + input;
    return plane * params.kernel_height * params.kernel_width;
}

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
    let index = kernel_at(group, output, part.x) + place.x * params.kernel_width + place.y;
    let four = weight[index / 4u];
    return window(four, four, index % 4u).x;
}

// The taps t .. t + 4 of one channel of a row, zero past the last channel.
fn taps_of(group: u32, row: u32, channel: u32, t: u32) -> vec4<f32> {
    if BACKWARD {
        let is_there = channel < params.group_outputs;
        return select(vec4<f32>(), run_at(kernel_at(group, channel, row) + t), is_there);
    }
    let is_there = channel < params.group_inputs;
    return select(vec4<f32>(), run_at(kernel_at(group, row, channel) + t), is_there);
}

fn pack_unscaled(group: u32, row: u32, flat: u32, thread: u32) {
    let taps = params.taps_height * params.taps_width;
    for (var quad = thread; quad < params.quads; quad += WIDTH) {
        for (var t = 0u; t < taps; t += 4u) {
            let vectors = transpose(mat4x4(
                taps_of(group, row, quad * 4u, t),
                taps_of(group, row, quad * 4u + 1u, t),
                taps_of(group, row, quad * 4u + 2u, t),
                taps_of(group, row, quad * 4u + 3u, t),
            ));
            let first = select(t, taps - 1u - t, BACKWARD);
            let step = select(params.quads, 0u - params.quads, BACKWARD);
            let at = (flat * taps + first) * params.quads + quad;
            packed[at] = vectors[0];
            if t + 1u < taps {
                packed[at + step] = vectors[1];
            }
            if t + 2u < taps {
                packed[at + 2u * step] = vectors[2];
            }
            if t + 3u < taps {
                packed[at + 3u * step] = vectors[3];
            }
        }
    }
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
    if SCALE_Y == 1u && SCALE_X == 1u {
        pack_unscaled(group, row, flat, thread);
        return;
    }
    let row_texels = params.taps_width * params.quads;
    let texels = params.taps_height * row_texels;
    for (var t = thread; t < texels; t += WIDTH) {
        let i = t / row_texels;
        let j = t / params.quads % params.taps_width;
        let channel = t % params.quads * 4u;
        packed[flat * texels + t] = vec4(
            element(group, row, i, j, channel),
            element(group, row, i, j, channel + 1u),
            element(group, row, i, j, channel + 2u),
            element(group, row, i, j, channel + 3u),
        );
    }
}
