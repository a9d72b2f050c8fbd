//! Parts of tensors, and tensors put into larger ones.

use super::strided::{
    Side, Strided, contiguous, copies, expect_ranks, expect_shape, gather, indexable, scatter,
};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, Backward, CpuTensors, Op, Types, expect_f32, expect_inputs, parallel};
use crate::tensor::{Shape, TensorType};

/// Along each axis the elements `start`, `start + step` ... before `end`. Of any element type.
#[derive(Clone, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slice {
    /// The first element along each axis; empty for 0 everywhere.
    pub start: Vec<usize>,
    /// The element after the last along each axis; empty for all.
    pub end: Vec<usize>,
    /// The distance between elements, at least 1; empty for 1 everywhere.
    pub step: Vec<usize>,
}

/// A tensor of `shape` that holds the input at `start + step * i` along each axis and `value`
/// elsewhere: padding with a constant, and the gradient of [`Slice`].
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// The output's extents.
    pub shape: Shape,
    /// Where the input's first element goes along each axis.
    pub start: Vec<usize>,
    /// The distance between the input's elements along each axis, at least 1.
    pub step: Vec<usize>,
    /// What surrounds it.
    pub value: f32,
}

impl Slice {
    /// All of a tensor of `rank` axes but for `axis`, of which `start..end`.
    pub fn along(axis: usize, start: usize, end: usize, shape: &Shape) -> Self {
        let mut slice =
            Slice { start: vec![0; shape.rank()], end: shape.dims().to_vec(), step: vec![] };
        if axis < shape.rank() {
            (slice.start[axis], slice.end[axis]) = (start, end);
        }
        slice
    }

    /// Start, end and step along each axis of a tensor.
    fn bounds(&self, dims: &[usize]) -> [Vec<usize>; 3] {
        let or = |given: &[usize], default: &[usize]| {
            if given.is_empty() { default.to_vec() } else { given.to_vec() }
        };
        let rank = dims.len();
        [or(&self.start, &vec![0; rank]), or(&self.end, dims), or(&self.step, &vec![1; rank])]
    }

    fn strided(&self, input: &[usize], output: &[usize]) -> Strided<1> {
        let [start, _, step] = self.bounds(input);
        placed(input, output, &start, &step)
    }
}

/// The box of extents `part` in a tensor of extents `whole`.
fn placed(whole: &[usize], part: &[usize], start: &[usize], step: &[usize]) -> Strided<1> {
    let strides = contiguous(whole);
    let base = start.iter().zip(&strides).map(|(s, stride)| s * stride).sum();
    let strides: Vec<_> = step.iter().zip(&strides).map(|(s, stride)| s * stride).collect();
    Strided::new(part, [&strides], [base])
}

/// For the oracles: calls `f` with the place in the whole and in the part of each element.
fn each(
    whole: &[usize],
    part: &[usize],
    start: &[usize],
    step: &[usize],
    mut f: impl FnMut(usize, usize),
) {
    for p in 0..part.iter().product() {
        let (mut rest, mut at, mut stride) = (p, 0, 1);
        for axis in (0..part.len()).rev() {
            at += (start[axis] + step[axis] * (rest % part[axis])) * stride;
            stride *= whole[axis];
            rest /= part[axis];
        }
        f(at, p);
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_ranks(self.name(), inputs)?;
        let dims = inputs[0].dims();
        let bounds = self.bounds(dims);
        if bounds.iter().any(|b| b.len() != dims.len()) {
            let problem = format!("start, end and step need {} numbers or none", dims.len());
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        let [start, end, step] = bounds;
        let mut output = vec![];
        for (axis, &extent) in dims.iter().enumerate() {
            let (start, end, step) = (start[axis], end[axis], step[axis]);
            if start >= end || end > extent || step == 0 {
                let problem = format!(
                    "{start}..{end} by {step} along axis {axis} must be a part of 0..{extent}, and \
                     the step at least 1"
                );
                return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
            }
            output.push((end - start).div_ceil(step));
        }
        Ok(vec![TensorType { shape: Shape::new(output), dtype: inputs[0].dtype }])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let shape = g.ty(g.input(0)).shape.clone();
        let [start, _, step] = self.bounds(shape.dims());
        let place = Place { shape, start, step, value: 0.0 };
        g.emit_grad(0, place, &[g.grad_output(0)?])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, output) = (&io.inputs[0], &mut io.outputs[0]);
        let [start, _, step] = self.bounds(input.dims());
        let dims = output.dims().to_vec();
        each(input.dims(), &dims, &start, &step, |at, p| output.data[p] = input.data[at]);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let strided = self.strided(io.types.input(0), io.types.output(0));
        gather(&strided, io.inputs[0], io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let strided = self.strided(types.input(0), types.output(0));
        let operands = (Operand::Input(0), Operand::Output(0));
        let elements = types.inputs[0].elements();
        let dispatches = copies(&strided, Side::Source, operands, elements, adapter);
        Ok(vec![Variant::new("gather", dispatches)])
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct FillParams {
    vectors: u32,
    value: f32,
}

impl Place {
    /// Surrounds a tensor of shape `input` with `value`: `sides[k]` elements before and after along
    /// axis k.
    pub fn padding(input: &Shape, sides: &[[usize; 2]], value: f32) -> Self {
        let dims = input.dims().iter().zip(sides);
        let padded =
            dims.map(|(d, [before, after])| d.saturating_add(*before).saturating_add(*after));
        Place {
            shape: Shape::new(padded.collect::<Vec<_>>()),
            start: sides.iter().map(|s| s[0]).collect(),
            step: vec![1; sides.len()],
            value,
        }
    }

    fn strided(&self, input: &[usize]) -> Strided<1> {
        placed(self.shape.dims(), input, &self.start, &self.step)
    }
}

impl Op for Place {
    fn name(&self) -> &'static str {
        "place"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        expect_ranks(self.name(), inputs)?;
        expect_shape(self.name(), inputs, &self.shape)?;
        let wrong = |problem| Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        let rank = inputs[0].shape.rank();
        if [self.shape.rank(), self.start.len(), self.step.len()] != [rank; 3] {
            return wrong(format!("shape, start and step need {rank} numbers each"));
        }
        if !self.value.is_finite() {
            return wrong(format!("the value around it must be finite, is {}", self.value));
        }
        for (axis, &extent) in inputs[0].dims().iter().enumerate() {
            let (start, step, room) = (self.start[axis], self.step[axis], self.shape.dims()[axis]);
            let last = (extent - 1).checked_mul(step).and_then(|d| d.checked_add(start));
            if step == 0 || last.is_none_or(|last| last >= room) {
                return wrong(format!(
                    "{extent} elements from {start} by {step} along axis {axis} do not fit in {room}"
                ));
            }
        }
        Ok(vec![TensorType::f32(self.shape.clone())])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let extents = g.ty(g.input(0)).dims().iter();
        let end = extents.zip(self.start.iter().zip(&self.step));
        let end = end.map(|(extent, (start, step))| start + (extent - 1) * step + 1).collect();
        let slice = Slice { start: self.start.clone(), end, step: self.step.clone() };
        g.emit_grad(0, slice, &[g.grad_output(0)?])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, output) = (&io.inputs[0], &mut io.outputs[0]);
        output.data.fill(f64::from(self.value));
        each(self.shape.dims(), input.dims(), &self.start, &self.step, |at, p| {
            output.data[at] = input.data[p];
        });
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::each(io.outputs[0], |part| part.fill(self.value));
        scatter(&self.strided(io.types.input(0)), io.inputs[0], io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let (elements, strided) = (types.outputs[0].elements(), self.strided(types.input(0)));
        let fills = adapter.chunks(elements).into_iter().map(|range| {
            let vectors = range.len().div_ceil(4);
            let params = FillParams { vectors: vectors as u32, value: self.value };
            Dispatch::new(crate::kernel::shader!("elementwise/fill.wgsl"))
                .bind_range("output", Operand::Output(0), range)
                .params(&params)
                .threads(vectors)
        });
        let mut dispatches: Vec<_> = fills.collect();
        let operands = (Operand::Input(0), Operand::Output(0));
        dispatches.extend(copies(&strided, Side::Target, operands, elements, adapter));
        Ok(vec![Variant::new("fill and scatter", dispatches)])
    }
}
