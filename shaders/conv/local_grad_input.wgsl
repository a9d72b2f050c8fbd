// The gradient of a locally connected layer's input:
//     grad_input[n, g*C + c, h, w] = sum over the outputs o of group g and over u, v, i, j with
//         h = i*stride + u*dilation - top and w = j*stride + v*dilation - left
//         of grad_output[n, o, i, j] * weight[o, c, u, v, i, j]
//
// grad_output  [batch, outputs, rows, columns]
// weight       [outputs, C, kernel_height, kernel_width, rows, columns]
// grad_input   [batch, channels, height, width]
//
// An invocation computes 4 channels of 4 images at one pixel, so that what it reads serves four times.
// Grid: flattened, pixels fastest, then channels, groups and images. The dispatch takes the images and
// output channels that params names, and the input channels of their groups. Where the outputs of a
// group are spread over several dispatches, all but the first accumulate.

// import lib/index.wgsl
// import lib/conv.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let pixels = params.height * params.width;
    let quads = (params.group_inputs + 3u) / 4u;
    let p = index % pixels;
    let g = index / pixels / quads % params.group_count;
    let n = index / pixels / quads / params.group_count * 4u;
    if n >= params.batch {
        return;
    }
    let h = p / params.width;
    let w = p - h * params.width;
    let four = vec4(0u, 1u, 2u, 3u);
    // Past the end the last ones are computed again, and not written.
    let c = index / pixels % quads * 4u;
    let channels = min(c + four, vec4(params.group_inputs - 1u));
    let images = min(n + four, vec4(params.batch - 1u));
    let taps = params.kernel_height * params.kernel_width;
    let places = params.rows * params.columns;

    // One vector of images for each channel.
    var sum = mat4x4<f32>();
    for (var o = g * params.outputs; o < (g + 1u) * params.outputs; o += 1u) {
        let image = params.output_start + images * params.output_image + o * places;
        let kernel = params.weight_start + (o * params.group_inputs + channels) * taps * places;
        for (var u = 0u; u < params.kernel_height; u += 1u) {
            // i * stride
            let y = h + params.top - u * params.dilation_height;
            let i = y / params.stride_height;
            if h + params.top < u * params.dilation_height || i * params.stride_height != y
                || i >= params.rows {
                continue;
            }
            for (var v = 0u; v < params.kernel_width; v += 1u) {
                // j * stride
                let x = w + params.left - v * params.dilation_width;
                let j = x / params.stride_width;
                if w + params.left < v * params.dilation_width || j * params.stride_width != x
                    || j >= params.columns {
                    continue;
                }
                let place = i * params.columns + j;
                let at = image + place;
                let k = kernel + (u * params.kernel_width + v) * places + place;
                let grads = vec4(
                    grad_output[at.x], grad_output[at.y], grad_output[at.z], grad_output[at.w]);
                sum[0] += weight[k.x] * grads;
                sum[1] += weight[k.y] * grads;
                sum[2] += weight[k.z] * grads;
                sum[3] += weight[k.w] * grads;
            }
        }
    }
    for (var k = 0u; k < min(4u, params.group_inputs - c); k += 1u) {
        let channel = (params.first_group + g) * params.group_inputs + c + k;
        for (var m = 0u; m < min(4u, params.batch - n); m += 1u) {
            let place = params.input_start + (n + m) * input_image() + channel * pixels + p;
            var value = sum[k][m];
            if params.accumulate != 0u {
                value += grad_input[place];
            }
            grad_input[place] = value;
        }
    }
}
