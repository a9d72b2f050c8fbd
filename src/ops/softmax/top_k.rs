//! Accuracy.

use std::ops::Range;

use rayon::prelude::*;

use super::{by_rows, classes, rows_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::reduce::parts::total;
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, as_u32, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// The number of samples whose label is among the `k` largest logits.
///
/// Inputs: `logits` `[batch, classes]`, `labels` `u32` `[batch]`. Output: the count, `f32` `[1]`.
///
/// A label's rank is the number of classes with a larger logit, or an equal one at a lower index;
/// the sample counts where that is less than `k`. A label that is no class does not count, nor does
/// one whose logit is NaN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopK {
    /// How many classes are looked at; at least 1. With as many as there are, every sample counts.
    pub k: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    classes: u32,
    first_row: u32,
    k: u32,
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), &inputs[..1])?;
        classes(self.name(), inputs, Some(&inputs[1]))?;
        if self.k == 0 {
            return Err(Error::setting("top_k k", self.k, "give at least 1"));
        }
        Ok(vec![TensorType::f32([1])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let classes = io.inputs[0].dims()[1];
        for (logits, &label) in io.inputs[0].data.chunks(classes).zip(&io.inputs[1].data) {
            let label = label as usize;
            let mut order: Vec<usize> = (0..classes).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            if order[..self.k.min(classes)].contains(&label) {
                io.outputs[0].data[0] += 1.0;
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let classes = io.types.input(0)[1];
        let correct = io.inputs[0]
            .par_chunks(classes)
            .zip(as_u32(io.inputs[1]))
            .with_min_len(4 * rows_per_job(classes))
            .filter(|&(logits, &label)| self.holds(logits, label as usize))
            .count();
        io.outputs[0][0] = correct as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let [batch, classes] = [types.input(0)[0], types.input(0)[1]];
        let rows = |chunk: Range<usize>| {
            Dispatch::new(crate::kernel::shader!("softmax/top_k.wgsl"))
                .bind_range("logits", Operand::Input(0), scaled(&chunk, classes))
                .bind("labels", Operand::Input(1))
                .bind("hits", Operand::Workspace(0))
                .params(&Params {
                    rows: chunk.len() as u32,
                    classes: classes as u32,
                    first_row: chunk.start as u32,
                    k: u32::try_from(self.k).unwrap_or(u32::MAX),
                })
        };
        by_rows(self.name(), adapter, [batch, classes, 1], rows, || {
            Some(total(0, batch, 1.0, false))
        })
    }
}

impl TopK {
    /// Whether the label is among the largest of its sample's logits.
    pub(super) fn holds(&self, logits: &[f32], label: usize) -> bool {
        let Some(&own) = logits.get(label) else { return false };
        // A comparison with NaN is false: what is not known to be behind is ahead.
        let behind_below = logits[..label].iter().filter(|&&x| x < own).count();
        let behind_above = logits[label + 1..].iter().filter(|&&x| x <= own).count();
        logits.len() - 1 - behind_below - behind_above < self.k && !own.is_nan()
    }
}
