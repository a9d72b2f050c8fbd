//! The loss of classification.

use std::ops::Range;

use rayon::prelude::*;

use super::probabilities::{Params, row};
use super::{by_rows, classes, rows_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::reduce::parts::total;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Op, Types, as_u32, expect_f32, expect_inputs,
};
use crate::tensor::TensorType;

/// The mean over a batch of `-log p[n, labels[n]]`, where `p` is the softmax of the logits.
///
/// Inputs: `logits` `[batch, classes]`, `labels` `u32` `[batch]`. Outputs: `loss` `[1]` in nats,
/// and the probabilities `[batch, classes]`, through which no gradient flows.
///
/// Computed as `log(sum exp(x - max)) - (x[label] - max)`: no logit is too large. A label that is
/// no class makes the loss NaN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoftmaxCrossEntropy;

/// The gradient of [`SoftmaxCrossEntropy`], `(p - onehot(labels)) * grad_loss / batch`, over the
/// probabilities in place. Inputs: `probabilities`, `labels`, `grad_loss` `[1]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoftmaxCrossEntropyGrad;

impl Op for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), &inputs[..1])?;
        classes(self.name(), inputs, Some(&inputs[1]))?;
        Ok(vec![TensorType::f32([1]), inputs[0].clone()])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 5 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        // WGSL allows exp(x) to be off by 3 + 2 |x| units in the last place.
        types.input(0)[0] + types.input(0)[1] + 256
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        if g.grad_output(1).is_ok() {
            return Err(Error::Usage(
                "softmax_cross_entropy passes no gradient through its probabilities".into(),
            ));
        }
        let inputs = [g.output(1), g.input(1), g.grad_output(0)?];
        g.emit_grad(0, SoftmaxCrossEntropyGrad, &inputs)
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [batch, classes] = [io.inputs[0].dims()[0], io.inputs[0].dims()[1]];
        for n in 0..batch {
            let logits = &io.inputs[0].data[n * classes..(n + 1) * classes];
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
            for (c, x) in logits.iter().enumerate() {
                io.outputs[1].data[n * classes + c] = (x - max - log_sum).exp();
            }
            let label = logits.get(io.inputs[1].data[n] as usize);
            let loss = label.map_or(f64::NAN, |x| log_sum + max - x);
            io.outputs[0].data[0] += loss / batch as f64;
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.input(0)[0]
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [batch, classes] = [io.types.input(0)[0], io.types.input(0)[1]];
        let [loss, probabilities] = &mut *io.outputs else { return };
        let losses = &mut io.scratch[..batch];
        losses
            .par_iter_mut()
            .zip(probabilities.par_chunks_mut(classes))
            .zip(io.inputs[0].par_chunks(classes))
            .zip(as_u32(io.inputs[1]))
            .with_min_len(rows_per_job(classes))
            .for_each(|(((loss, probabilities), logits), &label)| {
                let (max, log_sum) = row(logits, probabilities);
                *loss = logits.get(label as usize).map_or(f32::NAN, |x| log_sum - (x - max));
            });
        let sum: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
        loss[0] = (sum / batch as f64) as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let [batch, classes] = [types.input(0)[0], types.input(0)[1]];
        let rows = |chunk: Range<usize>| {
            let range = scaled(&chunk, classes);
            Dispatch::new(crate::kernel::shader!("softmax/softmax.wgsl"))
                .bind_range("logits", Operand::Input(0), range.clone())
                .bind("labels", Operand::Input(1))
                .bind("losses", Operand::Workspace(0))
                .bind_range("probabilities", Operand::Output(1), range)
                .constant("LOSS", true)
                .params(&Params {
                    rows: chunk.len() as u32,
                    classes: classes as u32,
                    inner: 1,
                    first_row: chunk.start as u32,
                    invalid: f32::NAN,
                })
        };
        let mean = || Some(total(0, batch, 1.0 / batch as f32, false));
        by_rows(self.name(), adapter, [batch, classes, 1], rows, mean)
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct GradParams {
    vectors: u32,
    classes: u32,
    first_row: u32,
    first_class: u32,
    batch: u32,
    factor: f32,
}

impl Op for SoftmaxCrossEntropyGrad {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 3..=3)?;
        expect_f32(self.name(), &inputs[..1])?;
        expect_f32(self.name(), &inputs[2..])?;
        classes(self.name(), inputs, Some(&inputs[1]))?;
        if inputs[2].dims() != [1] {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "grad_loss must have shape [1]"));
        }
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        3
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [batch, classes] = [io.inputs[0].dims()[0], io.inputs[0].dims()[1]];
        for n in 0..batch {
            for c in 0..classes {
                let target = if io.inputs[1].data[n] as usize == c { 1.0 } else { 0.0 };
                let p = io.inputs[0].data[n * classes + c];
                io.outputs[0].data[n * classes + c] =
                    (p - target) * io.inputs[2].data[0] / batch as f64;
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [batch, classes] = [io.types.input(0)[0], io.types.input(0)[1]];
        let factor = io.inputs[2][0] / batch as f32;
        io.outputs[0]
            .par_chunks_mut(classes)
            .zip(as_u32(io.inputs[1]))
            .with_min_len(4 * rows_per_job(classes))
            .for_each(|(row, &label)| {
                if let Some(p) = row.get_mut(label as usize) {
                    *p -= 1.0;
                }
                row.iter_mut().for_each(|p| *p *= factor);
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let [batch, classes] = [types.input(0)[0], types.input(0)[1]];
        let dispatches = adapter.chunks(batch * classes).into_iter().map(|range| {
            let vectors = range.len().div_ceil(4);
            Dispatch::new(crate::kernel::shader!("softmax/cross_entropy_grad.wgsl"))
                .bind_range("data", Operand::Output(0), range.clone())
                .bind("labels", Operand::Input(1))
                .bind("grad_loss", Operand::Input(2))
                .params(&GradParams {
                    vectors: vectors as u32,
                    classes: classes as u32,
                    first_row: (range.start / classes) as u32,
                    first_class: (range.start % classes) as u32,
                    batch: batch as u32,
                    factor: 1.0 / batch as f32,
                })
                .threads(vectors)
        });
        Ok(vec![Variant::new("vec4", dispatches.collect())])
    }
}
