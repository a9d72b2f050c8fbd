// output[p] = max of all of input[p]; indices[p] = where it is: the maximum of whole planes.
//
// input    [planes, height, width], planes = batch * channels
// output   [planes]
// indices  [planes]; row * width + column, the first in row-major order of equal values
//
// A NaN is larger than any number, and of several the last counts, as in PyTorch. A workgroup takes one
// plane, a thread every WIDTH-th element of it; then the threads' maxima are compared in pairs. `items`
// is the number of planes.

// import lib/index.wgsl
// import lib/nan.wgsl
// import lib/windows.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> best: array<f32, WIDTH>;
var<workgroup> place: array<u32, WIDTH>;

// Whether `value` at `at` goes before the thread's best.
fn wins(value: f32, at: u32, thread: u32) -> bool {
    let other = best[thread];
    if is_nan(value) || is_nan(other) {
        return is_nan(value) && (!is_nan(other) || at > place[thread]);
    }
    return value > other || (value == other && at < place[thread]);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let plane = flat_group(group, groups);
    if plane >= params.items {
        return;
    }
    let size = INPUT_HEIGHT * INPUT_WIDTH;
    // Threads past the end of a small plane look at its last element again.
    var index = min(thread, size - 1u);
    best[thread] = input[plane * size + index];
    place[thread] = index;
    for (index += WIDTH; index < size; index += WIDTH) {
        let value = input[plane * size + index];
        if wins(value, index, thread) {
            best[thread] = value;
            place[thread] = index;
        }
    }
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half && wins(best[thread + half], place[thread + half], thread) {
            best[thread] = best[thread + half];
            place[thread] = place[thread + half];
        }
    }
    if thread == 0u {
        output[plane] = best[0];
        indices[plane] = place[0];
    }
}
