// The gradient of a convolution's input, one invocation for each of its elements:
//     grad_input[n, g*C + c, h, w] = sum over the outputs o of group g and over u, v, i, j with
//         h = i*stride + u*dilation - top and w = j*stride + v*dilation - left
//         of grad_output[n, o, i, j] * weight[o, c, u, v]
// and with BIAS bias[g*C + c] more: the transposed convolution.
// It follows the formula and is the kernel to read first.
//
// grad_output  [batch, outputs, rows, columns]
// weight       [outputs, C, kernel_height, kernel_width]
// bias         [channels], read only where BIAS
// grad_input   [batch, channels, height, width]
//
// The dispatch takes the images and output channels that params names, and the input channels of their
// groups. Where the outputs of a group are spread over several dispatches, all but the first
// accumulate.

// import lib/index.wgsl
// import lib/conv.wgsl

const BIAS: bool = false;
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
    let pixels = params.height * params.width;
    let channels = params.group_count * params.group_inputs;
    if index >= params.batch * channels * pixels {
        return;
    }
    let w = index % params.width;
    let h = index / params.width % params.height;
    let c = index / pixels % channels;
    let n = index / pixels / channels;
    let g = c / params.group_inputs;
    let taps = params.kernel_height * params.kernel_width;

    var sum = 0.0;
    for (var o = g * params.outputs; o < (g + 1u) * params.outputs; o += 1u) {
        let image = params.output_start + n * params.output_image + o * params.rows * params.columns;
        let filter_start = params.weight_start + o * depth() + c % params.group_inputs * taps;
        for (var u = 0u; u < params.kernel_height; u += 1u) {
            // i * stride
            let y = h + params.top - u * params.dilation_height;
            if h + params.top < u * params.dilation_height || y % params.stride_height != 0u
                || y / params.stride_height >= params.rows {
                continue;
            }
            let row = image + y / params.stride_height * params.columns;
            for (var v = 0u; v < params.kernel_width; v += 1u) {
                // j * stride
                let x = w + params.left - v * params.dilation_width;
                if w + params.left < v * params.dilation_width || x % params.stride_width != 0u
                    || x / params.stride_width >= params.columns {
                    continue;
                }
                sum += grad_output[row + x / params.stride_width]
                    * weight[filter_start + u * params.kernel_width + v];
            }
        }
    }
    let channel = params.first_group * params.group_inputs + c;
    let place = params.input_start + n * input_image() + channel * pixels + h * params.width + w;
    if params.accumulate != 0u {
        sum += grad_input[place];
    } else if BIAS {
        sum += bias[channel];
    }
    grad_input[place] = sum;
}
