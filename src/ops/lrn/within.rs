//! Local response normalisation within a channel.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::window::{LEAST, Windows, planes, two_stages};
use super::{AlphaConvention, Lrn, with_power};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_inputs};
use crate::tensor::TensorType;

/// Divides each activation by a power of the squares around it in its channel:
/// `y[i,j] = x[i,j] / (k + alpha * sum of d[u,v]^2)^beta` over the rows `u` from `i - size / 2` to
/// `i + (size - 1) / 2` and the columns `v` likewise, for each sample and channel by itself. Where the
/// window passes the edge of the image, only what is inside is added, as if there were zeros outside;
/// with [`AlphaConvention::Mean`] `alpha` is divided by `size * size` all the same.
///
/// `d` is `x` itself (cuda-convnet's `rnorm`, Caffe's `WITHIN_CHANNEL` with `k = 1`), or a second input:
/// with that of [`LocalCentre`](super::LocalCentre) it is cuda-convnet's contrast normalisation,
/// `cnorm`, which divides `x`, not its deviation from the mean.
///
/// Inputs: `x` `[batch, channels, height, width]` and perhaps `d`, of the same shape. Outputs: `y`, and
/// the base of the power, which the backward pass reads and through which no gradient flows.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct LrnWithinChannel(pub Lrn);

/// The gradient of [`LrnWithinChannel`]. With `s` the base of the power: `grad_x = g s^-beta`, and
/// `grad_d[i,j] = -2 alpha beta d[i,j] * sum of g[u,v] y[u,v] / s[u,v]` over the positions whose window
/// holds `[i,j]`. Where `d` is `x` the gradient is the sum of the two.
///
/// Inputs: `x`, `y`, `s`, `grad_output`, and `d` where it was given; of one shape. Outputs: `grad_x`, and
/// `grad_d` where `d` was given.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LrnWithinChannelGrad(pub Lrn);

/// The factor of the plain sum of squares.
fn factor(lrn: &Lrn) -> f64 {
    match lrn.convention {
        AlphaConvention::Sum => f64::from(lrn.alpha),
        AlphaConvention::Mean => f64::from(lrn.alpha) / (lrn.size as f64).powi(2),
    }
}

impl Op for LrnWithinChannel {
    fn name(&self) -> &'static str {
        "lrn_within_channel"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=2)?;
        self.0.check(self.name(), inputs)?;
        Ok(vec![inputs[0].clone(); 2])
    }

    fn cost(&self, types: &Types) -> Cost {
        let terms = Windows::new(types, self.0.size).terms() as u64;
        Cost::with_flops(types, (2 * terms + 4) * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        // WGSL allows the power to be some units in the last place off.
        Windows::new(types, self.0.size).terms() + 64
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        if g.grad_output(1).is_ok() {
            let problem = "lrn_within_channel passes no gradient through its scale";
            return Err(Error::Usage(problem.into()));
        }
        let mut inputs = vec![g.input(0), g.output(0), g.output(1), g.grad_output(0)?];
        inputs.extend((g.inputs() > 1).then(|| g.input(1)));
        let gradients = g.emit(LrnWithinChannelGrad(self.0), &inputs)?;
        for (i, gradient) in gradients.into_iter().enumerate() {
            g.set_grad(i, gradient);
        }
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, d) = (&io.inputs[0], io.inputs.last().unwrap_or(&io.inputs[0]));
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| x.dims()[i]);
        let Lrn { size, beta, k, .. } = self.0;
        for at in 0..x.data.len() {
            let (plane, i, j) = (at / (height * width), at / width % height, at % width);
            let mut squares = 0.0;
            for u in (0..height).filter(|u| u + size / 2 >= i && *u <= i + (size - 1) / 2) {
                for v in (0..width).filter(|v| v + size / 2 >= j && *v <= j + (size - 1) / 2) {
                    squares += d.data[(plane * height + u) * width + v].powi(2);
                }
            }
            let scale = f64::from(k) + factor(&self.0) * squares;
            io.outputs[0].data[at] = x.data[at] * scale.powf(-f64::from(beta));
            io.outputs[1].data[at] = scale;
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.inputs[0].elements()
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let windows = Windows::new(io.types, self.0.size);
        let (x, d) = (io.inputs[0], io.inputs[io.inputs.len() - 1]);
        let (k, alpha) = (self.0.k, factor(&self.0) as f32);
        let [output, scale] = &mut *io.outputs else { return };
        let plane = windows.plane();
        let outputs = output.par_chunks_mut(plane).zip(scale.par_chunks_mut(plane));
        let inputs = x.par_chunks(plane).zip(d.par_chunks(plane));
        let planes = outputs.zip(inputs).zip(io.scratch.par_chunks_mut(plane));
        let planes = planes.with_min_len(LEAST.div_ceil(plane));
        planes.for_each(|(((output, scale), (x, d)), rows)| {
            scale.iter_mut().zip(d).for_each(|(s, d)| *s = d * d);
            windows.sum(scale, rows);
            scale.iter_mut().for_each(|s| *s = k + alpha * *s);
            let elements = output.iter_mut().zip(x).zip(scale.iter().copied());
            with_power(self.0.beta, elements, |(y, x), power| *y = x * power);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let windows = Windows::new(types, self.0.size);
        let last = Operand::Input(types.inputs.len() - 1);
        let rows = Dispatch::new(shader!("lrn/rows_of_squares.wgsl"));
        let finish =
            Dispatch::new(shader!("lrn/within_channel.wgsl")).constant("BETA", self.0.beta);
        let operands = [
            ("input", Operand::Input(0)),
            ("output", Operand::Output(0)),
            ("scale", Operand::Output(1)),
        ];
        let settings = [factor(&self.0) as f32, self.0.k];
        let rows = (rows, &[("input", last)][..]);
        let finish = (finish, &operands[..]);
        two_stages(self.name(), types, adapter, &windows, settings, rows, finish)
    }
}

impl Op for LrnWithinChannelGrad {
    fn name(&self) -> &'static str {
        "lrn_within_channel_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 4..=5)?;
        self.0.check(self.name(), inputs)?;
        Ok(vec![inputs[0].clone(); inputs.len() - 3])
    }

    fn cost(&self, types: &Types) -> Cost {
        let terms = Windows::new(types, self.0.size).terms() as u64;
        Cost::with_flops(types, (terms + 8) * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        Windows::new(types, self.0.size).terms() + 64
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [x, y, scale, grad] = [0, 1, 2, 3].map(|i| &io.inputs[i].data);
        let d = io.inputs.get(4).map_or(x, |d| &d.data);
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| io.inputs[0].dims()[i]);
        let Lrn { size, beta, .. } = self.0;
        let beta = f64::from(beta);
        for at in 0..x.len() {
            let (plane, i, j) = (at / (height * width), at / width % height, at % width);
            let mut sum = 0.0;
            for u in (0..height).filter(|u| i + size / 2 >= *u && i <= u + (size - 1) / 2) {
                for v in (0..width).filter(|v| j + size / 2 >= *v && j <= v + (size - 1) / 2) {
                    let from = (plane * height + u) * width + v;
                    sum += grad[from] * y[from] / scale[from];
                }
            }
            let direct = grad[at] * scale[at].powf(-beta);
            let through_scale = -2.0 * factor(&self.0) * beta * d[at] * sum;
            match io.inputs.len() {
                5 => {
                    io.outputs[0].data[at] = direct;
                    io.outputs[1].data[at] = through_scale;
                }
                _ => io.outputs[0].data[at] = direct + through_scale,
            }
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.inputs[0].elements()
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let windows = Windows::new(io.types, self.0.size).turned();
        let [x, y, scale, grad] = [0, 1, 2, 3].map(|i| io.inputs[i]);
        let d = io.inputs.get(4).copied().unwrap_or(x);
        let through = (-2.0 * factor(&self.0) * f64::from(self.0.beta)) as f32;
        let beta = self.0.beta;
        if let [grad_input, _] = &mut *io.outputs {
            let parts = grad_input.par_chunks_mut(LEAST).zip(scale.par_chunks(LEAST));
            parts.zip(grad.par_chunks(LEAST)).for_each(|((output, scale), grad)| {
                let elements = output.iter_mut().zip(grad).zip(scale.iter().copied());
                with_power(beta, elements, |(out, g), power| *out = g * power);
            });
        }
        let adds = io.outputs.len() == 1;
        let Some(last) = io.outputs.last_mut() else { return };
        planes(windows.plane(), last, io.scratch, |range, output, rows| {
            let [y, scale, grad, d] = [y, scale, grad, d].map(|tensor| &tensor[range.clone()]);
            let terms = grad.iter().zip(y).zip(scale);
            output.iter_mut().zip(terms).for_each(|(term, ((g, y), s))| *term = g * y / s);
            windows.sum(output, rows);
            output.iter_mut().zip(d).for_each(|(sum, d)| *sum *= through * d);
            if adds {
                let elements = output.iter_mut().zip(grad).zip(scale.iter().copied());
                with_power(beta, elements, |(out, g), power| *out += g * power);
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let windows = Windows::new(types, self.0.size).turned();
        let split = types.outputs.len() == 2;
        let rows = Dispatch::new(shader!("lrn/rows_of_ratios.wgsl"));
        let ratio = [
            ("output", Operand::Input(1)),
            ("scale", Operand::Input(2)),
            ("grad_output", Operand::Input(3)),
        ];
        let finish = match split {
            true => Dispatch::new(shader!("lrn/within_channel_split_grad.wgsl")),
            false => Dispatch::new(shader!("lrn/within_channel_grad.wgsl")),
        };
        let mut operands = vec![
            ("input", Operand::Input(if split { 4 } else { 0 })),
            ("scale", Operand::Input(2)),
            ("grad_output", Operand::Input(3)),
            ("grad_input", Operand::Output(0)),
        ];
        if split {
            operands.push(("grad_deviation", Operand::Output(1)));
        }
        let finish = (finish.constant("BETA", self.0.beta), &operands[..]);
        let settings = [factor(&self.0) as f32, self.0.k];
        let rows = (rows, &ratio[..]);
        two_stages(self.name(), types, adapter, &windows, settings, rows, finish)
    }
}
