//! The gradient of the loss of classes.

use rayon::prelude::*;

use super::nll::extents;
use super::{NllLoss, Reduction};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, as_u32, expect_f32, expect_inputs};
use crate::tensor::{DType, TensorType};

/// The gradient of [`NllLoss`] with respect to the logarithms or, where `of_target`, to the
/// probabilities that are its target.
///
/// Inputs: the target (the logarithms where `of_target`), `grad_loss`, the divisor of a mean `[1]`,
/// and the `weight` of the classes where the loss has it. Output: `[batch, classes, ...]`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NllLossGrad {
    /// The loss.
    pub loss: NllLoss,
    /// The number of classes.
    pub classes: usize,
    /// Whether the gradient is that of the target.
    pub of_target: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    classes: u32,
    inner: u32,
    ignore_index: u32,
    keep: f32,
    spread: f32,
}

impl NllLossGrad {
    /// The output's extents `[batch, classes, inner]`.
    fn extents(&self, types: &Types) -> [usize; 3] {
        extents(types.output(0))
    }

    fn smoothing(&self) -> (f64, f64) {
        let (keep, spread) = self.loss.smoothing(self.classes);
        (keep, if self.of_target { 0.0 } else { spread })
    }
}

impl Op for NllLossGrad {
    fn name(&self) -> &'static str {
        "nll_loss_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 3..=4)?;
        expect_f32(self.name(), &inputs[1..])?;
        let refuse =
            |problem: String| Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem);
        let mut dims = inputs[0].dims().to_vec();
        if dims.is_empty() || inputs[0].dtype == DType::F32 && dims.len() < 2 {
            return Err(refuse("the target must be [batch, ...] or [batch, classes, ...]".into()));
        }
        let mut rows = dims.clone();
        match inputs[0].dtype {
            DType::U32 if self.of_target => {
                return Err(refuse("labels have no gradient".into()));
            }
            DType::U32 => dims.insert(1, self.classes),
            DType::F32 | DType::F16 => {
                rows.remove(1);
            }
        }
        if dims[1] != self.classes || self.classes == 0 {
            return Err(refuse(format!("there are {} classes", self.classes)));
        }
        let grad = if self.loss.reduction == Reduction::None { rows } else { vec![1] };
        if inputs[1].dims() != grad || inputs[2].dims() != [1] {
            let grad = TensorType::f32(grad);
            return Err(refuse(format!("grad_loss must be {grad} and the divisor f32[1]")));
        }
        if let Some(weight) = inputs.get(3).filter(|w| w.dims() != [self.classes]) {
            return Err(refuse(format!("the weight must be f32[{}], is {weight}", self.classes)));
        }
        Ok(vec![TensorType::f32(dims)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 3 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        16
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [_, classes, inner] = extents(io.outputs[0].dims());
        let values = &io.inputs[0];
        let has_labels = values.shape != io.outputs[0].shape;
        let smoothing = self.loss.label_smoothing;
        for e in 0..io.outputs[0].data.len() {
            let (n, c, i) = (e / inner / classes, e / inner % classes, e % inner);
            let row = n * inner + i;
            let weight = |c: usize| io.inputs.get(3).map_or(1.0, |w| w.data[c]);
            let grad = match self.loss.reduction {
                Reduction::None => io.inputs[1].data[row],
                Reduction::Sum => io.inputs[1].data[0],
                Reduction::Mean => io.inputs[1].data[0] / io.inputs[2].data[0],
            };
            let mut slope = 0.0;
            if self.of_target {
                slope = weight(c) * (1.0 - smoothing) * values.data[e];
            } else if !has_labels {
                slope =
                    weight(c) * ((1.0 - smoothing) * values.data[e] + smoothing / classes as f64);
            } else {
                let label = values.data[row];
                if label as u32 != self.loss.ignore_index && (label as usize) < classes {
                    slope = weight(c) * smoothing / classes as f64;
                    if label as usize == c {
                        slope += weight(c) * (1.0 - smoothing);
                    }
                }
            }
            io.outputs[0].data[e] = -slope * grad;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [_, classes, inner] = self.extents(io.types);
        let (values, grads) = (io.inputs[0], io.inputs[1]);
        let has_labels = io.types.inputs[0].dtype == DType::U32;
        let (keep, spread) = self.smoothing();
        let (keep, spread) = (keep as f32, spread as f32);
        let weights = io.inputs.get(3);
        let common = match self.loss.reduction {
            Reduction::Mean => grads[0] / io.inputs[2][0],
            _ => grads[0],
        };
        let samples = io.outputs[0].par_chunks_mut(classes * inner).enumerate();
        let per_job = (4096 / (classes * inner)).max(1);
        samples.with_min_len(per_job).for_each(|(n, sample)| {
            for (c, plane) in sample.chunks_mut(inner).enumerate() {
                let weight = weights.map_or(1.0, |w| w[c]);
                for (i, slope) in plane.iter_mut().enumerate() {
                    let grad = match self.loss.reduction {
                        Reduction::None => grads[n * inner + i],
                        _ => common,
                    };
                    let target = if has_labels {
                        let label = as_u32(values)[n * inner + i];
                        let counts = label != self.loss.ignore_index && (label as usize) < classes;
                        let is_own = label as usize == c;
                        if counts { keep * f32::from(u8::from(is_own)) + spread } else { 0.0 }
                    } else {
                        keep * values[(n * classes + c) * inner + i] + spread
                    };
                    *slope = -weight * target * grad;
                }
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let [batch, classes, inner] = self.extents(types);
        let (keep, spread) = self.smoothing();
        let has_labels = types.inputs[0].dtype == DType::U32;
        let is_weighted = types.inputs.len() == 4;
        let is_reduced = self.loss.reduction != Reduction::None;
        let items = if has_labels { inner } else { classes * inner };
        let chunks = adapter.chunk_items(self.name(), batch, &[classes * inner, inner])?;
        let dispatches = chunks.into_iter().map(|chunk| {
            let count = chunk.len() * classes * inner;
            let dispatch = Dispatch::new(crate::kernel::shader!("loss/nll_grad.wgsl"))
                .constant("LABELS", has_labels)
                .constant("WEIGHTED", is_weighted)
                .constant("REDUCED", is_reduced)
                .constant("MEAN", self.loss.reduction == Reduction::Mean)
                .bind_range("target_values", Operand::Input(0), scaled(&chunk, items))
                .bind("total_weight", Operand::Input(2))
                .bind_range("grad_x", Operand::Output(0), scaled(&chunk, classes * inner))
                // Where there is no weight something else is bound and not read.
                .bind("weight", Operand::Input(if is_weighted { 3 } else { 2 }))
                .params(&Params {
                    count: count as u32,
                    classes: classes as u32,
                    inner: inner as u32,
                    ignore_index: self.loss.ignore_index,
                    keep: keep as f32,
                    spread: spread as f32,
                })
                .threads(count);
            match is_reduced {
                true => dispatch.bind("grad_loss", Operand::Input(1)),
                false => dispatch.bind_range("grad_loss", Operand::Input(1), scaled(&chunk, inner)),
            }
        });
        Ok(vec![Variant::new("elements", dispatches.collect())])
    }
}
