//! Average pooling.

use rayon::prelude::*;

use super::windows::{Geometry, Windows};
use super::{Work, by_planes, planes, planes_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::parallel::vectorised;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, nchw,
};
use crate::tensor::TensorType;

/// The average of each window, as in PyTorch's `avg_pool2d`.
///
/// Input: `[batch, channels, height, width]`; the output's extents are those of
/// [`MaxPool2d`](super::MaxPool2d). Padding is 0. The sum is divided by the number of positions in
/// the window: with `count_include_pad` those in the padding too, without it only those in the
/// input. Positions beyond the padding, where `ceil_mode` lets windows reach, never count. A
/// `divisor_override` is divided by instead, whatever a window covers.
///
/// Errors as [`MaxPool2d`](super::MaxPool2d), and where the divisor is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AvgPool2d {
    /// Height and width of a window.
    pub window: [usize; 2],
    /// Steps between windows, vertical and horizontal.
    pub stride: [usize; 2],
    /// Padding at the top, bottom, left and right.
    pub padding: [usize; 4],
    /// Whether windows that reach beyond the padded input count.
    pub ceil_mode: bool,
    /// Whether the divisor counts positions in the padding.
    pub count_include_pad: bool,
    /// Divides the sums instead of the number of positions.
    pub divisor_override: Option<u32>,
}

/// The gradient of [`AvgPool2d`]: each position gets a share of the gradient of every window that
/// covers it. Input: `grad_output`. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AvgPool2dGrad {
    /// The forward op.
    pub pool: AvgPool2d,
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

impl AvgPool2d {
    /// Windows of `window` by `window`, `stride` apart, without padding.
    pub fn new(window: usize, stride: usize) -> Self {
        AvgPool2d {
            window: [window; 2],
            stride: [stride; 2],
            padding: [0; 4],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }

    fn geometry(
        &self,
        op: &'static str,
        inputs: &[TensorType],
        input: [usize; 2],
    ) -> Result<Geometry> {
        if self.divisor_override == Some(0) {
            let problem = "divisor_override must be at least 1";
            return Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem));
        }
        let AvgPool2d { window, stride, padding, ceil_mode, .. } = *self;
        Windows { window, stride, padding, dilation: [1; 2], ceil_mode }.on(op, inputs, input)
    }

    /// What the sums over window `o` are divided by along `axis`.
    fn counted(&self, g: &Geometry, axis: usize, o: usize) -> usize {
        if let Some(divisor) = self.divisor_override {
            return [1, divisor as usize][axis];
        }
        if !self.count_include_pad {
            return g.covered(axis, o).len();
        }
        let start = o * g.stride[axis];
        g.window[axis].min(g.before[axis] + g.input[axis] + g.after[axis] - start)
    }

    /// For each window along the width, what its sum over the columns is multiplied by.
    fn column_factors(&self, g: &Geometry, factors: &mut [f32]) {
        for (x, factor) in factors.iter_mut().enumerate() {
            *factor = 1.0 / self.counted(g, 1, x) as f32;
        }
    }

    /// The oracle's windows: each with its index in the output, its divisor, and the index in the
    /// input of each position that it covers.
    fn each_window(
        &self,
        input: [usize; 4],
        output: [usize; 2],
        mut visit: impl FnMut(usize, f64, &[usize]),
    ) {
        let [batch, channels, height, width] = input;
        let [top, bottom, left, right] = self.padding;
        let mut o = 0;
        for plane in 0..batch * channels {
            for y in 0..output[0] {
                for x in 0..output[1] {
                    let (mut padded, mut inside) = (0, vec![]);
                    for i in 0..self.window[0] {
                        for j in 0..self.window[1] {
                            let (row, column) = (y * self.stride[0] + i, x * self.stride[1] + j);
                            if row < top + height + bottom && column < left + width + right {
                                padded += 1;
                            }
                            if (top..top + height).contains(&row)
                                && (left..left + width).contains(&column)
                            {
                                inside.push((plane * height + row - top) * width + column - left);
                            }
                        }
                    }
                    let counted = if self.count_include_pad { padded } else { inside.len() };
                    let divisor = self.divisor_override.map_or(counted as f64, f64::from);
                    visit(o, divisor, &inside);
                    o += 1;
                }
            }
        }
    }
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        let [_, _, height, width] = nchw(self.name(), &inputs[0])?;
        let g = self.geometry(self.name(), inputs, [height, width])?;
        Ok(vec![g.output_type(self.name(), &inputs[0])?])
    }

    fn cost(&self, types: &Types) -> Cost {
        let window = (self.window[0] * self.window[1]) as u64;
        Cost::with_flops(types, window * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        self.window[0] * self.window[1]
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let [_, _, height, width] = nchw(self.name(), g.ty(g.input(0)))?;
        let grad = AvgPool2dGrad { pool: *self, input: [height, width] };
        g.emit_grad(0, grad, &[g.grad_output(0)?])
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let input = &io.inputs[0];
        let output = &mut io.outputs[0];
        let sizes = [output.dims()[2], output.dims()[3]];
        self.each_window([0, 1, 2, 3].map(|i| input.dims()[i]), sizes, |o, divisor, inside| {
            output.data[o] = inside.iter().map(|&i| input.data[i]).sum::<f64>() / divisor;
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.output(0)[3]
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = self.accepted(io.types) else { return };
        let factors = &mut io.scratch[..g.output[1]];
        self.column_factors(&g, factors);
        let factors = &*factors;
        io.outputs[0]
            .par_chunks_mut(g.output_plane())
            .zip(io.inputs[0].par_chunks(g.input_plane()))
            .with_min_len(planes_per_job(&g))
            .for_each(|(output, input)| {
                vectorised(|| self.plane(&g, factors, input, output));
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.accepted(types)?;
        Ok(vec![variant(self.name(), self, &g, types, adapter)?])
    }
}

/// The average of every window, by a thread each. `pool` says what counts where the windows slide.
pub(super) fn variant(
    op: &'static str,
    pool: &AvgPool2d,
    g: &Geometry,
    types: &Types,
    adapter: &Adapter,
) -> Result<Variant> {
    let operands = [
        ("input", Operand::Input(0), g.input_plane()),
        ("output", Operand::Output(0), g.output_plane()),
    ];
    let dispatch = |items| pool.divides(g.dispatch(shader!("pool/avg.wgsl"), items));
    let work = Work::Threads(g.output_plane());
    by_planes(op, adapter, planes(types.input(0)), &operands, work, dispatch)
}

/// The gradient of every input element from the windows that cover it.
pub(super) fn grad_variant(
    op: &'static str,
    pool: &AvgPool2d,
    g: &Geometry,
    types: &Types,
    adapter: &Adapter,
) -> Result<Variant> {
    let operands = [
        ("grad_output", Operand::Input(0), g.output_plane()),
        ("grad_input", Operand::Output(0), g.input_plane()),
    ];
    let dispatch = |items| pool.divides(g.dispatch(shader!("pool/avg_grad.wgsl"), items));
    let work = Work::Threads(g.input_plane());
    by_planes(op, adapter, planes(types.input(0)), &operands, work, dispatch)
}

impl AvgPool2d {
    fn accepted(&self, types: &Types) -> Result<Geometry> {
        let [_, _, height, width] = nchw(self.name(), &types.inputs[0])?;
        self.geometry(self.name(), &types.inputs, [height, width])
    }

    fn divides(&self, dispatch: Dispatch) -> Dispatch {
        dispatch
            .constant("COUNT_PADDING", self.count_include_pad)
            .constant("DIVISOR", self.divisor_override.unwrap_or(0))
    }

    #[inline(always)]
    fn plane(&self, g: &Geometry, factors: &[f32], input: &[f32], output: &mut [f32]) {
        let width = g.input[1];
        for (y, sums) in output.chunks_mut(g.output[1]).enumerate() {
            sums.fill(0.0);
            for row in g.covered(0, y).map(|row| &input[row * width..(row + 1) * width]) {
                if let [sum] = sums {
                    *sum += row[g.covered(1, 0)].iter().sum::<f32>();
                    continue;
                }
                for k in 0..g.window[1] {
                    let (windows, column) = g.inside(k);
                    if windows.is_empty() {
                        continue;
                    }
                    let (sums, values) = (&mut sums[windows], &row[column..]);
                    match g.stride[1] {
                        1 => add::<1>(sums, values),
                        2 => add::<2>(sums, values),
                        s => {
                            let pairs = sums.iter_mut().zip(values.iter().step_by(s));
                            pairs.for_each(|(sum, value)| *sum += value);
                        }
                    }
                }
            }
            let rows = 1.0 / self.counted(g, 0, y) as f32;
            sums.iter_mut().zip(factors).for_each(|(sum, columns)| *sum *= rows * columns);
        }
    }
}

/// `sums[o] += values[S o]`; the constant stride lets the compiler vectorise.
fn add<const S: usize>(sums: &mut [f32], values: &[f32]) {
    let whole = sums.len().min(values.len() / S);
    let (head, tail) = sums.split_at_mut(whole);
    head.iter_mut().zip(values.chunks_exact(S)).for_each(|(sum, value)| *sum += value[0]);
    if let Some(sum) = tail.first_mut() {
        *sum += values[whole * S];
    }
}

impl AvgPool2dGrad {
    fn geometry(&self, inputs: &[TensorType]) -> Result<Geometry> {
        self.pool.geometry(self.name(), inputs, self.input)
    }
}

impl Op for AvgPool2dGrad {
    fn name(&self) -> &'static str {
        "avg_pool2d_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        let [batch, channels, height, width] = nchw(self.name(), &inputs[0])?;
        let g = self.geometry(inputs)?;
        if g.output != [height, width] {
            let problem =
                format!("needs a grad_output with planes of {}x{}", g.output[0], g.output[1]);
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        Ok(vec![TensorType::f32([batch, channels, self.input[0], self.input[1]])])
    }

    fn cost(&self, types: &Types) -> Cost {
        let window = (self.pool.window[0] * self.pool.window[1]) as u64;
        Cost::with_flops(types, window * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        2 + self.pool.window[0].div_ceil(self.pool.stride[0])
            * self.pool.window[1].div_ceil(self.pool.stride[1])
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let grads = &io.inputs[0];
        let output = [grads.dims()[2], grads.dims()[3]];
        let grad_input = &mut io.outputs[0];
        let input = [0, 1, 2, 3].map(|i| grad_input.dims()[i]);
        self.pool.each_window(input, output, |o, divisor, inside| {
            for &i in inside {
                grad_input.data[i] += grads.data[o] / divisor;
            }
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.input(0)[3]
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = self.geometry(&io.types.inputs) else { return };
        let factors = &mut io.scratch[..g.output[1]];
        self.pool.column_factors(&g, factors);
        let factors = &*factors;
        io.outputs[0]
            .par_chunks_mut(g.input_plane())
            .zip(io.inputs[0].par_chunks(g.output_plane()))
            .with_min_len(planes_per_job(&g))
            .for_each(|(grad_input, grad_output)| {
                vectorised(|| self.plane(&g, factors, grad_output, grad_input));
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.geometry(&types.inputs)?;
        Ok(vec![grad_variant(self.name(), &self.pool, &g, types, adapter)?])
    }
}

impl AvgPool2dGrad {
    #[inline(always)]
    fn plane(&self, g: &Geometry, factors: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
        let width = g.input[1];
        grad_input.fill(0.0);
        for (y, grads) in grad_output.chunks(g.output[1]).enumerate() {
            let rows = 1.0 / self.pool.counted(g, 0, y) as f32;
            for row in g.covered(0, y) {
                let sums = &mut grad_input[row * width..(row + 1) * width];
                if let ([grad], [columns]) = (grads, factors) {
                    let share = grad * (rows * columns);
                    sums[g.covered(1, 0)].iter_mut().for_each(|sum| *sum += share);
                    continue;
                }
                for k in 0..g.window[1] {
                    let (windows, column) = g.inside(k);
                    if windows.is_empty() {
                        continue;
                    }
                    let shares = grads[windows.clone()].iter().zip(&factors[windows]);
                    let sums = sums[column..].iter_mut().step_by(g.stride[1]);
                    sums.zip(shares).for_each(|(sum, (grad, f))| *sum += grad * (rows * f));
                }
            }
        }
    }
}
