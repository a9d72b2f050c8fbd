// Convolution of each channel by itself,
//     output[n, c*M + m, i, j] = bias[c*M + m] + sum over u, v of weight[c*M + m, u, v] *
//         input[n, c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// with M outputs a channel, and input 0 outside the image.
//
// input   [batch, channels, height, width]
// weight  [outputs, kernel_height, kernel_width]
// bias    [outputs], read only where BIAS; where RELU, negative results become 0
// output  [batch, outputs, rows, columns]
//
// An invocation computes 4 neighbours in a row, for which a weight is read once. Grid: flattened, along
// rows first. The dispatch takes the images and output channels that params names.
// Source: Sifre 2014, "Rigid-motion scattering for image classification", section 6.2.

// import lib/index.wgsl
// import lib/conv.wgsl

const BIAS: bool = true;
const RELU: bool = false;
const KERNEL_HEIGHT: u32 = 3u;
const KERNEL_WIDTH: u32 = 3u;
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
    let quads = (params.columns + 3u) / 4u;
    let outputs = params.group_count * params.outputs;
    let j = index % quads * 4u;
    let i = index / quads % params.rows;
    let o = index / quads / params.rows % outputs;
    let n = index / quads / params.rows / outputs;
    if n >= params.batch {
        return;
    }
    let channel = params.input_start + n * input_image() + group_of(o) * params.height * params.width;
    let filter_start = params.weight_start + o * KERNEL_HEIGHT * KERNEL_WIDTH;
    // Outside of the image these wrap to large numbers.
    let corner_y = i * params.stride_height - params.top;
    let corner_x = (j + vec4(0u, 1u, 2u, 3u)) * params.stride_width - params.left;

    var sum = vec4<f32>();
    if BIAS {
        sum = vec4(bias[params.first_group * params.group_outputs + params.first_output + o]);
    }
    for (var u = 0u; u < KERNEL_HEIGHT; u += 1u) {
        let y = corner_y + u * params.dilation_height;
        if y >= params.height {
            continue;
        }
        for (var v = 0u; v < KERNEL_WIDTH; v += 1u) {
            let x = corner_x + v * params.dilation_width;
            let inside = x < vec4(params.width);
            let at = channel + y * params.width + select(vec4(0u), x, inside);
            let values = vec4(input[at.x], input[at.y], input[at.z], input[at.w]);
            sum += weight[filter_start + u * KERNEL_WIDTH + v] * select(vec4<f32>(), values, inside);
        }
    }
    if RELU {
        sum = max(sum, vec4<f32>());
    }
    let place = params.output_start + n * params.output_image
        + (o * params.rows + i) * params.columns + j;
    for (var k = 0u; k < min(4u, params.columns - j); k += 1u) {
        output[place + k] = sum[k];
    }
}
