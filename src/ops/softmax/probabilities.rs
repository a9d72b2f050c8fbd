//! The softmax itself.

use rayon::prelude::*;

use super::{by_rows, classes, rows_per_job};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// The probabilities of the classes: `p[n, c] = exp(x[n, c]) / sum over j of exp(x[n, j])`, for
/// inference. Input and output: `[batch, classes]`.
///
/// The largest logit of a row is subtracted first, so no logit is too large. It has no gradient:
/// training differentiates [`SoftmaxCrossEntropy`](super::SoftmaxCrossEntropy).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Softmax;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) rows: u32,
    pub(super) classes: u32,
    pub(super) first_row: u32,
    /// The loss of a sample whose label is no class.
    pub(super) invalid: f32,
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        classes(self.name(), inputs, None)?;
        Ok(inputs.to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 5 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        // WGSL allows exp(x) to be off by 3 + 2 |x| units in the last place.
        types.input(0)[1] + 256
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let classes = io.inputs[0].dims()[1];
        let rows = io.inputs[0].data.chunks(classes).zip(io.outputs[0].data.chunks_mut(classes));
        for (logits, probabilities) in rows {
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
            for (p, x) in probabilities.iter_mut().zip(logits) {
                *p = (x - max).exp() / sum;
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let classes = io.types.input(0)[1];
        io.outputs[0]
            .par_chunks_mut(classes)
            .zip(io.inputs[0].par_chunks(classes))
            .with_min_len(rows_per_job(classes))
            .for_each(|(probabilities, logits)| {
                row(logits, probabilities);
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let [batch, classes] = [types.input(0)[0], types.input(0)[1]];
        let rows = |chunk: std::ops::Range<usize>| {
            let range = scaled(&chunk, classes);
            Dispatch::new(crate::kernel::shader!("softmax/softmax.wgsl"))
                .bind_range("logits", Operand::Input(0), range.clone())
                // Something must be bound; neither labels nor losses are touched.
                .bind_range("labels", Operand::Input(0), range.clone())
                .bind("losses", Operand::Workspace(0))
                .bind_range("probabilities", Operand::Output(0), range)
                .constant("LOSS", false)
                .params(&Params {
                    rows: chunk.len() as u32,
                    classes: classes as u32,
                    first_row: chunk.start as u32,
                    invalid: 0.0,
                })
        };
        by_rows(self.name(), adapter, [batch, classes], rows, || None)
    }
}

/// The softmax of a row; returns the largest logit and the logarithm of the sum of `exp(x - max)`.
pub(super) fn row(logits: &[f32], probabilities: &mut [f32]) -> (f32, f32) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, x) in probabilities.iter_mut().zip(logits) {
        *p = (x - max).exp();
        sum += f64::from(*p);
    }
    let factor = (1.0 / sum) as f32;
    probabilities.iter_mut().for_each(|p| *p *= factor);
    (max, sum.ln() as f32)
}
