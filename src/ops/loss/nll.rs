//! The loss of classes, from the logarithms of their probabilities.

use rayon::prelude::*;

use super::{NllLossGrad, Reduction};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Op, Types, as_u32, expect_f32, expect_inputs,
};
use crate::tensor::{DType, TensorType};

/// The negative log-likelihood of targets, as PyTorch's `nll_loss`; over
/// the logarithm of [`Softmax`](crate::ops::softmax::Softmax) it is the cross-entropy.
///
/// Inputs: `log_probabilities` `[batch, classes, ...]`; `target`, labels `u32` `[batch, ...]`, or
/// probabilities of the first input's shape; and, optionally, a `weight` for each class, `[classes]`,
/// which is a constant. Outputs: the loss, `[1]` or `[batch, ...]`, and the number by which a mean is
/// divided, `[1]`.
///
/// The loss of a row is `-sum over c of weight[c] t[c] x[c]`, where `t` is 1 at the label (with weight
/// `weight[label]`) or the given probability, times `1 - label_smoothing`, plus `label_smoothing /
/// classes`. Rows whose label is `ignore_index` do not count. A mean of labels is divided by the sum of
/// the weights of those that count, one of probabilities by the number of rows. A label that is no
/// class makes the loss NaN, and its gradient 0.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NllLoss {
    /// The label that does not count.
    pub ignore_index: u32,
    /// The share of a target that is spread over all classes; from 0 to 1.
    pub label_smoothing: f64,
    /// What becomes of the losses of the rows.
    pub reduction: Reduction,
}

impl Default for NllLoss {
    fn default() -> Self {
        // PyTorch's -100, in two's complement.
        let ignore_index = 100u32.wrapping_neg();
        NllLoss { ignore_index, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

/// `[batch, classes, inner]` of a tensor of at least two axes.
pub(super) fn extents(dims: &[usize]) -> [usize; 3] {
    [dims[0], dims[1], dims[2..].iter().product()]
}

impl NllLoss {
    /// The factor of the target, and what is added to it in each class.
    pub(super) fn smoothing(&self, classes: usize) -> (f64, f64) {
        (1.0 - self.label_smoothing, self.label_smoothing / classes as f64)
    }

    /// Loss and weight of row `i` of a sample, given by closures that read x[c], t[c] and weight[c].
    fn row(
        &self,
        classes: usize,
        label: Option<u32>,
        x: impl Fn(usize) -> f32,
        t: impl Fn(usize) -> f32,
        weight: impl Fn(usize) -> f32,
    ) -> (f32, f32) {
        let (keep, spread) = self.smoothing(classes);
        let (keep, spread) = (keep as f32, spread as f32);
        let sum = |f: &dyn Fn(usize) -> f32| -> f64 { (0..classes).map(|c| f64::from(f(c))).sum() };
        let Some(label) = label else {
            let loss = sum(&|c| -weight(c) * (keep * t(c) + spread) * x(c));
            return (loss as f32, 1.0);
        };
        if label == self.ignore_index {
            return (0.0, 0.0);
        }
        let label = label as usize;
        if label >= classes {
            return (f32::NAN, 0.0);
        }
        let mut loss = -keep * weight(label) * x(label);
        if spread != 0.0 {
            loss += sum(&|c| -weight(c) * spread * x(c)) as f32;
        }
        (loss, weight(label))
    }
}

impl Op for NllLoss {
    fn name(&self) -> &'static str {
        "nll_loss"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=3)?;
        expect_f32(self.name(), &inputs[..1])?;
        expect_f32(self.name(), &inputs[2..])?;
        let refuse =
            |problem: String| Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem);
        let dims = inputs[0].dims();
        if dims.len() < 2 {
            return Err(refuse("the first input must be [batch, classes, ...]".into()));
        }
        let mut rows = dims.to_vec();
        rows.remove(1);
        let is_labels = inputs[1] == TensorType::u32(rows.clone());
        if !is_labels && inputs[1] != inputs[0] {
            return Err(refuse(format!(
                "the target must be labels {} or probabilities {}, is {}",
                TensorType::u32(rows),
                inputs[0],
                inputs[1]
            )));
        }
        if let Some(weight) = inputs.get(2).filter(|w| w.dims() != [dims[1]]) {
            return Err(refuse(format!("the weight must be f32[{}], is {weight}", dims[1])));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let remedy = "give a number from 0 to 1";
            return Err(Error::setting("label_smoothing", self.label_smoothing, remedy));
        }
        let loss = match self.reduction {
            Reduction::None => TensorType::f32(rows),
            _ => TensorType::f32([1]),
        };
        Ok(vec![loss, TensorType::f32([1])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 3 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        types.inputs[0].elements() + 16
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        if g.grad_output(1).is_ok() {
            let problem = "nll_loss passes no gradient through the divisor of its mean";
            return Err(Error::Usage(problem.into()));
        }
        let classes = g.ty(g.input(0)).dims()[1];
        let has_probabilities = g.ty(g.input(1)).dtype == DType::F32;
        let op = |of_target| NllLossGrad { loss: *self, classes, of_target };
        let mut inputs = vec![g.input(1), g.grad_output(0)?, g.output(1)];
        if g.inputs() == 3 {
            inputs.push(g.input(2));
            g.set_constant(2);
        }
        if g.wants(0) {
            g.emit_grad(0, op(false), &inputs)?;
        }
        if has_probabilities && g.wants(1) {
            inputs[0] = g.input(0);
            g.emit_grad(1, op(true), &inputs)?;
        }
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, target) = (&io.inputs[0], &io.inputs[1]);
        let [batch, classes, inner] = extents(x.dims());
        let weight = |c: usize| io.inputs.get(2).map_or(1.0, |w| w.data[c]);
        let has_probabilities = target.shape == x.shape;
        let (mut sum, mut total) = (0.0, 0.0);
        for n in 0..batch {
            for i in 0..inner {
                let at = |c: usize| (n * classes + c) * inner + i;
                let label = if has_probabilities { 0.0 } else { target.data[n * inner + i] };
                let (mut loss, mut counts) = (0.0, 0.0);
                if has_probabilities {
                    counts = 1.0;
                    for c in 0..classes {
                        let smooth = (1.0 - self.label_smoothing) * target.data[at(c)]
                            + self.label_smoothing / classes as f64;
                        loss -= weight(c) * smooth * x.data[at(c)];
                    }
                } else if label as u32 != self.ignore_index {
                    let label = label as usize;
                    if label < classes {
                        counts = weight(label);
                        loss -= (1.0 - self.label_smoothing) * weight(label) * x.data[at(label)];
                        for c in 0..classes {
                            let spread = self.label_smoothing / classes as f64;
                            loss -= spread * weight(c) * x.data[at(c)];
                        }
                    } else {
                        loss = f64::NAN;
                    }
                }
                sum += loss;
                total += counts;
                if self.reduction == Reduction::None {
                    io.outputs[0].data[n * inner + i] = loss;
                }
            }
        }
        match self.reduction {
            Reduction::Mean => io.outputs[0].data[0] = sum / total,
            Reduction::Sum => io.outputs[0].data[0] = sum,
            Reduction::None => {}
        }
        io.outputs[1].data[0] = total;
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        let [batch, _, inner] = extents(types.input(0));
        2 * batch * inner
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [batch, classes, inner] = extents(io.types.input(0));
        let (x, target) = (io.inputs[0], io.inputs[1]);
        let has_probabilities = io.types.inputs[1].dtype == DType::F32;
        let weights = io.inputs.get(2);
        let weight = |c: usize| weights.map_or(1.0, |w| w[c]);
        let (losses, counts) = io.scratch[..2 * batch * inner].split_at_mut(batch * inner);
        let rows = losses.par_iter_mut().zip(counts.par_iter_mut()).enumerate();
        rows.with_min_len((4096 / classes).max(16)).for_each(|(row, (loss, count))| {
            let (n, i) = (row / inner, row % inner);
            let at = |c: usize| (n * classes + c) * inner + i;
            let label = (!has_probabilities).then(|| as_u32(target)[row]);
            (*loss, *count) = self.row(classes, label, |c| x[at(c)], |c| target[at(c)], weight);
        });
        let sum = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>();
        let total = sum(counts);
        match self.reduction {
            Reduction::Mean => io.outputs[0][0] = (sum(losses) / total) as f32,
            Reduction::Sum => io.outputs[0][0] = sum(losses) as f32,
            Reduction::None => io.outputs[0].copy_from_slice(losses),
        }
        io.outputs[1][0] = total as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        const WIDTH: usize = 64;
        let [batch, classes, inner] = extents(types.input(0));
        let (keep, spread) = self.smoothing(classes);
        let has_probabilities = types.inputs[1].dtype == DType::F32;
        let is_weighted = types.inputs.len() == 3;
        let is_reduced = self.reduction != Reduction::None;
        let target_items = if has_probabilities { classes * inner } else { inner };
        let chunks = adapter.chunk_items(self.name(), batch, &[classes * inner, inner])?;
        let mut dispatches = vec![];
        let mut groups = 0;
        for chunk in chunks {
            let rows = chunk.len() * inner;
            let here = rows.div_ceil(WIDTH);
            let mut dispatch = Dispatch::new(crate::kernel::shader!("loss/nll.wgsl"))
                .constant("PROBABILITIES", has_probabilities)
                .constant("WEIGHTED", is_weighted)
                .constant("SMOOTH", self.label_smoothing != 0.0)
                .constant("REDUCED", is_reduced)
                .constant("WIDTH", WIDTH as u32)
                .bind_range("x", Operand::Input(0), scaled(&chunk, classes * inner))
                .bind_range("labels", Operand::Input(1), scaled(&chunk, target_items))
                .bind("sums", Operand::Workspace(0))
                .params(&Params {
                    rows: rows as u32,
                    classes: classes as u32,
                    inner: inner as u32,
                    ignore_index: self.ignore_index,
                    keep: keep as f32,
                    spread: spread as f32,
                    invalid: f32::NAN,
                    first_group: groups as u32,
                })
                .groups(here);
            dispatch = match is_weighted {
                true => dispatch.bind("weight", Operand::Input(2)),
                // Something must be bound; it is not read.
                false => dispatch.bind_range(
                    "weight",
                    Operand::Input(0),
                    scaled(&chunk, classes * inner),
                ),
            };
            dispatch = match is_reduced {
                true => dispatch.bind("losses", Operand::Workspace(1)),
                false => dispatch.bind_range("losses", Operand::Output(0), scaled(&chunk, inner)),
            };
            dispatches.push(dispatch);
            groups += here;
        }
        let mut total = Dispatch::new(crate::kernel::shader!("loss/nll_total.wgsl"))
            .constant("MEAN", self.reduction == Reduction::Mean)
            .bind("sums", Operand::Workspace(0))
            .bind("total_weight", Operand::Output(1))
            .params(&(groups as u32));
        total = match is_reduced {
            true => total.bind("loss", Operand::Output(0)),
            false => total.bind("loss", Operand::Workspace(1)),
        };
        dispatches.push(total);
        let workspace = vec![TensorType::f32([2 * groups]), TensorType::f32([4])];
        Ok(vec![Variant { name: "rows", dispatches, workspace }])
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    classes: u32,
    inner: u32,
    ignore_index: u32,
    keep: f32,
    spread: f32,
    invalid: f32,
    first_group: u32,
}
