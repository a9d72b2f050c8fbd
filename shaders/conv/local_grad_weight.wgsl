// The gradient of a locally connected layer's weight:
//     grad_weight[o, c, u, v, i, j] = sum over n of grad_output[n, o, i, j] *
//         input[n, g*C + c, i*stride + u*dilation - top, j*stride + v*dilation - left]
//
// input        [batch, channels, height, width]
// grad_output  [batch, outputs, rows, columns]
// grad_weight  [outputs, C, kernel_height, kernel_width, rows, columns]
//
// An invocation computes the weights of 4 outputs from 4 channels at one tap and pixel, so that what it
// reads serves four times. Grid: flattened, pixels fastest, then taps, channels, outputs and groups.
// The dispatch takes the images and output channels that params names; where the images are spread over
// several dispatches, all but the first accumulate.

// import lib/index.wgsl
// import lib/conv.wgsl

const WIDTH: u32 = 64u;

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let index = flat_thread(global, groups, WIDTH);
    let pixels = params.rows * params.columns;
    let taps = params.kernel_height * params.kernel_width;
    let channel_quads = (params.group_inputs + 3u) / 4u;
    let output_quads = (params.outputs + 3u) / 4u;
    let p = index % pixels;
    let tap = index / pixels % taps;
    let c = index / pixels / taps % channel_quads * 4u;
    let o = index / pixels / taps / channel_quads % output_quads * 4u;
    let g = index / pixels / taps / channel_quads / output_quads;
    if g >= params.group_count {
        return;
    }
    let i = p / params.columns;
    let j = p - i * params.columns;
    let u = tap / params.kernel_width;
    let v = tap - u * params.kernel_width;
    // Outside of the image these wrap to large numbers.
    let y = i * params.stride_height + u * params.dilation_height - params.top;
    let x = j * params.stride_width + v * params.dilation_width - params.left;
    let four = vec4(0u, 1u, 2u, 3u);
    // Past the end the last ones are computed again, and not written.
    let channels = (params.first_group + g) * params.group_inputs
        + min(c + four, vec4(params.group_inputs - 1u));
    let outputs = g * params.outputs + min(o + four, vec4(params.outputs - 1u));

    // One vector of channels for each output.
    var sum = mat4x4<f32>();
    if y < params.height && x < params.width {
        var at = params.input_start + channels * params.height * params.width + y * params.width + x;
        var grad = params.output_start + outputs * pixels + p;
        for (var n = 0u; n < params.batch; n += 1u) {
            let values = vec4(input[at.x], input[at.y], input[at.z], input[at.w]);
            sum[0] += grad_output[grad.x] * values;
            sum[1] += grad_output[grad.y] * values;
            sum[2] += grad_output[grad.z] * values;
            sum[3] += grad_output[grad.w] * values;
            at += input_image();
            grad += params.output_image;
        }
    }
    for (var k = 0u; k < min(4u, params.outputs - o); k += 1u) {
        let output = g * params.outputs + o + k;
        for (var m = 0u; m < min(4u, params.group_inputs - c); m += 1u) {
            let place = params.weight_start
                + ((output * params.group_inputs + c + m) * taps + tap) * pixels + p;
            var value = sum[k][m];
            if params.accumulate != 0u {
                value += grad_weight[place];
            }
            grad_weight[place] = value;
        }
    }
}
