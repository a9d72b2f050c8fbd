// output[p] = sum of all of input[p] / its size: the average of whole planes.
//
// input   [planes, height, width], planes = batch * channels
// output  [planes]
//
// A workgroup takes one plane, a thread every WIDTH-th element of it; then the threads' sums are added
// in pairs: the same order every time. `items` is the number of planes.

// import lib/index.wgsl
// import lib/windows.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, WIDTH>;

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
    var sum = 0.0;
    for (var i = thread; i < size; i += WIDTH) {
        sum += input[plane * size + i];
    }
    sums[thread] = sum;
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    if thread == 0u {
        output[plane] = sums[0] / f32(size);
    }
}
