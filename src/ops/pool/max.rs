//! Max pooling.

use rayon::prelude::*;

use super::windows::{Geometry, Params, Windows};
use super::{by_planes, planes_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Op, Types, as_u32, as_u32_mut, expect_f32, expect_inputs,
    nchw,
};
use crate::tensor::{DType, TensorType};

/// The largest value of each window: `output[n, c, y, x] = max input[n, c, y s + i - top, x s + j -
/// left]` over `i, j` in the window. Windows may overlap, as in AlexNet (window 3, stride 2).
///
/// Input: `[batch, channels, height, width]`. Outputs: the maxima, and as `u32` where each was
/// found, `row * width + column` in its plane; the first in row-major order where several are equal.
///
/// Padding is never a maximum, so it may be at most half a window. The output's extent is
/// `floor((extent + padding - window) / stride) + 1`; with `ceil_mode` the division rounds up, but
/// for a last window that would start beyond the input and the padding before it. All this is as in
/// PyTorch's `max_pool2d`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxPool2d {
    /// Height and width of a window.
    pub window: [usize; 2],
    /// Steps between windows, vertical and horizontal.
    pub stride: [usize; 2],
    /// Padding at the top, bottom, left and right.
    pub padding: [usize; 4],
    /// Whether windows that reach beyond the padded input count.
    pub ceil_mode: bool,
}

/// The gradient of [`MaxPool2d`]: each position gets the gradients of the windows whose maximum it
/// is. Inputs: the forward op's indices, and `grad_output`. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxPool2dGrad {
    /// The forward op.
    pub pool: MaxPool2d,
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

impl MaxPool2d {
    fn windows(&self) -> Windows {
        let MaxPool2d { window, stride, padding, ceil_mode } = *self;
        Windows { window, stride, padding, ceil_mode }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        let [batch, channels, ..] = nchw(self.name(), &inputs[0])?;
        let [height, width] = self.windows().on_tensor(self.name(), &inputs[0])?.output;
        let shape = [batch, channels, height, width];
        Ok(vec![TensorType::f32(shape), TensorType::u32(shape)])
    }

    fn cost(&self, types: &Types) -> Cost {
        let window = (self.window[0] * self.window[1]) as u64;
        Cost::with_flops(types, window * types.outputs[0].elements() as u64)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let [_, _, height, width] = nchw(self.name(), g.ty(g.input(0)))?;
        let grad = MaxPool2dGrad { pool: *self, input: [height, width] };
        g.emit_grad(0, grad, &[g.output(1), g.grad_output(0)?])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let input = &io.inputs[0];
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| input.dims()[i]);
        let [batch, channels, out_height, out_width] =
            [0, 1, 2, 3].map(|i| io.outputs[0].dims()[i]);
        let [top, _, left, _] = self.padding;
        let mut o = 0;
        for plane in 0..batch * channels {
            for y in 0..out_height {
                for x in 0..out_width {
                    let mut best: Option<(f64, usize)> = None;
                    for i in 0..self.window[0] {
                        for j in 0..self.window[1] {
                            let (row, column) = (y * self.stride[0] + i, x * self.stride[1] + j);
                            let inside = row >= top
                                && row - top < height
                                && column >= left
                                && column - left < width;
                            if !inside {
                                continue;
                            }
                            let at = (row - top) * width + column - left;
                            let value = input.data[plane * height * width + at];
                            if best.is_none_or(|(b, _)| value > b || value.is_nan()) {
                                best = Some((value, at));
                            }
                        }
                    }
                    if let Some((value, at)) = best {
                        io.outputs[0].data[o] = value;
                        io.outputs[1].data[o] = at as f64;
                    }
                    o += 1;
                }
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = self.windows().on_tensor(self.name(), &io.types.inputs[0]) else { return };
        let [output, indices] = &mut *io.outputs else { return };
        let jobs = planes_per_job(&g);
        output
            .par_chunks_mut(g.output_plane())
            .zip(as_u32_mut(indices).par_chunks_mut(g.output_plane()))
            .zip(io.inputs[0].par_chunks(g.input_plane()))
            .with_min_len(jobs)
            .for_each(|((output, indices), input)| cpu_plane(&g, input, output, indices));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.windows().on_tensor(self.name(), &types.inputs[0])?;
        let planes = types.input(0)[0] * types.input(0)[1];
        let operands = [
            ("input", Operand::Input(0), g.input_plane()),
            ("output", Operand::Output(0), g.output_plane()),
            ("indices", Operand::Output(1), g.output_plane()),
        ];
        let dispatch = |items| {
            Dispatch::new(crate::kernel::shader!("pool/max.wgsl")).params(&Params::new(&g, items))
        };
        by_planes(self.name(), adapter, planes, &operands, g.output_plane(), dispatch)
    }
}

fn cpu_plane(g: &Geometry, input: &[f32], output: &mut [f32], indices: &mut [u32]) {
    let [out_width, width] = [g.output[1], g.input[1]];
    let rows = output.chunks_mut(out_width).zip(indices.chunks_mut(out_width)).enumerate();
    for (y, (best, index)) in rows {
        let covered = g.covered(0, y);
        best.fill(f32::NEG_INFINITY);
        for (x, at) in index.iter_mut().enumerate() {
            *at = (covered.start * width + g.covered(1, x).start) as u32;
        }
        for row in covered {
            for k in 0..g.window[1] {
                let (windows, column) = g.inside(k);
                if windows.is_empty() {
                    continue;
                }
                let values = &input[row * width + column..(row + 1) * width];
                let (best, index) = (&mut best[windows.clone()], &mut index[windows]);
                let at = (row * width + column) as u32;
                match g.stride[1] {
                    1 => keep_larger::<1>(best, index, values, at),
                    2 => keep_larger::<2>(best, index, values, at),
                    3 => keep_larger::<3>(best, index, values, at),
                    s => best
                        .iter_mut()
                        .zip(index)
                        .zip(values.iter().step_by(s))
                        .enumerate()
                        .for_each(|(o, ((best, index), &value))| {
                            keep(best, index, value, at + (o * s) as u32)
                        }),
                }
            }
        }
    }
}

#[inline(always)]
fn keep(best: &mut f32, index: &mut u32, value: f32, at: u32) {
    // A NaN is passed on, not lost.
    let larger = value > *best || value.is_nan();
    *best = if larger { value } else { *best };
    *index = if larger { at } else { *index };
}

/// `keep` for each `best[o]` and `values[S o]`; the constant stride lets the compiler vectorise.
fn keep_larger<const S: usize>(best: &mut [f32], index: &mut [u32], values: &[f32], at: u32) {
    let whole = best.len().min(values.len() / S);
    let (head, tail) = best.split_at_mut(whole);
    let (head_index, tail_index) = index.split_at_mut(whole);
    let pairs = head.iter_mut().zip(head_index).zip(values.chunks_exact(S)).enumerate();
    for (o, ((best, index), value)) in pairs {
        keep(best, index, value[0], at + (o * S) as u32);
    }
    if let (Some(best), Some(index)) = (tail.first_mut(), tail_index.first_mut()) {
        keep(best, index, values[whole * S], at + (whole * S) as u32);
    }
}

impl MaxPool2dGrad {
    fn geometry(&self, inputs: &[TensorType]) -> Result<Geometry> {
        self.pool.windows().on(self.name(), inputs, self.input)
    }
}

impl Op for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), &inputs[1..])?;
        let [batch, channels, height, width] = nchw(self.name(), &inputs[1])?;
        let g = self.geometry(inputs)?;
        if inputs[0].shape != inputs[1].shape
            || inputs[0].dtype != DType::U32
            || g.output != [height, width]
        {
            let problem = format!(
                "needs u32 indices and grad_output of one shape with planes of {}x{}",
                g.output[0], g.output[1]
            );
            return Err(Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem));
        }
        Ok(vec![TensorType::f32([batch, channels, self.input[0], self.input[1]])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[1].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        self.pool.window[0].div_ceil(self.pool.stride[0])
            * self.pool.window[1].div_ceil(self.pool.stride[1])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (indices, grads) = (&io.inputs[0], &io.inputs[1]);
        let plane = grads.dims()[2] * grads.dims()[3];
        for (o, (&at, grad)) in indices.data.iter().zip(&grads.data).enumerate() {
            let start = o / plane * self.input[0] * self.input[1];
            io.outputs[0].data[start + at as usize] += grad;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = self.geometry(&io.types.inputs) else { return };
        io.outputs[0]
            .par_chunks_mut(g.input_plane())
            .zip(as_u32(io.inputs[0]).par_chunks(g.output_plane()))
            .zip(io.inputs[1].par_chunks(g.output_plane()))
            .with_min_len(planes_per_job(&g))
            .for_each(|((grad_input, indices), grad_output)| {
                grad_input.fill(0.0);
                for (&at, grad) in indices.iter().zip(grad_output) {
                    if let Some(sum) = grad_input.get_mut(at as usize) {
                        *sum += grad;
                    }
                }
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.geometry(&types.inputs)?;
        let planes = types.input(1)[0] * types.input(1)[1];
        let operands = [
            ("indices", Operand::Input(0), g.output_plane()),
            ("grad_output", Operand::Input(1), g.output_plane()),
            ("grad_input", Operand::Output(0), g.input_plane()),
        ];
        let dispatch = |items| {
            Dispatch::new(crate::kernel::shader!("pool/max_grad.wgsl"))
                .params(&Params::new(&g, items))
        };
        by_planes(self.name(), adapter, planes, &operands, g.input_plane(), dispatch)
    }
}
