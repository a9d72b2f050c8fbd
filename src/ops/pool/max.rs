//! Max pooling.

use rayon::prelude::*;

use super::windows::{Geometry, Windows};
use super::{Work, by_planes, planes, planes_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::parallel::vectorised;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, as_u32, as_u32_mut, expect_f32,
    expect_inputs, nchw,
};
use crate::tensor::{DType, TensorType};

/// The largest value of each window: `output[n, c, y, x] = max input[n, c, y s + i d - top, x s +
/// j d - left]` over `i, j` in the window, with stride `s` and dilation `d`. Windows may overlap, as
/// in AlexNet (window 3, stride 2).
///
/// Input: `[batch, channels, height, width]`. Outputs: the maxima, and as `u32` where each was
/// found, `row * width + column` in its plane; the first in row-major order where several are equal.
/// A NaN is larger than any number, and the last one counts.
///
/// Padding is never a maximum, so it may be at most half a window. The output's extent is
/// `floor((extent + padding - reach) / stride) + 1` with `reach = (window - 1) * dilation + 1`; with
/// `ceil_mode` the division rounds up, but for a last window that would start beyond the input and
/// the padding before it. All this is as in PyTorch's `max_pool2d`.
///
/// Errors where a window does not fit the padded input, padding is more than half a window, or a
/// dilated window steps over the whole input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxPool2d {
    /// Taps of a window, vertical and horizontal.
    pub window: [usize; 2],
    /// Steps between windows, vertical and horizontal.
    pub stride: [usize; 2],
    /// Padding at the top, bottom, left and right.
    pub padding: [usize; 4],
    /// Steps between the taps of a window, vertical and horizontal.
    pub dilation: [usize; 2],
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
    /// Windows of `window` by `window`, `stride` apart, without padding.
    pub fn new(window: usize, stride: usize) -> Self {
        MaxPool2d {
            window: [window; 2],
            stride: [stride; 2],
            padding: [0; 4],
            dilation: [1; 2],
            ceil_mode: false,
        }
    }

    fn windows(&self) -> Windows {
        let MaxPool2d { window, stride, padding, dilation, ceil_mode } = *self;
        Windows { window, stride, padding, dilation, ceil_mode }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        let g = self.windows().on_tensor(self.name(), &inputs[0])?;
        let maxima = g.output_type(self.name(), &inputs[0])?;
        let indices = TensorType::u32(maxima.shape.clone());
        Ok(vec![maxima, indices])
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

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
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
                            let row = y * self.stride[0] + i * self.dilation[0];
                            let column = x * self.stride[1] + j * self.dilation[1];
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
        run(&g, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.windows().on_tensor(self.name(), &types.inputs[0])?;
        Ok(vec![variant(self.name(), &g, types, adapter)?])
    }
}

/// Maximum and index of every window, by a thread each.
pub(super) fn variant(
    op: &'static str,
    g: &Geometry,
    types: &Types,
    adapter: &Adapter,
) -> Result<Variant> {
    let operands = [
        ("input", Operand::Input(0), g.input_plane()),
        ("output", Operand::Output(0), g.output_plane()),
        ("indices", Operand::Output(1), g.output_plane()),
    ];
    let work = Work::Threads(g.output_plane());
    let dispatch = |items| g.dispatch(crate::kernel::shader!("pool/max.wgsl"), items);
    by_planes(op, adapter, planes(types.input(0)), &operands, work, dispatch)
}

/// The gradient of every input element from the windows that cover it.
pub(super) fn grad_variant(
    op: &'static str,
    g: &Geometry,
    types: &Types,
    adapter: &Adapter,
) -> Result<Variant> {
    let operands = [
        ("indices", Operand::Input(0), g.output_plane()),
        ("grad_output", Operand::Input(1), g.output_plane()),
        ("grad_input", Operand::Output(0), g.input_plane()),
    ];
    let work = Work::Threads(g.input_plane());
    let dispatch = |items| g.dispatch(crate::kernel::shader!("pool/max_grad.wgsl"), items);
    by_planes(op, adapter, planes(types.input(1)), &operands, work, dispatch)
}

/// The CPU's maxima and indices.
pub(super) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    let [output, indices] = &mut *io.outputs else { return };
    output
        .par_chunks_mut(g.output_plane())
        .zip(as_u32_mut(indices).par_chunks_mut(g.output_plane()))
        .zip(io.inputs[0].par_chunks(g.input_plane()))
        .with_min_len(planes_per_job(g))
        .for_each(|((output, indices), input)| match g.adaptive {
            true => cpu_adaptive(g, input, output, indices),
            false => vectorised(|| cpu_plane(g, input, output, indices)),
        });
}

/// The CPU's gradient: each window's to where its maximum is.
pub(super) fn run_grad(g: &Geometry, io: &mut CpuTensors<'_>) {
    io.outputs[0]
        .par_chunks_mut(g.input_plane())
        .zip(as_u32(io.inputs[0]).par_chunks(g.output_plane()))
        .zip(io.inputs[1].par_chunks(g.output_plane()))
        .with_min_len(planes_per_job(g))
        .for_each(|((grad_input, indices), grad_output)| {
            grad_input.fill(0.0);
            for (&at, grad) in indices.iter().zip(grad_output) {
                if let Some(sum) = grad_input.get_mut(at as usize) {
                    *sum += grad;
                }
            }
        });
}

/// Errors unless the inputs are indices and gradients of the windows' number.
pub(super) fn check_grad(
    op: &'static str,
    inputs: &[TensorType],
    geometry: impl Fn([usize; 2]) -> Result<Geometry>,
) -> Result<Geometry> {
    expect_inputs(op, inputs, 2..=2)?;
    expect_f32(op, &inputs[1..])?;
    let [_, _, height, width] = nchw(op, &inputs[1])?;
    let g = geometry([height, width])?;
    let is_index = inputs[0].dtype == DType::U32 && inputs[0].shape == inputs[1].shape;
    if is_index && g.output == [height, width] {
        return Ok(g);
    }
    let problem = format!(
        "needs u32 indices and grad_output of one shape with planes of {}x{}",
        g.output[0], g.output[1]
    );
    Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
}

/// The oracle of the gradients.
pub(super) fn reference_grad(input: [usize; 2], io: &mut Arrays<'_>) {
    let (indices, grads) = (&io.inputs[0], &io.inputs[1]);
    let plane = grads.dims()[2] * grads.dims()[3];
    for (o, (&at, grad)) in indices.data.iter().zip(&grads.data).enumerate() {
        let start = o / plane * input[0] * input[1];
        io.outputs[0].data[start + at as usize] += grad;
    }
}

/// Windows of any size: each in one go.
fn cpu_adaptive(g: &Geometry, input: &[f32], output: &mut [f32], indices: &mut [u32]) {
    let windows = output.iter_mut().zip(indices).enumerate();
    for (o, (best, index)) in windows {
        let (rows, columns) = (g.covered(0, o / g.output[1]), g.covered(1, o % g.output[1]));
        *best = f32::NEG_INFINITY;
        *index = (rows.start * g.input[1] + columns.start) as u32;
        for row in rows {
            let first = row * g.input[1] + columns.start;
            let values = &input[first..first + columns.len()];
            (first as u32..).zip(values).for_each(|(at, &value)| keep(best, index, value, at));
        }
    }
}

#[inline(always)]
fn cpu_plane(g: &Geometry, input: &[f32], output: &mut [f32], indices: &mut [u32]) {
    let [out_width, width] = [g.output[1], g.input[1]];
    let rows = output.chunks_mut(out_width).zip(indices.chunks_mut(out_width)).enumerate();
    for (y, (best, index)) in rows {
        let covered = g.covered(0, y);
        best.fill(f32::NEG_INFINITY);
        for (x, at) in index.iter_mut().enumerate() {
            *at = (covered.start * width + g.covered(1, x).start) as u32;
        }
        for row in covered.step_by(g.dilation[0]) {
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
                            keep(best, index, value, at + (o * s) as u32);
                        }),
                }
            }
        }
    }
}

/// Takes `value` where it is larger, by masks: a branch would be guessed wrong every other time.
#[inline(always)]
fn keep(best: &mut f32, index: &mut u32, value: f32, at: u32) {
    // A NaN is passed on, not lost.
    let larger = u32::from((value > *best) | value.is_nan()).wrapping_neg();
    *best = f32::from_bits((value.to_bits() & larger) | (best.to_bits() & !larger));
    *index = (at & larger) | (*index & !larger);
}

/// `keep` for each `best[o]` and `values[S o]`; the constant stride lets the compiler vectorise.
#[inline(always)]
fn keep_larger<const S: usize>(best: &mut [f32], index: &mut [u32], values: &[f32], at: u32) {
    let whole = best.len().min(values.len() / S);
    let (head, tail) = best.split_at_mut(whole);
    let (head_index, tail_index) = index.split_at_mut(whole);
    for (o, ((best, index), value)) in
        (0..whole as u32).zip(head.iter_mut().zip(head_index).zip(values.chunks_exact(S)))
    {
        keep(best, index, value[0], at + o * S as u32);
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
        check_grad(self.name(), inputs, |_| self.geometry(inputs))?;
        let [batch, channels, ..] = nchw(self.name(), &inputs[1])?;
        Ok(vec![TensorType::f32([batch, channels, self.input[0], self.input[1]])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[1].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        let MaxPool2d { window, stride, dilation, .. } = self.pool;
        let reach = |axis: usize| (window[axis] - 1) * dilation[axis] + 1;
        reach(0).div_ceil(stride[0]) * reach(1).div_ceil(stride[1])
    }

    fn half(&self) -> Half {
        Half::taken(&[1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        reference_grad(self.input, io);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = self.geometry(&io.types.inputs) else { return };
        run_grad(&g, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.geometry(&types.inputs)?;
        Ok(vec![grad_variant(self.name(), &g, types, adapter)?])
    }
}
