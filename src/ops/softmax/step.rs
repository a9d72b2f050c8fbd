//! All that a training step wants of its logits.

use std::ops::Range;

use rayon::prelude::*;

use super::probabilities::row;
use super::top_k::TopK;
use super::{WIDTH, classes, lanes, one_a_row, rows_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, as_u32, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// [`SoftmaxCrossEntropy`](super::SoftmaxCrossEntropy), its gradient and [`TopK`] in one pass over the
/// logits. Where one of them is wanted alone there are those.
///
/// Inputs: `logits` `[batch, classes]`, `labels` `u32` `[batch]`. Outputs: `loss` `[1]` in nats, the
/// mean over the batch; `hits` `[1]`, the number of samples whose label is among the `k` largest
/// logits; `grad_logits` `[batch, classes]`, the gradient of `weight` times the loss. Being a
/// gradient, it has none.
///
/// A label that is no class makes the loss NaN and is no hit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SoftmaxCrossEntropyStep {
    /// The share of this loss in what is minimised.
    pub weight: f32,
    /// How many classes are looked at for a hit; at least 1.
    pub k: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    classes: u32,
    first_row: u32,
    batch: u32,
    k: u32,
    share: f32,
    factor: f32,
    invalid: f32,
}

/// A workgroup on its own takes less time for so many logits than another dispatch does.
const FEW_LOGITS: usize = 4096;

impl SoftmaxCrossEntropyStep {
    /// The rows of a chunk, the totals of all, or with a single workgroup both.
    fn dispatch(
        &self,
        [batch, classes]: [usize; 2],
        chunk: &Range<usize>,
        [rows, totals]: [bool; 2],
        lanes: usize,
    ) -> Dispatch {
        let range = scaled(chunk, classes);
        let groups = if totals { 1 } else { chunk.len().div_ceil(WIDTH / lanes) };
        let share = 1.0 / batch as f32;
        Dispatch::new(crate::kernel::shader!("softmax/cross_entropy_step.wgsl"))
            .bind_range("logits", Operand::Input(0), range.clone())
            .bind("labels", Operand::Input(1))
            .bind("losses", Operand::Workspace(0))
            .bind("hits", Operand::Workspace(1))
            .bind("loss", Operand::Output(0))
            .bind("hit_count", Operand::Output(1))
            .bind_range("grad_logits", Operand::Output(2), range)
            .constant("LANES", lanes as u32)
            .constant("WIDTH", WIDTH as u32)
            .constant("ROWS", rows)
            .constant("TOTALS", totals)
            .params(&Params {
                rows: chunk.len() as u32,
                classes: classes as u32,
                first_row: chunk.start as u32,
                batch: batch as u32,
                k: u32::try_from(self.k).unwrap_or(u32::MAX),
                share,
                factor: self.weight * share,
                invalid: f32::NAN,
            })
            .groups(groups)
    }
}

impl Op for SoftmaxCrossEntropyStep {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_step"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), &inputs[..1])?;
        classes(self.name(), inputs, Some(&inputs[1]))?;
        if self.k == 0 {
            return Err(Error::setting("softmax_cross_entropy_step k", 0, "give at least 1"));
        }
        Ok(vec![TensorType::f32([1]), TensorType::f32([1]), inputs[0].clone()])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 8 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        // WGSL allows exp(x) to be off by 3 + 2 |x| units in the last place.
        types.input(0)[0] + types.input(0)[1] + 256
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [batch, classes] = [io.inputs[0].dims()[0], io.inputs[0].dims()[1]];
        for n in 0..batch {
            let logits = &io.inputs[0].data[n * classes..(n + 1) * classes];
            let label = io.inputs[1].data[n] as usize;
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
            let loss = logits.get(label).map_or(f64::NAN, |x| log_sum - x);
            io.outputs[0].data[0] += loss / batch as f64;
            let mut order: Vec<usize> = (0..classes).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            if order.iter().take(self.k).any(|&c| c == label) {
                io.outputs[1].data[0] += 1.0;
            }
            for (c, x) in logits.iter().enumerate() {
                let target = if c == label { 1.0 } else { 0.0 };
                let grad = ((x - log_sum).exp() - target) * f64::from(self.weight) / batch as f64;
                io.outputs[2].data[n * classes + c] = grad;
            }
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        2 * types.input(0)[0]
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [batch, classes] = [io.types.input(0)[0], io.types.input(0)[1]];
        let [loss, hit_count, grad_logits] = &mut *io.outputs else { return };
        let factor = self.weight / batch as f32;
        let top = TopK { k: self.k };
        let (losses, hits) = io.scratch[..2 * batch].split_at_mut(batch);
        losses
            .par_iter_mut()
            .zip(&mut *hits)
            .zip(grad_logits.par_chunks_mut(classes))
            .zip(io.inputs[0].par_chunks(classes))
            .zip(as_u32(io.inputs[1]))
            .with_min_len(rows_per_job(classes))
            .for_each(|((((loss, hit), grad), logits), &label)| {
                let label = label as usize;
                let (max, log_sum) = row(logits, grad);
                *loss = logits.get(label).map_or(f32::NAN, |x| log_sum - (x - max));
                *hit = if top.holds(logits, label) { 1.0 } else { 0.0 };
                if let Some(p) = grad.get_mut(label) {
                    *p -= 1.0;
                }
                grad.iter_mut().for_each(|p| *p *= factor);
            });
        let sum = |terms: &[f32]| terms.iter().map(|&term| f64::from(term)).sum::<f64>();
        loss[0] = (sum(losses) / batch as f64) as f32;
        hit_count[0] = sum(hits) as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let [batch, classes] = [types.input(0)[0], types.input(0)[1]];
        let chunks = adapter.chunk_items(self.name(), batch, &[classes])?;
        one_a_row(self.name(), adapter, batch)?;
        let dispatch = |chunk, does, lanes| self.dispatch([batch, classes], chunk, does, lanes);
        let variant = |name, dispatches| {
            let workspace = vec![TensorType::f32([batch]); 2];
            Variant { name, dispatches, workspace }
        };
        let mut forms = vec![("lane", "alone_lane", 1)];
        let lanes = lanes(classes);
        if lanes > 1 {
            let at = usize::from(adapter.is_software());
            forms.insert(at, ("lanes", "alone_lanes", lanes));
        }
        let many = forms.iter().map(|&(name, _, lanes)| {
            let rows = chunks.iter().map(|chunk| dispatch(chunk, [true, false], lanes));
            let totals = dispatch(&chunks[0], [false, true], 1);
            variant(name, rows.chain(std::iter::once(totals)).collect())
        });
        let alone = forms.iter().filter(|_| chunks.len() == 1).map(|&(_, name, lanes)| {
            variant(name, vec![dispatch(&chunks[0], [true, true], lanes)])
        });
        Ok(match batch * classes > FEW_LOGITS {
            true => many.chain(alone).collect(),
            false => alone.chain(many).collect(),
        })
    }
}
