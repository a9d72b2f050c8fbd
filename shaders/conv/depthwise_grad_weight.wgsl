// Parts of the gradient of the weight of a convolution of each channel by itself:
//     sums[q, o, u, v] = sum over the rows r of part q and over j of grad_output[n, o, i, j] *
//         input[n, c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// where c is the channel of output o and r = n * rows + i counts the output rows of all images; a part
// has params.part of them. add_parts.wgsl adds the parts up.
//
// input        [batch, channels, height, width]
// grad_output  [batch, outputs, rows, columns]
// sums         [parts, outputs, kernel_height, kernel_width]
//
// A workgroup computes TAPS weights of one output and part; a thread takes every WIDTH-th pixel of the
// part, for which the gradient is read once. Then the threads' sums are added in order. Grid:
// flattened, blocks of taps fastest, then outputs, then parts. The dispatch takes the images and output
// channels that params names. TAPS: at most 16, for the workgroup's memory.

// import lib/index.wgsl
// import lib/conv.wgsl

const TAPS: u32 = 9u;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<f32, TAPS * WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let flat = flat_group(group, groups);
    let taps = params.kernel_height * params.kernel_width;
    let blocks = (taps + TAPS - 1u) / TAPS;
    let outputs = params.group_count * params.outputs;
    let first_tap = flat % blocks * TAPS;
    let o = flat / blocks % outputs;
    let part = flat / blocks / outputs;
    let first_row = part * params.part;
    if first_row >= params.batch * params.rows {
        return;
    }
    let rows = min(params.part, params.batch * params.rows - first_row);
    let channel = params.input_start + group_of(o) * params.height * params.width;

    var sum: array<f32, TAPS>;
    for (var q = thread; q < rows * params.columns; q += WIDTH) {
        let r = q / params.columns;
        let j = q - r * params.columns;
        let n = (first_row + r) / params.rows;
        let i = first_row + r - n * params.rows;
        let grad = grad_output[params.output_start + n * params.output_image
            + (o * params.rows + i) * params.columns + j];
        let plane = channel + n * input_image();
        // Outside of the image these wrap to large numbers.
        let corner_y = i * params.stride_height - params.top;
        let corner_x = j * params.stride_width - params.left;
        for (var t = 0u; t < TAPS; t += 1u) {
            let u = (first_tap + t) / params.kernel_width;
            let v = first_tap + t - u * params.kernel_width;
            let y = corner_y + u * params.dilation_height;
            let x = corner_x + v * params.dilation_width;
            if y < params.height && x < params.width {
                sum[t] += grad * input[plane + y * params.width + x];
            }
        }
    }
    for (var t = 0u; t < TAPS; t += 1u) {
        partial[t * WIDTH + thread] = sum[t];
    }
    workgroupBarrier();
    if thread < min(TAPS, taps - first_tap) {
        var total = 0.0;
        for (var k = 0u; k < WIDTH; k += 1u) {
            total += partial[thread * WIDTH + k];
        }
        sums[(part * outputs + o) * taps + first_tap + thread] = total;
    }
}
