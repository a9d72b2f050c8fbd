// Locally connected layer: a convolution whose filters differ from place to place,
//     output[n, o, i, j] = bias[o, i, j] + sum over c, u, v of weight[o, c, u, v, i, j] *
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
// with g the group of o, C its number of input channels, and input 0 outside the image.
//
// input   [batch, channels, height, width]
// weight  [outputs, C, kernel_height, kernel_width, rows, columns]
// bias    [outputs, rows, columns], read only where BIAS
// output  [batch, outputs, rows, columns]
//
// An invocation computes 4 outputs of 4 images at one pixel, so that what it reads serves four times;
// neighbours take neighbouring pixels and read everything side by side. Grid: flattened, pixels
// fastest, then outputs, groups and images. The dispatch takes the images and output channels that
// params names. Source: the layer is that of cuda-convnet (Krizhevsky 2011), the tiling our own.

// import lib/index.wgsl
// import lib/conv.wgsl

const BIAS: bool = true;
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
    let quads = (params.outputs + 3u) / 4u;
    let p = index % pixels;
    let g = index / pixels / quads % params.group_count;
    let n = index / pixels / quads / params.group_count * 4u;
    if n >= params.batch {
        return;
    }
    let i = p / params.columns;
    let j = p - i * params.columns;
    let four = vec4(0u, 1u, 2u, 3u);
    // Past the end the last ones are computed again, and not written.
    let o = index / pixels % quads * 4u;
    let outputs = g * params.outputs + min(o + four, vec4(params.outputs - 1u));
    let images = min(n + four, vec4(params.batch - 1u));
    let image = params.input_start + images * input_image();
    var w = params.weight_start + outputs * depth() * pixels + p;

    // One vector of images for each output.
    var sum = mat4x4<f32>();
    for (var c = 0u; c < params.group_inputs; c += 1u) {
        let channel = ((params.first_group + g) * params.group_inputs + c) * params.height * params.width;
        for (var u = 0u; u < params.kernel_height; u += 1u) {
            // Above the image this wraps to a large number, which is not less than the height either.
            let y = i * params.stride_height + u * params.dilation_height - params.top;
            for (var v = 0u; v < params.kernel_width; v += 1u) {
                let x = j * params.stride_width + v * params.dilation_width - params.left;
                if y < params.height && x < params.width {
                    let at = image + channel + y * params.width + x;
                    let values = vec4(input[at.x], input[at.y], input[at.z], input[at.w]);
                    sum[0] += weight[w.x] * values;
                    sum[1] += weight[w.y] * values;
                    sum[2] += weight[w.z] * values;
                    sum[3] += weight[w.w] * values;
                }
                w += pixels;
            }
        }
    }
    for (var k = 0u; k < min(4u, params.outputs - o); k += 1u) {
        let channel = g * params.outputs + o + k;
        var values = sum[k];
        if BIAS {
            values += bias[params.bias_start + channel * pixels + p];
        }
        let place = params.output_start + n * params.output_image + channel * pixels + p;
        for (var m = 0u; m < min(4u, params.batch - n); m += 1u) {
            output[place + m * params.output_image] = values[m];
        }
    }
}
