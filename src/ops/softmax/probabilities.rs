//! The softmax itself, and its logarithm.

use std::ops::Range;

use rayon::prelude::*;

use super::{by_rows, extents, rows_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// The probabilities of the classes: `p[n, c, ...] = exp(x[n, c, ...]) / sum over j of exp(x[n, j,
/// ...])`, or their logarithm, which stays exact where the probability is 0 in single precision. Input and
/// output: `[batch, classes, ...]`.
///
/// The largest logit of a row is subtracted first, so no logit is too large.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Softmax {
    /// Whether the output is the logarithm.
    pub log: bool,
}

/// The gradient of [`Softmax`], over `grad_output` in place: `y (g - sum of g y)`, or with `log` `g -
/// exp(y) sum of g`. Inputs: `grad_output` and the output.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SoftmaxGrad {
    /// Whether the output is the logarithm.
    pub log: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    pub(super) rows: u32,
    pub(super) classes: u32,
    pub(super) inner: u32,
    pub(super) first_row: u32,
    /// The loss of a sample whose label is no class.
    pub(super) invalid: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct GradParams {
    rows: u32,
    classes: u32,
    inner: u32,
}

/// `[batch, classes, inner]` of a type that [`extents`] has accepted.
fn dims(types: &Types) -> [usize; 3] {
    let dims = types.input(0);
    [dims[0], dims[1], dims[2..].iter().product()]
}

fn infer(op: &'static str, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    expect_inputs(op, inputs, 1..=1)?;
    expect_f32(op, inputs)?;
    extents(op, &inputs[0])?;
    Ok(inputs.to_vec())
}

fn infer_grad(op: &'static str, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    expect_inputs(op, inputs, 2..=2)?;
    expect_f32(op, inputs)?;
    extents(op, &inputs[0])?;
    if inputs[0] != inputs[1] {
        let shapes = inputs.iter().map(|t| &t.shape);
        return Err(Error::shape(op, shapes, "both must have the same shape"));
    }
    Ok(inputs[..1].to_vec())
}

// WGSL allows exp(x) to be off by 3 + 2 |x| units in the last place.
fn reduction(types: &Types) -> usize {
    types.input(0)[1] + 256
}

/// Calls `f` with the indices of the elements of each row.
fn rows(dims: &[usize], mut f: impl FnMut(&[usize])) {
    let inner: usize = dims[2..].iter().product();
    for n in 0..dims[0] {
        for i in 0..inner {
            let row: Vec<_> = (0..dims[1]).map(|c| (n * dims[1] + c) * inner + i).collect();
            f(&row);
        }
    }
}

/// The scratch of [`columns`]: a maximum and a sum for each place of each sample.
fn scratch(types: &Types) -> usize {
    let [batch, _, inner] = dims(types);
    if inner == 1 { 0 } else { 2 * batch * inner }
}

fn cpu(io: &mut CpuTensors<'_>, is_log: bool) {
    let [batch, classes, inner] = dims(io.types);
    let outputs = io.outputs[0].par_chunks_mut(classes * inner);
    let samples = outputs.zip(io.inputs[0].par_chunks(classes * inner));
    if inner == 1 {
        samples.with_min_len(rows_per_job(classes)).for_each(|(outputs, logits)| {
            let (max, log_sum) = row(logits, outputs);
            if is_log {
                outputs.iter_mut().zip(logits).for_each(|(y, x)| *y = (x - max) - log_sum);
            }
        });
        return;
    }
    let scratch = io.scratch[..2 * batch * inner].par_chunks_mut(2 * inner);
    samples.zip(scratch).for_each(|((outputs, logits), scratch)| {
        columns(logits, outputs, scratch, is_log);
    });
}

/// The softmax of each column of `[classes, inner]`.
fn columns(logits: &[f32], outputs: &mut [f32], scratch: &mut [f32], is_log: bool) {
    let inner = scratch.len() / 2;
    let (max, sum) = scratch.split_at_mut(inner);
    max.copy_from_slice(&logits[..inner]);
    for class in logits.chunks(inner) {
        max.iter_mut().zip(class).for_each(|(m, &x)| *m = m.max(x));
    }
    sum.fill(0.0);
    for (class, output) in logits.chunks(inner).zip(outputs.chunks_mut(inner)) {
        for (((x, y), m), s) in class.iter().zip(output).zip(&*max).zip(&mut *sum) {
            let shifted = x - m;
            let e = shifted.exp();
            *y = if is_log { shifted } else { e };
            *s += e;
        }
    }
    sum.iter_mut().for_each(|s| *s = if is_log { s.ln() } else { 1.0 / *s });
    for output in outputs.chunks_mut(inner) {
        for (y, s) in output.iter_mut().zip(&*sum) {
            *y = if is_log { *y - s } else { *y * s };
        }
    }
}

fn cpu_grad(io: &mut CpuTensors<'_>, is_log: bool) {
    let [batch, classes, inner] = dims(io.types);
    let grads = io.outputs[0].par_chunks_mut(classes * inner);
    let scratch = io.scratch[..batch * inner].par_chunks_mut(inner);
    let samples = grads.zip(io.inputs[1].par_chunks(classes * inner)).zip(scratch);
    samples.with_min_len(rows_per_job(classes * inner)).for_each(|((grads, outputs), sums)| {
        sums.fill(0.0);
        for (grad, output) in grads.chunks(inner).zip(outputs.chunks(inner)) {
            for ((s, g), y) in sums.iter_mut().zip(grad).zip(output) {
                *s += if is_log { *g } else { g * y };
            }
        }
        for (grad, output) in grads.chunks_mut(inner).zip(outputs.chunks(inner)) {
            for ((g, s), y) in grad.iter_mut().zip(&*sums).zip(output) {
                *g = if is_log { *g - y.exp() * s } else { y * (*g - s) };
            }
        }
    });
}

fn gpu(op: &'static str, types: &Types, adapter: &Adapter, is_log: bool) -> Result<Vec<Variant>> {
    let [batch, classes, inner] = dims(types);
    let rows = |chunk: Range<usize>| {
        let range = scaled(&chunk, classes * inner);
        Dispatch::new(crate::kernel::shader!("softmax/softmax.wgsl"))
            .bind_range("logits", Operand::Input(0), range.clone())
            // Something must be bound; neither labels nor losses are touched.
            .bind_range("labels", Operand::Input(0), range.clone())
            .bind("losses", Operand::Workspace(0))
            .bind_range("probabilities", Operand::Output(0), range)
            .constant("LOSS", false)
            .constant("LOG", is_log)
            .params(&Params {
                rows: (chunk.len() * inner) as u32,
                classes: classes as u32,
                inner: inner as u32,
                first_row: (chunk.start * inner) as u32,
                invalid: 0.0,
            })
    };
    by_rows(op, adapter, [batch, classes, inner], rows, || None)
}

fn gpu_grad(
    op: &'static str,
    types: &Types,
    adapter: &Adapter,
    is_log: bool,
) -> Result<Vec<Variant>> {
    let [batch, classes, inner] = dims(types);
    let rows = |chunk: Range<usize>| {
        let range = scaled(&chunk, classes * inner);
        Dispatch::new(crate::kernel::shader!("softmax/softmax_grad.wgsl"))
            .bind_range("grad", Operand::Output(0), range.clone())
            .bind_range("output", Operand::Input(1), range)
            .constant("LOG", is_log)
            .params(&GradParams {
                rows: (chunk.len() * inner) as u32,
                classes: classes as u32,
                inner: inner as u32,
            })
    };
    by_rows(op, adapter, [batch, classes, inner], rows, || None)
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

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        infer(self.name(), inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 5 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        reduction(types)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        g.emit_grad(0, SoftmaxGrad { log: self.log }, &[g.grad_output(0)?, g.output(0)])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, y) = (&io.inputs[0], &mut io.outputs[0].data);
        rows(x.dims(), |row| {
            let max = row.iter().map(|&e| x.data[e]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|&e| (x.data[e] - max).exp()).sum();
            for &e in row {
                let shifted = x.data[e] - max;
                y[e] = if self.log { shifted - sum.ln() } else { shifted.exp() / sum };
            }
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        scratch(types)
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu(io, self.log);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        gpu(self.name(), types, adapter, self.log)
    }
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax_grad" } else { "softmax_grad" }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        infer_grad(self.name(), inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 4 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        reduction(types)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad, y) = (&io.inputs[0], &io.inputs[1].data);
        rows(grad.dims(), |row| {
            let of = |e: usize| if self.log { 1.0 } else { y[e] };
            let sum: f64 = row.iter().map(|&e| grad.data[e] * of(e)).sum();
            for &e in row {
                let g = grad.data[e];
                io.outputs[0].data[e] =
                    if self.log { g - y[e].exp() * sum } else { y[e] * (g - sum) };
            }
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        let [batch, _, inner] = dims(types);
        batch * inner
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu_grad(io, self.log);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        gpu_grad(self.name(), types, adapter, self.log)
    }
}
