//! The leaky ReLU whose slope is learnt.

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::reduce::ChannelSum;
use crate::ops::shape::Reshape;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, parallel,
};
use crate::tensor::{Shape, TensorType};

/// `y = x` where x is positive, else `w[c] * x` (He et al., 2015). Inputs: x `[batch, channels, ...]`
/// and w `[channels]`, or `[1]` for one slope and x of any shape.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PRelu {}

/// `grad_x = grad_y` where x is positive, else `w[c] * grad_y`, in place: the gradient of [`PRelu`]
/// with respect to x. Inputs: `grad_y`, `x`, `w`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PReluGradInput;

/// `terms = grad_y * min(x, 0)`, in place, whose sum over a channel is the gradient of [`PRelu`]
/// with respect to that channel's slope. Inputs: `grad_y`, `x`, `w`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PReluGradTerms;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    first: u32,
    channels: u32,
    inner: u32,
}

/// Errors unless `weight` has one slope for each channel of `x`, or one in all.
fn check(op: &'static str, inputs: &[TensorType], x: &Shape, weight: &Shape) -> Result<()> {
    let channels = x.dims().get(1);
    if weight.dims() == [1] || channels.is_some_and(|&c| weight.dims() == [c]) {
        return Ok(());
    }
    let shapes = inputs.iter().map(|t| &t.shape);
    Err(Error::shape(op, shapes, "the weight must be [channels] or [1]"))
}

/// The number of slopes, and the elements that share one before the next comes.
fn extents(x: &[usize], weight: &[usize]) -> [usize; 2] {
    match *weight {
        [1] => [1, 1],
        _ => [weight[0], x[2..].iter().product()],
    }
}

fn dispatches(part: u32, operands: [usize; 2], types: &Types, adapter: &Adapter) -> Vec<Variant> {
    let [input, weight] = operands;
    let [channels, inner] = extents(types.output(0), types.input(weight));
    let dispatches = adapter.pieces(types.outputs[0].elements()).into_iter().map(|range| {
        Dispatch::new(crate::kernel::shader!("elementwise/prelu.wgsl"))
            .constant("PART", part)
            .bind_range("input", Operand::Input(input), range.clone())
            .bind("weight", Operand::Input(weight))
            .bind_range("output", Operand::Output(0), range.clone())
            .params(&Params {
                count: range.len() as u32,
                first: range.start as u32,
                channels: channels as u32,
                inner: inner as u32,
            })
            .threads(range.len())
    });
    vec![Variant::new("scalar", dispatches.collect())]
}

/// Calls `f` with runs of elements that share a slope: the output's, the input's, and the slope.
fn runs(
    output: &mut [f32],
    input: &[f32],
    weight: &[f32],
    inner: usize,
    f: impl Fn(&mut [f32], &[f32], f32) + Send + Sync,
) {
    if let &[slope] = weight {
        return parallel::zip(output, input, |ys, xs| f(ys, xs, slope));
    }
    use rayon::prelude::*;
    let planes = output.par_chunks_mut(inner).zip(input.par_chunks(inner));
    planes
        .enumerate()
        .with_min_len((16 * 1024 / inner).max(1))
        .for_each(|(plane, (ys, xs))| f(ys, xs, weight[plane % weight.len()]));
}

impl Op for PRelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        check(self.name(), inputs, &inputs[0].shape, &inputs[1].shape)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (x, weight, grad) = (g.input(0), g.input(1), g.grad_output(0)?);
        if g.wants(0) {
            g.emit_grad(0, PReluGradInput, &[grad, x, weight])?;
        }
        if g.wants(1) {
            let mut terms = g.emit(PReluGradTerms, &[grad, x, weight])?[0];
            if g.ty(weight).elements() == 1 {
                // All elements are of one channel.
                let shape = [g.ty(terms).elements(), 1].into();
                terms = g.emit(Reshape { shape }, &[terms])?[0];
            }
            g.emit_grad(1, ChannelSum, &[terms])?;
        }
        Ok(())
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, weight) = (&io.inputs[0], &io.inputs[1].data);
        let [channels, inner] = extents(x.dims(), io.inputs[1].dims());
        for (i, (y, &x)) in io.outputs[0].data.iter_mut().zip(&x.data).enumerate() {
            *y = if x > 0.0 { x } else { weight[i / inner % channels] * x };
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [_, inner] = extents(io.types.input(0), io.types.input(1));
        runs(io.outputs[0], io.inputs[0], io.inputs[1], inner, |ys, xs, slope| {
            ys.iter_mut().zip(xs).for_each(|(y, &x)| *y = if x > 0.0 { x } else { slope * x });
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(dispatches(0, [0, 1], types, adapter))
    }
}

fn infer_grad(op: &'static str, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    expect_inputs(op, inputs, 3..=3)?;
    expect_f32(op, inputs)?;
    super::add::same_shapes(op, &inputs[0], &inputs[1])?;
    check(op, inputs, &inputs[1].shape, &inputs[2].shape)?;
    Ok(inputs[..1].to_vec())
}

impl Op for PReluGradInput {
    fn name(&self) -> &'static str {
        "prelu_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        infer_grad(self.name(), inputs)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn half(&self) -> Half {
        Half::taken(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad, x, weight) = (&io.inputs[0], &io.inputs[1].data, &io.inputs[2].data);
        let [channels, inner] = extents(grad.dims(), io.inputs[2].dims());
        for (i, grad_x) in io.outputs[0].data.iter_mut().enumerate() {
            let slope = if x[i] > 0.0 { 1.0 } else { weight[i / inner % channels] };
            *grad_x = slope * grad.data[i];
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [_, inner] = extents(io.types.input(1), io.types.input(2));
        runs(io.outputs[0], io.inputs[1], io.inputs[2], inner, |grads, xs, slope| {
            let pairs = grads.iter_mut().zip(xs);
            pairs.for_each(|(grad, &x)| *grad *= if x > 0.0 { 1.0 } else { slope });
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(dispatches(1, [1, 2], types, adapter))
    }
}

impl Op for PReluGradTerms {
    fn name(&self) -> &'static str {
        "prelu_grad_terms"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        infer_grad(self.name(), inputs)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad, x) = (&io.inputs[0].data, &io.inputs[1].data);
        for (i, term) in io.outputs[0].data.iter_mut().enumerate() {
            *term = grad[i] * x[i].min(0.0);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::zip(io.outputs[0], io.inputs[1], |grads, xs| {
            grads.iter_mut().zip(xs).for_each(|(grad, x)| *grad *= x.min(0.0));
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(dispatches(2, [1, 2], types, adapter))
    }
}
