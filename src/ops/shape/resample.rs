//! Upsampling, and padding with what is there.

use std::ops::Range;

use rayon::prelude::*;

use super::line::{Line, Map};
use super::strided::{expect_ranks, indexable};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Shader, Variant, scaled};
use crate::ops::reduce::parts::{aligned, fitting};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::{Shape, TensorType};

/// Resamples the last two axes: upsampling by nearest neighbours or bilinearly, and padding by
/// reflection or repetition. Input: `[..., height, width]`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Resample {
    /// What becomes of the axis before the last.
    pub height: Line,
    /// What becomes of the last axis.
    pub width: Line,
}

/// The gradient of [`Resample`]: each input gets, from the outputs that take from it, its share of
/// their gradients. Input: `grad_output`. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResampleGrad {
    /// The forward op.
    pub resample: Resample,
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    items: u32,
    first_row: u32,
    origin: u32,
    start: u32,
    vertical: [u32; 7],
    horizontal: [u32; 7],
}

/// The planes of a tensor, and their height and width.
fn planes(dims: &[usize]) -> [usize; 3] {
    let (outer, plane) = dims.split_at(dims.len() - 2);
    [outer.iter().product(), plane[0], plane[1]]
}

impl Resample {
    fn maps(&self, op: &'static str, inputs: &[TensorType], plane: [usize; 2]) -> Result<[Map; 2]> {
        let map = |line: Line, n| {
            line.map(n).map_err(|e| Error::shape(op, inputs.iter().map(|t| &t.shape), e))
        };
        Ok([map(self.height, plane[0])?, map(self.width, plane[1])?])
    }

    /// The maps of a tensor of at least two axes.
    fn of(&self, op: &'static str, inputs: &[TensorType]) -> Result<[Map; 2]> {
        expect_inputs(op, inputs, 1..=1)?;
        expect_f32(op, inputs)?;
        expect_ranks(op, inputs)?;
        if inputs[0].shape.rank() < 2 {
            let problem = "needs a tensor of at least two axes";
            return Err(Error::shape(op, [&inputs[0].shape], problem));
        }
        let [_, height, width] = planes(inputs[0].dims());
        self.maps(op, inputs, [height, width])
    }
}

/// A tensor of planes as a kernel sees it: its name in the shader, and the extents of a plane.
struct Side {
    name: &'static str,
    operand: Operand,
    height: usize,
    width: usize,
}

/// Cuts the rows of all planes into runs that fit a binding together with what they need of the other
/// side: `spans` says it for each row of a plane. The rows written, and those that are read.
fn pieces(
    adapter: &Adapter,
    planes: usize,
    [written, read]: [&Side; 2],
    spans: &[Range<usize>],
) -> Option<Vec<[Range<usize>; 2]>> {
    let rows = planes * written.height;
    let fits = |written_rows: usize, read_rows: usize| {
        fitting(adapter, written.width, written_rows) >= written_rows
            && fitting(adapter, read.width, read_rows) >= read_rows
    };
    if fits(rows, planes * read.height) {
        return Some(vec![[0..rows, 0..planes * read.height]]);
    }
    // Whole planes where they fit, which needs no look at each row.
    let plane = fitting(adapter, written.height * written.width, planes).min(fitting(
        adapter,
        read.height * read.width,
        planes,
    ));
    if plane > 0 {
        let firsts = (0..planes).step_by(plane).map(|p| p..(p + plane).min(planes));
        return Some(
            firsts.map(|p| [scaled(&p, written.height), scaled(&p, read.height)]).collect(),
        );
    }
    let mut pieces: Vec<[Range<usize>; 2]> = vec![];
    for row in 0..rows {
        let (plane, span) = (row / written.height * read.height, &spans[row % written.height]);
        let span = plane + span.start..plane + span.end;
        if !fits(1, span.len()) {
            return None;
        }
        match pieces.last_mut() {
            Some([rows, needed])
                if fits(
                    row + 1 - rows.start,
                    needed.end.max(span.end) - needed.start.min(span.start),
                ) =>
            {
                rows.end = row + 1;
                *needed = needed.start.min(span.start)..needed.end.max(span.end);
            }
            _ => pieces.push([row..row + 1, span]),
        }
    }
    Some(pieces)
}

/// One dispatch for each of [`pieces`].
fn dispatches(
    op: &'static str,
    shader: Shader,
    maps: &[Map; 2],
    [written, read]: [&Side; 2],
    spans: &[Range<usize>],
    planes: usize,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let [vertical, horizontal] = maps.map(|map| map.code());
    let pieces = pieces(adapter, planes, [written, read], spans).ok_or_else(|| Error::Memory {
        what: format!("what one row of {op} is made of"),
        needed: (read.height * read.width * 4) as u64,
        device: adapter.name.clone(),
        available: adapter.max_binding_bytes,
        remedy: "use smaller images, or an adapter with larger storage bindings".into(),
    })?;
    let dispatches = pieces.into_iter().map(|[rows, needed]| {
        let items = rows.len() * written.width;
        let (bound, start) = aligned(scaled(&rows, written.width));
        let (window, skipped) = aligned(scaled(&needed, read.width));
        let params = Params {
            items: items as u32,
            first_row: rows.start as u32,
            origin: (needed.start * read.width - skipped) as u32,
            start: start as u32,
            vertical: vertical.1,
            horizontal: horizontal.1,
        };
        Dispatch::new(shader)
            .constant("MODE_Y", vertical.0)
            .constant("MODE_X", horizontal.0)
            .bind_range(written.name, written.operand, bound)
            .bind_range(read.name, read.operand, window)
            .params(&params)
            .threads(items)
    });
    Ok(vec![Variant::new("gather", dispatches.collect())])
}

/// For the oracles: calls `f` for each pair of an output and an input that it takes from, with the
/// input's weight.
fn each(
    resample: &Resample,
    input: &[usize],
    output: &[usize],
    mut f: impl FnMut(usize, usize, f64),
) {
    let [planes, height, width] = planes(input);
    let [_, output_height, output_width] = self::planes(output);
    for plane in 0..planes {
        for y in 0..output_height {
            for x in 0..output_width {
                let o = (plane * output_height + y) * output_width + x;
                for (row, weight_y) in naive_taps(resample.height, height, y) {
                    for (column, weight_x) in naive_taps(resample.width, width, x) {
                        f(o, (plane * height + row) * width + column, weight_y * weight_x);
                    }
                }
            }
        }
    }
}

/// The inputs that output `i` of a line of `n` takes from, with their weights, by the formulas.
fn naive_taps(line: Line, n: usize, i: usize) -> [(usize, f64); 2] {
    let last = n as i64 - 1;
    let one = |at: i64| [(at as usize, 1.0), (at as usize, 0.0)];
    let position = match line {
        Line::Keep => return one(i as i64),
        Line::Replicate { before, .. } => return one((i as i64 - before as i64).clamp(0, last)),
        Line::Reflect { before, .. } => {
            let at = (i as i64 - before as i64).abs();
            return one(if at > last { 2 * last - at } else { at });
        }
        Line::Nearest { ratio: [a, b], .. } => return one(((i * a / b) as i64).min(last)),
        Line::Linear { outputs: 1, align_corners: true, .. } => 0.0,
        Line::Linear { outputs, align_corners: true, .. } => {
            i as f64 * (n as f64 - 1.0) / (outputs as f64 - 1.0)
        }
        Line::Linear { ratio: [a, b], .. } => (i as f64 + 0.5) * a as f64 / b as f64 - 0.5,
    };
    let position = position.clamp(0.0, last as f64);
    let first = position.floor();
    let second = (first + 1.0).min(last as f64);
    [(first as usize, 1.0 - (position - first)), (second as usize, position - first)]
}

impl Op for Resample {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let maps = self.of(self.name(), inputs)?;
        let mut dims = inputs[0].dims().to_vec();
        let rank = dims.len();
        dims[rank - 2] = maps[0].outputs;
        dims[rank - 1] = maps[1].outputs;
        let shape = Shape::new(dims);
        if shape.checked_elements().is_none() {
            let problem = format!("the output {shape} is too large");
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        Ok(vec![TensorType::f32(shape)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 6 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        4
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let [_, height, width] = planes(g.ty(g.input(0)).dims());
        let grad = ResampleGrad { resample: *self, input: [height, width] };
        g.emit_grad(0, grad, &[g.grad_output(0)?])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, output) = (&io.inputs[0], &mut io.outputs[0]);
        let dims = output.dims().to_vec();
        each(self, input.dims(), &dims, |o, i, weight| output.data[o] += weight * input.data[i]);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok([vertical, horizontal]) = self.of(self.name(), &io.types.inputs) else { return };
        let (width, output_width) = (horizontal.n, horizontal.outputs);
        let input = io.inputs[0];
        io.outputs[0].par_chunks_mut(output_width).enumerate().with_min_len(64).for_each(
            |(line, output)| {
                let (plane, y) = (line / vertical.outputs, vertical.taps(line % vertical.outputs));
                let row = |r: usize| &input[(plane * vertical.n + r) * width..][..width];
                let (upper, lower) = (row(y.first), row(y.second));
                for (x, value) in output.iter_mut().enumerate() {
                    let x = horizontal.taps(x);
                    let mix =
                        |row: &[f32]| (1.0 - x.weight) * row[x.first] + x.weight * row[x.second];
                    *value = if y.weight == 0.0 {
                        mix(upper)
                    } else {
                        (1.0 - y.weight) * mix(upper) + y.weight * mix(lower)
                    };
                }
            },
        );
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let maps = self.of(self.name(), &types.inputs)?;
        let [count, height, width] = planes(types.input(0));
        let read = Side { name: "input", operand: Operand::Input(0), height, width };
        let written = Side {
            name: "output",
            operand: Operand::Output(0),
            height: maps[0].outputs,
            width: maps[1].outputs,
        };
        let shader = crate::kernel::shader!("shape/resample.wgsl");
        let spans = maps[0].spans();
        dispatches(self.name(), shader, &maps, [&written, &read], &spans, count, adapter)
    }
}

impl Op for ResampleGrad {
    fn name(&self) -> &'static str {
        "resample_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        expect_ranks(self.name(), inputs)?;
        let maps = self.resample.maps(self.name(), inputs, self.input)?;
        let mut dims = inputs[0].dims().to_vec();
        let rank = dims.len();
        if rank < 2 || dims[rank - 2..] != maps.map(|m| m.outputs) {
            let problem = format!(
                "needs a grad_output with planes of {}x{}",
                maps[0].outputs, maps[1].outputs
            );
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        dims[rank - 2..].copy_from_slice(&self.input);
        Ok(vec![TensorType::f32(dims)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 8 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        let maps = self.resample.maps(self.name(), &types.inputs, self.input);
        maps.map_or(1, |maps| maps[0].most_takers() * maps[1].most_takers())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad_output, grad_input) = (&io.inputs[0], &mut io.outputs[0]);
        let dims = grad_input.dims().to_vec();
        each(&self.resample, &dims, grad_output.dims(), |o, i, weight| {
            grad_input.data[i] += weight * grad_output.data[o];
        });
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok([vertical, horizontal]) =
            self.resample.maps(self.name(), &io.types.inputs, self.input)
        else {
            return;
        };
        let (width, output_width) = (horizontal.n, horizontal.outputs);
        let (plane, output_plane) = (vertical.n * width, vertical.outputs * output_width);
        let planes = io.outputs[0].par_chunks_mut(plane).zip(io.inputs[0].par_chunks(output_plane));
        planes.with_min_len((4096 / output_plane).max(1)).for_each(|(grad_input, grad_output)| {
            grad_input.fill(0.0);
            for (y, grads) in grad_output.chunks(output_width).enumerate() {
                let y = vertical.taps(y);
                for (row, weight) in [(y.first, 1.0 - y.weight), (y.second, y.weight)] {
                    if weight == 0.0 {
                        continue;
                    }
                    let sums = &mut grad_input[row * width..][..width];
                    for (x, grad) in grads.iter().enumerate() {
                        let x = horizontal.taps(x);
                        sums[x.first] += weight * (1.0 - x.weight) * grad;
                        sums[x.second] += weight * x.weight * grad;
                    }
                }
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let maps = self.resample.maps(self.name(), &types.inputs, self.input)?;
        let [count, height, width] = planes(types.output(0));
        let read = Side {
            name: "grad_output",
            operand: Operand::Input(0),
            height: maps[0].outputs,
            width: maps[1].outputs,
        };
        let written = Side { name: "grad_input", operand: Operand::Output(0), height, width };
        let shader = crate::kernel::shader!("shape/resample_grad.wgsl");
        let spans = maps[0].spans_of_inputs();
        dispatches(self.name(), shader, &maps, [&written, &read], &spans, count, adapter)
    }
}
