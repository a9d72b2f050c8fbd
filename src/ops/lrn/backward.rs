//! The gradient of local response normalisation.

use rayon::prelude::*;

use super::{Lrn, near, with_power};
use crate::error::Result;
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Half, Op, Types, expect_inputs};
use crate::tensor::TensorType;

/// The gradient of [`Lrn`]. With `y = x s^-beta` and `s = k + alpha * sum of x[j]^2`,
/// `grad_x[c] = grad_y[c] s[c]^-beta - 2 alpha beta x[c] * sum of grad_y[j] y[j] / s[j]` over the
/// channels `j` whose window holds `c`: those from `c - (size - 1) / 2` to `c + size / 2`.
///
/// Inputs: the forward op's input, its two outputs, and `grad_output`, all of one shape. Output:
/// `grad_input`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LrnGrad(pub Lrn);

impl LrnGrad {
    /// How many channels down and up the windows that hold a channel belong to.
    fn reach(&self) -> [usize; 2] {
        let [below, above] = self.0.reach();
        [above, below]
    }
}

impl Op for LrnGrad {
    fn name(&self) -> &'static str {
        "lrn_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 4..=4)?;
        self.0.check(self.name(), inputs)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        let window = self.0.size.min(types.input(0)[1]) as u64;
        Cost::with_flops(types, (3 * window + 6) * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        self.0.reduction(types)
    }

    fn half(&self) -> Half {
        Half::taken(&[0, 1, 3], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [x, y, scale, grad] = [0, 1, 2, 3].map(|i| &io.inputs[i].data);
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| io.inputs[0].dims()[i]);
        let plane = height * width;
        let (alpha, beta) = (self.0.factor(), f64::from(self.0.beta));
        for n in 0..batch {
            for c in 0..channels {
                for i in 0..plane {
                    let mut sum = 0.0;
                    for j in 0..channels {
                        // Whether c is in the window of j.
                        if c + self.0.size / 2 >= j && c <= j + (self.0.size - 1) / 2 {
                            let at = (n * channels + j) * plane + i;
                            sum += grad[at] * y[at] / scale[at];
                        }
                    }
                    let at = (n * channels + c) * plane + i;
                    io.outputs[0].data[at] =
                        grad[at] * scale[at].powf(-beta) - 2.0 * alpha * beta * x[at] * sum;
                }
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [_, channels, height, width] = [0, 1, 2, 3].map(|i| io.types.input(0)[i]);
        let plane = height * width;
        let factor = (2.0 * self.0.factor() * f64::from(self.0.beta)) as f32;
        let inputs = io.inputs;
        io.outputs[0]
            .par_chunks_mut(plane)
            .enumerate()
            .with_min_len((8 * 1024usize).div_ceil(plane))
            .for_each(|(index, grad_input)| {
                let (sample, channel) = (index / channels, index % channels);
                let planes_of = |c| {
                    let start = (sample * channels + c) * plane;
                    [0, 1, 2, 3].map(|i| &inputs[i][start..start + plane])
                };
                grad_input.fill(0.0);
                for c in near(channel, self.reach(), channels) {
                    let [_, y, scale, grad] = planes_of(c);
                    let terms = grad.iter().zip(y).zip(scale);
                    grad_input
                        .iter_mut()
                        .zip(terms)
                        .for_each(|(sum, ((g, y), s))| *sum += g * y / s);
                }
                let [x, _, scale, grad] = planes_of(channel);
                let elements = grad_input.iter_mut().zip(x).zip(grad).zip(scale.iter().copied());
                with_power(self.0.beta, elements, |((sum, x), g), power| {
                    *sum = g * power - factor * x * *sum;
                });
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let operands = [
            ("input", Operand::Input(0)),
            ("output", Operand::Input(1)),
            ("scale", Operand::Input(2)),
            ("grad_output", Operand::Input(3)),
            ("grad_input", Operand::Output(0)),
        ];
        let shader = crate::kernel::shader!("lrn/lrn_grad.wgsl");
        self.0.variants(self.name(), shader, &operands, self.reach(), types, adapter)
    }
}
