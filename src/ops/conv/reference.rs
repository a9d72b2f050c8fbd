//! The oracle: the formulas of the ops' documentation as plain loops in f64.

use super::geometry::Geometry;
use crate::ops::Arrays;

/// Calls `f(output, input, weight)` with the element indices of every product in the convolution:
/// the output gets input times weight.
pub(super) fn each_product(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let ([height, width], [rows, columns], [kernel_height, kernel_width]) =
        (g.input, g.output, g.kernel);
    for n in 0..g.batch {
        for o in 0..g.outputs() {
            let group = o / g.group_outputs;
            for i in 0..rows {
                for j in 0..columns {
                    let output = ((n * g.outputs() + o) * rows + i) * columns + j;
                    for c in 0..g.group_inputs {
                        let channel = group * g.group_inputs + c;
                        for u in 0..kernel_height {
                            for v in 0..kernel_width {
                                let h = i * g.stride[0] + u * g.dilation[0];
                                let w = j * g.stride[1] + v * g.dilation[1];
                                // h and w count from the padded image's corner.
                                let inside = (g.padding[0]..g.padding[0] + height).contains(&h)
                                    && (g.padding[1]..g.padding[1] + width).contains(&w);
                                if !inside {
                                    continue;
                                }
                                let (h, w) = (h - g.padding[0], w - g.padding[1]);
                                let input = ((n * g.inputs() + channel) * height + h) * width + w;
                                let weight = ((o * g.group_inputs + c) * kernel_height + u)
                                    * kernel_width
                                    + v;
                                f(output, input, weight);
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn forward(g: &Geometry, io: &mut Arrays<'_>) {
    let (x, w) = (&io.inputs[0].data, &io.inputs[1].data);
    let y = &mut io.outputs[0].data;
    if let Some(bias) = io.inputs.get(2) {
        for (index, y) in y.iter_mut().enumerate() {
            *y = bias.data[index / g.output_pixels() % g.outputs()];
        }
    }
    each_product(g, |output, input, weight| y[output] += x[input] * w[weight]);
}

pub(super) fn grad_input(g: &Geometry, io: &mut Arrays<'_>) {
    let (grad_y, w) = (&io.inputs[0].data, &io.inputs[1].data);
    let grad_x = &mut io.outputs[0].data;
    each_product(g, |output, input, weight| grad_x[input] += grad_y[output] * w[weight]);
}

pub(super) fn grad_weight(g: &Geometry, io: &mut Arrays<'_>) {
    let (x, grad_y) = (&io.inputs[0].data, &io.inputs[1].data);
    let grad_w = &mut io.outputs[0].data;
    each_product(g, |output, input, weight| grad_w[weight] += grad_y[output] * x[input]);
}
