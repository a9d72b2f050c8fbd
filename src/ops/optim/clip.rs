//! Clipping of gradients, by value and by their common norm.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::reduce::parts::total;
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, parallel};
use crate::tensor::TensorType;

/// One dispatch for each part of output 0 that fits a binding. `dispatch` gets the part's range and
/// its number of four-element vectors.
pub(super) fn vectors(
    types: &Types,
    adapter: &Adapter,
    dispatch: impl Fn(Range<usize>, u32) -> Dispatch,
) -> Vec<Variant> {
    let dispatches = adapter.pieces(types.outputs[0].elements()).into_iter().map(|range| {
        let vectors = range.len().div_ceil(4);
        dispatch(range, vectors as u32).threads(vectors).reads_ahead()
    });
    vec![Variant::new("vec4", dispatches.collect())]
}

/// Errors unless `limit` is positive.
fn check_limit(name: &'static str, limit: f64) -> Result<()> {
    if limit > 0.0 {
        return Ok(());
    }
    Err(Error::setting(name, limit, "must be positive"))
}

/// The sum of the squares of a tensor, `[1]`, added to a second input `sum` `[1]` where `running`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SquareSum {
    /// Whether there is a second input, over which the result is written.
    pub running: bool,
}

/// The longest part of a sum that the CPU engine adds up in one go.
const CPU_PART: usize = 4096;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct SumParams {
    count: u32,
    part: u32,
    parts: u32,
    first_part: u32,
}

impl Op for SquareSum {
    fn name(&self) -> &'static str {
        "square_sum"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = 1 + usize::from(self.running);
        expect_inputs(self.name(), inputs, count..=count)?;
        expect_f32(self.name(), inputs)?;
        if self.running && inputs[1].dims() != [1] {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "the sum must have shape [1]"));
        }
        Ok(vec![TensorType::f32([1])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        types.inputs[0].elements() + 1
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        if self.running { &[(1, 0)] } else { &[] }
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let sum: f64 = io.inputs[0].data.iter().map(|x| x * x).sum();
        io.outputs[0].data[0] = sum + io.inputs.get(1).map_or(0.0, |before| before.data[0]);
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.inputs[0].elements().div_ceil(CPU_PART)
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let sums = &mut io.scratch[..io.inputs[0].len().div_ceil(CPU_PART)];
        let parts = sums.par_iter_mut().zip(io.inputs[0].par_chunks(CPU_PART));
        parts.with_min_len(4).for_each(|(sum, part)| *sum = squares(part));
        let sum: f64 = sums.iter().map(|&part| f64::from(part)).sum();
        let before = if self.running { f64::from(io.outputs[0][0]) } else { 0.0 };
        io.outputs[0][0] = (before + sum) as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(summed(types, adapter, false, self.running))
    }
}

/// The sum of the squares of input 0, or the number of its [overflows](super::Overflows), in parts; added to
/// output 0 where `running`.
pub(super) fn summed(
    types: &Types,
    adapter: &Adapter,
    overflows: bool,
    running: bool,
) -> Vec<Variant> {
    let count = types.inputs[0].elements();
    // Parts long enough for a workgroup, and few enough for the one that adds them up.
    let part = count.div_ceil(2048).max(4096).next_multiple_of(64);
    let mut parts = 0;
    let mut dispatches = vec![];
    for range in adapter.chunks(count) {
        let here = range.len().div_ceil(part);
        let params = SumParams {
            count: range.len() as u32,
            part: part as u32,
            parts: here as u32,
            first_part: parts as u32,
        };
        let dispatch = Dispatch::new(crate::kernel::shader!("optim/square_sum.wgsl"))
            .constant("OVERFLOWS", overflows)
            .bind_range("x", Operand::Input(0), range)
            .bind("sums", Operand::Workspace(0))
            .params(&params)
            .groups(here);
        dispatches.push(dispatch);
        parts += here;
    }
    dispatches.push(total(0, parts, 1.0, running));
    let workspace = vec![TensorType::f32([parts])];
    vec![Variant { name: "parts", dispatches, workspace }]
}

/// The sum of squares, in lanes that a vector unit can hold.
fn squares(part: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = part.as_chunks::<LANES>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x * x);
    }
    lanes.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x * x);
    lanes.iter().sum()
}

/// From the sum of the squares of all gradients, `[1]`, the factor `[1]` that makes their common norm at
/// most `max_norm`: `min(1, max_norm / (norm + 1e-6))`, as PyTorch's `clip_grad_norm_`; and the norm
/// `[1]`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClipFactor {
    /// The largest norm.
    pub max_norm: f64,
}

impl Op for ClipFactor {
    fn name(&self) -> &'static str {
        "clip_factor"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        if inputs[0].dims() != [1] {
            let problem = "the sum of squares must have shape [1]";
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        check_limit("max_norm", self.max_norm)?;
        Ok(vec![TensorType::f32([1]); 2])
    }

    fn reduction(&self, _: &Types) -> usize {
        4
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let norm = io.inputs[0].data[0].sqrt();
        io.outputs[0].data[0] = (self.max_norm / (norm + 1e-6)).min(1.0);
        io.outputs[1].data[0] = norm;
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let norm = io.inputs[0][0].sqrt();
        let factor = self.max_norm as f32 / (norm + 1e-6);
        io.outputs[0][0] = if factor > 1.0 { 1.0 } else { factor };
        io.outputs[1][0] = norm;
    }

    fn gpu(&self, _: &Types, _: &Adapter) -> Result<Vec<Variant>> {
        let dispatch = Dispatch::new(crate::kernel::shader!("optim/clip_factor.wgsl"))
            .bind("square_sum", Operand::Input(0))
            .bind("factor", Operand::Output(0))
            .bind("norm", Operand::Output(1))
            .params(&(self.max_norm as f32));
        Ok(vec![Variant::new("single", vec![dispatch])])
    }
}

/// `y = factor[0] x`, in place. Inputs: `x` of any shape, `factor` `[1]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScaleBy;

impl Op for ScaleBy {
    fn name(&self) -> &'static str {
        "scale_by"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        if inputs[1].dims() != [1] {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "the factor must have shape [1]"));
        }
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = x * io.inputs[1].data[0];
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let factor = io.inputs[1][0];
        parallel::each(io.outputs[0], |part| part.iter_mut().for_each(|x| *x *= factor));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(vectors(types, adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("optim/scale_by.wgsl"))
                .bind_range("data", Operand::Output(0), range)
                .bind("factor", Operand::Input(1))
                .params(&vectors)
        }))
    }
}

/// `y = min(max(x, -limit), limit)`, in place; a NaN stays one. One input of any shape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClipValue {
    /// The largest value that stays as it is; positive.
    pub limit: f64,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ClipParams {
    vectors: u32,
    limit: f32,
}

impl Op for ClipValue {
    fn name(&self) -> &'static str {
        "clip_value"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        check_limit("clip_value", self.limit)?;
        Ok(inputs.to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * types.outputs[0].elements() as u64)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = x.clamp(-self.limit, self.limit);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let limit = self.limit as f32;
        parallel::each(io.outputs[0], |part| {
            part.iter_mut().for_each(|x| *x = x.clamp(-limit, limit));
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let limit = self.limit as f32;
        Ok(vectors(types, adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("optim/clip_value.wgsl"))
                .bind_range("data", Operand::Output(0), range)
                .params(&ClipParams { vectors, limit })
        }))
    }
}
