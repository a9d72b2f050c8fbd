//! Sums and maxima over axes.

use std::ops::Range;

use rayon::prelude::*;

use super::{Binary, Expand};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::reduce::parts::{PartsParams, add_parts, aligned};
use crate::ops::shape::Reshape;
use crate::ops::shape::strided::{Strided, contiguous, expect_ranks, indexable, words};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::{Shape, TensorType};

/// What [`Reduce`] makes of the elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReduceKind {
    /// Their sum.
    Sum,
    /// The largest; NaN where one is NaN. Equal ones share the gradient evenly, as in PyTorch's
    /// `amax`.
    Max,
}

/// The sum or the maximum over axes. Input: any shape of up to six axes. Output: the shape without
/// `axes`, or with extents of 1 there.
///
/// The sum is split into parts that depend on the shape alone and are added in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reduce {
    /// What becomes of the elements.
    pub kind: ReduceKind,
    /// The axes that are reduced, in rising order.
    pub axes: Vec<usize>,
    /// Whether the reduced axes stay, with an extent of 1.
    pub keepdim: bool,
}

impl Reduce {
    /// The kept and the reduced axes of an input, each as a box of its own.
    fn boxes(&self, dims: &[usize]) -> [Strided<1>; 2] {
        let strides = contiguous(dims);
        [false, true].map(|reduced| {
            let axes = (0..dims.len()).filter(|a| self.axes.contains(a) == reduced);
            let (dims, strides): (Vec<_>, Vec<_>) = axes.map(|a| (dims[a], strides[a])).unzip();
            Strided::new(&dims, [&strides], [0])
        })
    }

    /// The shape with extents of 1 along the reduced axes.
    fn kept_shape(&self, dims: &[usize]) -> Shape {
        let dims = dims.iter().enumerate();
        dims.map(|(a, &d)| if self.axes.contains(&a) { 1 } else { d }).collect::<Vec<_>>().into()
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    outputs: u32,
    first: u32,
    terms: u32,
    parts: u32,
    origin: u32,
    window: u32,
    kept: [[u32; 6]; 2],
    reduced: [[u32; 6]; 2],
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        expect_ranks(self.name(), inputs)?;
        let dims = inputs[0].dims();
        let is_rising = self.axes.is_sorted_by(|a, b| a < b);
        if !is_rising || self.axes.last().is_some_and(|&a| a >= dims.len()) {
            let problem =
                format!("{:?} must be axes from 0 to {}, each once", self.axes, dims.len());
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        let mut shape = self.kept_shape(dims);
        if !self.keepdim {
            let kept = (0..dims.len()).filter(|a| !self.axes.contains(a));
            shape = kept.map(|a| dims[a]).collect::<Vec<_>>().into();
        }
        Ok(vec![TensorType::f32(shape)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        match self.kind {
            ReduceKind::Sum => types.inputs[0].elements() / types.outputs[0].elements(),
            ReduceKind::Max => 1,
        }
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let x = g.input(0);
        let shape = g.ty(x).shape.clone();
        let kept = self.kept_shape(shape.dims());
        let reshape = Reshape { shape: kept.clone() };
        let grad = g.grad_output(0)?;
        let grad = if self.keepdim { grad } else { g.emit(reshape.clone(), &[grad])?[0] };
        if self.kind == ReduceKind::Sum {
            return g.emit_grad(0, Expand { shape }, &[grad]);
        }
        let y = g.output(0);
        let y = if self.keepdim { y } else { g.emit(reshape, &[y])?[0] };
        let is_max = g.emit(Binary::Equal, &[x, y])?[0];
        let count = Reduce { kind: ReduceKind::Sum, axes: self.axes.clone(), keepdim: true };
        let count = g.emit(count, &[is_max])?[0];
        let share = g.emit(Binary::Div, &[grad, count])?[0];
        g.emit_grad(0, Binary::Mul, &[is_max, share])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, output) = (&io.inputs[0], &mut io.outputs[0]);
        if self.kind == ReduceKind::Max {
            output.data.fill(f64::NEG_INFINITY);
        }
        for (i, &x) in input.data.iter().enumerate() {
            let (mut rest, mut at, mut stride) = (i, 0, 1);
            for axis in (0..input.dims().len()).rev() {
                if !self.axes.contains(&axis) {
                    at += rest % input.dims()[axis] * stride;
                    stride *= input.dims()[axis];
                }
                rest /= input.dims()[axis];
            }
            let y = &mut output.data[at];
            match self.kind {
                ReduceKind::Sum => *y += x,
                ReduceKind::Max if x > *y || x.is_nan() => *y = x,
                ReduceKind::Max => {}
            }
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        let (terms, outputs) = (types.inputs[0].elements(), types.outputs[0].elements());
        if is_split(terms, outputs) { PARTS * outputs } else { 0 }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let boxes = self.boxes(io.types.input(0));
        let (input, output) = (io.inputs[0], &mut *io.outputs[0]);
        match self.kind {
            ReduceKind::Sum => fold(&boxes, input, output, io.scratch, 0.0, |sum, x| sum + x),
            ReduceKind::Max => {
                fold(&boxes, input, output, io.scratch, f64::NEG_INFINITY, |max, x| {
                    if x > max || x.is_nan() { x } else { max }
                });
            }
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let [kept, reduced] = self.boxes(types.input(0));
        let elements = types.inputs[0].elements();
        let (outputs, terms) = (kept.elements(), reduced.elements());
        // Enough invocations to be worth the machine, in parts that the second stage is quick to join.
        const INVOCATIONS: usize = 16 * 1024;
        let room = adapter.max_binding_elements() - (Adapter::ALIGNMENT - 1);
        let parts = (INVOCATIONS / outputs).clamp(1, terms.isqrt().min(room));
        let windows = adapter.chunks(elements);
        let across = reduced.steps() == [1] && terms > 1;
        let mut dispatches = vec![];
        let mut largest = 0;
        let step = (room / parts).min(outputs);
        for first in (0..outputs).step_by(step) {
            let range = first..(first + step).min(outputs);
            for (i, window) in windows.iter().enumerate() {
                let params = Params {
                    outputs: range.len() as u32,
                    first: first as u32,
                    terms: terms as u32,
                    parts: parts as u32,
                    origin: 0u32.wrapping_sub(window.start as u32),
                    window: window.len() as u32,
                    kept: [words(kept.dims), words(kept.strides[0])],
                    reduced: [words(reduced.dims), words(reduced.strides[0])],
                };
                let dispatch = Dispatch::new(crate::kernel::shader!("arith/reduce.wgsl"))
                    .constant("MAXIMUM", self.kind == ReduceKind::Max)
                    .constant("ACROSS", across)
                    .constant("RANK", kept.rank().max(reduced.rank()) as u32)
                    .bind_range("input", Operand::Input(0), window.clone())
                    .params(&params)
                    .threads(range.len() * parts);
                if windows.len() == 1 && parts == 1 && range.len() == outputs {
                    dispatches.push(dispatch.bind("results", Operand::Output(0)));
                    continue;
                }
                largest = largest.max(parts * range.len());
                let rows = 0..parts * range.len();
                dispatches.push(dispatch.bind_range("results", Operand::Workspace(0), rows));
                dispatches.push(match self.kind {
                    ReduceKind::Sum => add_parts(0, parts, &range, i > 0),
                    ReduceKind::Max => max_parts(parts, &range, i > 0),
                });
            }
        }
        let workspace = if largest > 0 { vec![TensorType::f32([largest])] } else { vec![] };
        Ok(vec![Variant { name: "thread", dispatches, workspace }])
    }
}

/// As [`add_parts`], for maxima.
fn max_parts(parts: usize, range: &Range<usize>, accumulate: bool) -> Dispatch {
    let (bound, start) = aligned(range.clone());
    Dispatch::new(crate::kernel::shader!("arith/max_parts.wgsl"))
        .bind_range("results", Operand::Workspace(0), 0..parts * range.len())
        .bind_range("output", Operand::Output(0), bound)
        .params(&PartsParams {
            length: range.len() as u32,
            parts: parts as u32,
            output_start: start as u32,
            accumulate: accumulate.into(),
        })
        .threads(range.len())
}

/// Where the outputs are too few for the cores, the terms are folded in this many parts.
const PARTS: usize = 64;

fn is_split(terms: usize, outputs: usize) -> bool {
    outputs < 16 && terms >= 64 * 1024
}

/// Folds the reduced box of each element of the kept one, in f64.
fn fold(
    boxes: &[Strided<1>; 2],
    input: &[f32],
    output: &mut [f32],
    scratch: &mut [f32],
    start: f64,
    f: impl Fn(f64, f64) -> f64 + Send + Sync,
) {
    let (outputs, terms) = (output.len(), boxes[1].elements());
    if is_split(input.len(), outputs) {
        let parts = &mut scratch[..PARTS * outputs];
        let end = |part: usize| part * terms / PARTS;
        parts.par_chunks_mut(outputs).enumerate().for_each(|(part, results)| {
            fold_part(boxes, input, 0, end(part)..end(part + 1), results, start, &f);
        });
        for (o, y) in output.iter_mut().enumerate() {
            let results = parts[o..].iter().step_by(outputs);
            *y = results.fold(start, |result, &x| f(result, f64::from(x))) as f32;
        }
        return;
    }
    // Few outputs are worth a thread each; of many, neighbours are read together.
    let chunk = (outputs / (4 * rayon::current_num_threads())).clamp(1, COLUMNS);
    output.par_chunks_mut(chunk).enumerate().for_each(|(c, results)| {
        fold_part(boxes, input, c * chunk, 0..terms, results, start, &f);
    });
}

/// As many outputs as are read together.
const COLUMNS: usize = 64;

/// Folds some terms of the outputs from `first` on.
fn fold_part(
    [kept, reduced]: &[Strided<1>; 2],
    input: &[f32],
    first: usize,
    terms: Range<usize>,
    results: &mut [f32],
    start: f64,
    f: impl Fn(f64, f64) -> f64,
) {
    let ([kept_step], [step]) = (kept.steps(), reduced.steps());
    kept.runs(first..first + results.len(), |at, [base], length| {
        let mut wide = [start; COLUMNS];
        let wide = &mut wide[..length];
        reduced.runs(terms.clone(), |_, [offset], terms| {
            let values = &input[base + offset..];
            if kept_step == 1 && step != 1 {
                for term in 0..terms {
                    let row = &values[term * step..][..length];
                    wide.iter_mut().zip(row).for_each(|(w, &x)| *w = f(*w, f64::from(x)));
                }
                return;
            }
            for (k, w) in wide.iter_mut().enumerate() {
                let values = values[k * kept_step..].iter().step_by(step.max(1)).take(terms);
                *w = values.fold(*w, |w, &x| f(w, f64::from(x)));
            }
        });
        results[at..at + length].iter_mut().zip(wide).for_each(|(y, w)| *y = *w as f32);
    });
}
