// The gradient of the input of a convolution of each channel by itself:
//     grad_input[n, c, h, w] = sum over m, u, v, i, j with h = i*stride + u*dilation - top and
//         w = j*stride + v*dilation - left of grad_output[n, c*M + m, i, j] * weight[c*M + m, u, v]
// with M outputs a channel; and with BIAS bias[c] more: the transposed convolution.
//
// grad_output  [batch, outputs, rows, columns]
// weight       [outputs, kernel_height, kernel_width]
// bias         [channels], read only where BIAS
// grad_input   [batch, channels, height, width]
//
// An invocation computes 4 neighbours in a row, for which a weight is read once. Grid: flattened, along
// rows first. The dispatch takes the images and output channels that params names, and the channels
// that they belong to. Where the outputs of a channel are spread over several dispatches, all but the
// first accumulate. The stride is a constant, because divisions by an unknown number would take longest.

// import lib/index.wgsl
// import lib/conv.wgsl

const BIAS: bool = false;
const KERNEL_HEIGHT: u32 = 3u;
const KERNEL_WIDTH: u32 = 3u;
const STRIDE_HEIGHT: u32 = 1u;
const STRIDE_WIDTH: u32 = 1u;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let quads = (params.width + 3u) / 4u;
    let w = index % quads * 4u;
    let h = index / quads % params.height;
    let c = index / quads / params.height % params.group_count;
    let n = index / quads / params.height / params.group_count;
    if n >= params.batch {
        return;
    }
    let padded_y = h + params.top;
    let padded_x = w + params.left + vec4(0u, 1u, 2u, 3u);

    var sum = vec4<f32>();
    for (var o = c * params.outputs; o < (c + 1u) * params.outputs; o += 1u) {
        let plane = params.output_start + n * params.output_image + o * params.rows * params.columns;
        let filter_start = params.weight_start + o * KERNEL_HEIGHT * KERNEL_WIDTH;
        for (var u = 0u; u < KERNEL_HEIGHT; u += 1u) {
            // i * stride; above the first window it wraps to a large number.
            let y = padded_y - u * params.dilation_height;
            let i = y / STRIDE_HEIGHT;
            if padded_y < u * params.dilation_height || i * STRIDE_HEIGHT != y || i >= params.rows {
                continue;
            }
            for (var v = 0u; v < KERNEL_WIDTH; v += 1u) {
                // j * stride
                let before = vec4(v * params.dilation_width);
                let x = padded_x - before;
                let j = x / STRIDE_WIDTH;
                let inside = (padded_x >= before) & (j * STRIDE_WIDTH == x)
                    & (j < vec4(params.columns));
                let at = plane + i * params.columns + select(vec4(0u), j, inside);
                let grads = vec4(
                    grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
                sum += weight[filter_start + u * KERNEL_WIDTH + v]
                    * select(vec4<f32>(), grads, inside);
            }
        }
    }
    let channel = params.first_group + c;
    if BIAS && params.accumulate == 0u {
        sum += bias[channel];
    }
    let place = params.input_start + n * input_image() + (channel * params.height + h) * params.width + w;
    for (var k = 0u; k < min(4u, params.width - w); k += 1u) {
        if params.accumulate != 0u {
            grad_input[place + k] += sum[k];
        } else {
            grad_input[place + k] = sum[k];
        }
    }
}
