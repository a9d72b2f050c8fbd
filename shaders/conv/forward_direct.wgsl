// Convolution, one invocation for each output element:
//     output[n, o, i, j] = bias[o] + sum over c, u, v of
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left] * weight[o, c, u, v]
// with g the group of o, C its number of input channels, and input 0 outside the image. It follows
// the formula and is the kernel to read first.
//
// input   [batch, channels, height, width]
// weight  [outputs, C, kernel_height, kernel_width]
// bias    [outputs], read only where BIAS; where RELU, negative results become 0
// output  [batch, outputs, rows, columns]
//
// The dispatch takes the images and output channels that params names.

// import lib/index.wgsl
// import lib/conv.wgsl

const BIAS: bool = true;
const RELU: bool = false;
const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let pixels = params.rows * params.columns;
    let outputs = params.group_count * params.outputs;
    if index >= params.batch * outputs * pixels {
        return;
    }
    let j = index % params.columns;
    let i = index / params.columns % params.rows;
    let o = index / pixels % outputs;
    let n = index / pixels / outputs;
    let g = group_of(o);

    var sum = 0.0;
    if BIAS {
        sum = bias[params.first_group * params.group_outputs + params.first_output + o];
    }
    let image = params.input_start + n * input_image();
    var w = params.weight_start + o * depth();
    for (var c = 0u; c < params.group_inputs; c += 1u) {
        let channel = image + (g * params.group_inputs + c) * params.height * params.width;
        for (var u = 0u; u < params.kernel_height; u += 1u) {
            // Above the image this wraps to a large number, which is not less than the height either.
            let y = i * params.stride_height + u * params.dilation_height - params.top;
            for (var v = 0u; v < params.kernel_width; v += 1u) {
                let x = j * params.stride_width + v * params.dilation_width - params.left;
                if y < params.height && x < params.width {
                    sum += input[channel + y * params.width + x] * weight[w];
                }
                w += 1u;
            }
        }
    }
    if RELU {
        sum = max(sum, 0.0);
    }
    output[params.output_start + n * params.output_image + o * pixels + i * params.columns + j] = sum;
}
