//! The elements that labels choose.

use std::ops::Range;

use rayon::prelude::*;

use super::strided::{expect_ranks, indexable};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, Backward, CpuTensors, Op, Types, as_u32, expect_f32, expect_inputs};
use crate::tensor::{DType, TensorType};

/// `y[n, ...] = x[n, labels[n, ...], ...]`: the class that each label names. Inputs: x
/// `[batch, classes, ...]` and labels `u32` `[batch, ...]`. Output: as the labels, of `f32`.
///
/// A label that is no class gives 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatherClasses {}

/// The gradient of [`GatherClasses`]: that of the output at the class of the label, 0 elsewhere.
/// Inputs: `grad_output` and labels. Output: `[batch, classes, ...]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GatherClassesGrad {
    /// The number of classes.
    pub classes: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    first: u32,
    classes: u32,
    inner: u32,
    window_start: u32,
    window: u32,
}

impl Params {
    fn new(elements: &Range<usize>, [classes, inner]: [usize; 2], window: &Range<usize>) -> Self {
        Params {
            count: elements.len() as u32,
            first: elements.start as u32,
            classes: classes as u32,
            inner: inner as u32,
            window_start: window.start as u32,
            window: window.len() as u32,
        }
    }
}

/// The extents `[batch, inner]` of labels.
fn extents(labels: &[usize]) -> [usize; 2] {
    [labels[0], labels[1..].iter().product()]
}

fn expect_labels(op: &'static str, inputs: &[TensorType]) -> Result<()> {
    expect_inputs(op, inputs, 2..=2)?;
    expect_f32(op, &inputs[..1])?;
    expect_ranks(op, inputs)?;
    if inputs[1].dtype == DType::U32 && inputs[1].shape.rank() >= 1 {
        return Ok(());
    }
    let shapes = inputs.iter().map(|t| &t.shape);
    Err(Error::shape(op, shapes, format!("the labels must be u32 [batch, ...], are {}", inputs[1])))
}

/// The windows of a tensor of `elements` that meet `range`.
fn meeting(adapter: &Adapter, elements: usize, range: Range<usize>) -> Vec<Range<usize>> {
    let chunks = adapter.chunks(elements).into_iter();
    chunks.filter(|w| w.start < range.end && range.start < w.end).collect()
}

impl Op for GatherClasses {
    fn name(&self) -> &'static str {
        "gather_classes"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_labels(self.name(), inputs)?;
        let (x, labels) = (inputs[0].dims(), inputs[1].dims());
        if x.len() != labels.len() + 1 || x[0] != labels[0] || x[2..] != labels[1..] {
            let shapes = inputs.iter().map(|t| &t.shape);
            let problem = "labels must be as the input without its axis of classes";
            return Err(Error::shape(self.name(), shapes, problem));
        }
        Ok(vec![TensorType::f32(labels)])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let classes = g.ty(g.input(0)).dims()[1];
        g.emit_grad(0, GatherClassesGrad { classes }, &[g.grad_output(0)?, g.input(1)])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let ([batch, inner], classes) = (extents(io.inputs[1].dims()), io.inputs[0].dims()[1]);
        for n in 0..batch {
            for i in 0..inner {
                let label = io.inputs[1].data[n * inner + i] as usize;
                if label < classes {
                    io.outputs[0].data[n * inner + i] =
                        io.inputs[0].data[(n * classes + label) * inner + i];
                }
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let ([_, inner], classes) = (extents(io.types.input(1)), io.types.input(0)[1]);
        let samples =
            io.outputs[0].par_chunks_mut(inner).zip(as_u32(io.inputs[1]).par_chunks(inner));
        let samples = samples.zip(io.inputs[0].par_chunks(classes * inner));
        samples.with_min_len((4096 / inner).max(1)).for_each(|((output, labels), input)| {
            for (i, (y, &label)) in output.iter_mut().zip(labels).enumerate() {
                *y = input.get(label as usize * inner + i).copied().unwrap_or(0.0);
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let ([_, inner], classes) = (extents(types.input(1)), types.input(0)[1]);
        let mut dispatches = vec![];
        for range in adapter.chunks(types.outputs[0].elements()) {
            let samples = range.start / inner..range.end.div_ceil(inner);
            let image = classes * inner;
            let reach = samples.start * image..samples.end * image;
            for window in meeting(adapter, types.inputs[0].elements(), reach) {
                let dispatch = Dispatch::new(crate::kernel::shader!("shape/gather_classes.wgsl"))
                    .bind_range("input", Operand::Input(0), window.clone())
                    .bind_range("labels", Operand::Input(1), range.clone())
                    .bind_range("output", Operand::Output(0), range.clone())
                    .params(&Params::new(&range, [classes, inner], &window))
                    .threads(range.len());
                dispatches.push(dispatch);
            }
        }
        Ok(vec![Variant::new("gather", dispatches)])
    }
}

impl Op for GatherClassesGrad {
    fn name(&self) -> &'static str {
        "gather_classes_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_labels(self.name(), inputs)?;
        let shapes = || inputs.iter().map(|t| &t.shape);
        if inputs[0].shape != inputs[1].shape {
            let problem = "gradient and labels must have the same shape";
            return Err(Error::shape(self.name(), shapes(), problem));
        }
        let mut dims = inputs[0].dims().to_vec();
        dims.insert(1, self.classes);
        let ty = TensorType::f32(dims);
        if self.classes == 0 || ty.shape.checked_elements().is_none() {
            let problem = format!("{} classes are none or too many", self.classes);
            return Err(Error::shape(self.name(), shapes(), problem));
        }
        Ok(vec![ty])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [batch, inner] = extents(io.inputs[1].dims());
        for n in 0..batch {
            for i in 0..inner {
                let label = io.inputs[1].data[n * inner + i] as usize;
                if label < self.classes {
                    io.outputs[0].data[(n * self.classes + label) * inner + i] =
                        io.inputs[0].data[n * inner + i];
                }
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [_, inner] = extents(io.types.input(1));
        let image = self.classes * inner;
        let samples = io.outputs[0].par_chunks_mut(image).zip(io.inputs[0].par_chunks(inner));
        let samples = samples.zip(as_u32(io.inputs[1]).par_chunks(inner));
        samples.with_min_len((4096 / image).max(1)).for_each(|((grad_input, grads), labels)| {
            grad_input.fill(0.0);
            for (i, (&grad, &label)) in grads.iter().zip(labels).enumerate() {
                if let Some(place) = grad_input.get_mut(label as usize * inner + i) {
                    *place = grad;
                }
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let [_, inner] = extents(types.input(1));
        let image = self.classes * inner;
        let mut dispatches = vec![];
        for range in adapter.chunks(types.outputs[0].elements()) {
            let samples = range.start / image..range.end.div_ceil(image);
            let reach = samples.start * inner..samples.end * inner;
            for window in meeting(adapter, types.inputs[0].elements(), reach) {
                let dispatch =
                    Dispatch::new(crate::kernel::shader!("shape/gather_classes_grad.wgsl"))
                        .bind_range("grad_output", Operand::Input(0), window.clone())
                        .bind_range("labels", Operand::Input(1), window.clone())
                        .bind_range("grad_input", Operand::Output(0), range.clone())
                        .params(&Params::new(&range, [self.classes, inner], &window))
                        .threads(range.len());
                dispatches.push(dispatch);
            }
        }
        Ok(vec![Variant::new("gather", dispatches)])
    }
}
