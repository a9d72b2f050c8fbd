//! The gradient of the input. For a stride of 1 it is a convolution of the output's gradient with the
//! mirrored kernel; for a stride of `s` it is one such convolution for each of the `s * s` phases of
//! the input's pixels, with the taps that reach them.

use std::ops::Range;

use rayon::prelude::*;

use super::depthwise;
use super::product::{Product, strip_rows};
use super::runs::{rows_of, transfer};
use super::waves::Slot;
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// One axis: the output's gradient with zeros before and after it.
#[derive(Clone, Copy, Debug)]
struct Axis {
    stride: usize,
    dilation: usize,
    kernel: usize,
    input: usize,
    padding: usize,
    /// Elements of the gradient, and zeros before them: as many as the furthest tap of the first
    /// pixel needs.
    grad: usize,
    before: usize,
    /// The `q` of the first pixel, less what the taps do not reach.
    start: usize,
}

/// The input pixels of one phase: `stride * q + phase - padding`, for `q` in a range.
#[derive(Clone, Copy, Debug)]
struct Phase {
    phase: usize,
    first: usize,
    count: usize,
}

impl Axis {
    fn of(g: &Geometry, axis: usize) -> Self {
        let (stride, dilation, kernel) = (g.stride[axis], g.dilation[axis], g.kernel[axis]);
        let reach = (kernel - 1) * dilation / stride;
        // Of all phases the last begins first.
        let start = (g.padding[axis].saturating_sub(stride - 1).div_ceil(stride)).min(reach);
        Axis {
            stride,
            dilation,
            kernel,
            input: g.input[axis],
            padding: g.padding[axis],
            grad: g.output[axis],
            before: reach - start,
            start,
        }
    }

    /// Elements with the zeros: as far as the last input pixel reads, and all of the gradient.
    fn extent(&self) -> usize {
        self.before + self.grad.max((self.input - 1 + self.padding) / self.stride + 1)
    }

    /// The distance from one row to the next: the zeros at the end of a row are those at the
    /// beginning of the next.
    fn pitch(&self) -> usize {
        let extent = self.extent();
        extent - self.before.min(extent - self.before - self.grad)
    }

    fn phases(&self) -> impl Iterator<Item = Phase> + Clone + use<> {
        let Axis { stride, input, padding, .. } = *self;
        (0..stride).map(move |phase| {
            let first = padding.saturating_sub(phase).div_ceil(stride);
            let end = (input + padding).saturating_sub(phase).div_ceil(stride);
            Phase { phase, first, count: end.saturating_sub(first) }
        })
    }

    /// The taps that reach a phase, each with the element of the padded gradient that pixel `q`
    /// reads, counted from `q`.
    fn taps(&self, phase: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Axis { stride, dilation, before, start, kernel, .. } = *self;
        (0..kernel)
            .filter(move |u| u * dilation % stride == phase)
            .map(move |u| (u, before + start - u * dilation / stride))
    }

    /// The first pixel of a phase, in the image.
    fn pixel(&self, phase: Phase) -> usize {
        phase.first * self.stride + phase.phase - self.padding
    }
}

fn axes(g: &Geometry) -> [Axis; 2] {
    [Axis::of(g, 0), Axis::of(g, 1)]
}

fn plane_len([rows, columns]: &[Axis; 2]) -> usize {
    (rows.extent() - 1) * columns.pitch() + columns.extent()
}

/// The output's gradient of one group of an image.
fn slot(g: &Geometry) -> Slot {
    Slot { channels: g.group_outputs, plane: plane_len(&axes(g)) }
}

/// Taps of all phases together.
fn tap_count(g: &Geometry) -> usize {
    g.group_outputs * g.taps()
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    (2 + g.inputs()) * tap_count(g) + slot(g).scratch(g.batch * g.groups)
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::grad_input(g, io);
    }
    let (grad, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let count = tap_count(g);
    let (places, scratch) = io.scratch.split_at_mut(2 * count);
    let places: &mut [u32] = bytemuck::cast_slice_mut(places);
    let (weights, taps) = places.split_at_mut(count);
    list_taps(g, weights, taps);
    let taps = &*taps;
    let (turned, scratch) = scratch.split_at_mut(g.inputs() * count);
    turn(g, weight, weights, turned);
    let turned = &*turned;
    let axes = axes(g);
    let lay_out = |item: usize, channel: usize, plane: &mut [f32]| {
        let from = (item * g.group_outputs + channel) * g.output_pixels();
        fill(&axes, &grad[from..][..g.output_pixels()], plane);
    };
    let compute = |item: usize, planes: &[f32], row: usize, output: &mut [f32]| {
        let row = item % g.groups * g.group_inputs + row;
        let (weight, bias) = (&turned[row * count..], bias.map(|bias| &bias[row..]));
        Rows { g, axes, taps, weight, bias }.compute(planes, output);
    };
    let item_len = g.group_inputs * g.input_pixels();
    slot(g).run(scratch, io.outputs[0], item_len, g.input_pixels(), lay_out, compute);
}

/// The weights by input channel: each row the weights of all taps, in the order of the taps.
fn turn(g: &Geometry, weight: &[f32], weights: &[u32], turned: &mut [f32]) {
    /// So many taps of some rows at a time: their weights are neighbours.
    const TAPS: usize = 128;
    let (group_len, count) = (g.group_outputs * g.depth(), weights.len());
    let groups = weight.par_chunks(group_len).zip(turned.par_chunks_mut(g.group_inputs * count));
    let strips = groups.flat_map(|(weight, turned)| {
        let strips = turned.par_chunks_mut(strip_rows() * count).enumerate();
        strips.map(move |(strip, rows)| (&weight[strip * strip_rows() * g.taps()..], rows))
    });
    strips.for_each(|(weight, rows)| {
        for (part, weights) in weights.chunks(TAPS).enumerate() {
            for (channel, row) in rows.chunks_mut(count).enumerate() {
                let weight = &weight[channel * g.taps()..];
                let row = row[part * TAPS..].iter_mut();
                row.zip(weights).for_each(|(w, &place)| *w = weight[place as usize]);
            }
        }
    });
}

/// One channel of the gradient, with zeros around it.
fn fill([rows, columns]: &[Axis; 2], grad: &[f32], plane: &mut [f32]) {
    let mut lines = grad.chunks_exact(columns.grad);
    for (i, row) in plane.chunks_mut(columns.pitch()).enumerate() {
        match (i >= rows.before).then(|| lines.next()).flatten() {
            Some(line) => {
                row[..columns.before].fill(0.0);
                row[columns.before..][..line.len()].copy_from_slice(line);
                row[columns.before + line.len()..].fill(0.0);
            }
            None => row.fill(0.0),
        }
    }
}

/// The taps of all phases, one phase after the other, by output channel: which of an input channel's
/// weights each is, and where the gradient is that it multiplies.
fn list_taps(g: &Geometry, weights: &mut [u32], taps: &mut [u32]) {
    let axes = axes(g);
    let [rows, columns] = &axes;
    let (pitch, plane) = (columns.pitch(), plane_len(&axes));
    let mut places = weights.iter_mut().zip(taps);
    for (a, b) in phases(&axes) {
        for o in 0..g.group_outputs {
            for (u, i) in rows.taps(a.phase) {
                for (v, j) in columns.taps(b.phase) {
                    if let Some((weight, tap)) = places.next() {
                        *weight = (o * g.depth() + u * g.kernel[1] + v) as u32;
                        *tap = (o * plane + i * pitch + j) as u32;
                    }
                }
            }
        }
    }
}

fn phases([rows, columns]: &[Axis; 2]) -> impl Iterator<Item = (Phase, Phase)> + use<> {
    let columns = columns.phases();
    rows.phases().flat_map(move |a| columns.clone().map(move |b| (a, b)))
}

/// The phases, each with its range of the taps.
fn phases_with_taps(
    g: &Geometry,
    axes: &[Axis; 2],
) -> impl Iterator<Item = (Phase, Phase, Range<usize>)> {
    let ([rows, columns], outputs) = (*axes, g.group_outputs);
    let mut first = 0;
    phases(axes).map(move |(a, b)| {
        let count = outputs * rows.taps(a.phase).count() * columns.taps(b.phase).count();
        first += count;
        (a, b, first - count..first)
    })
}

/// Input channels of an image, as many as the output holds.
struct Rows<'a> {
    g: &'a Geometry,
    axes: [Axis; 2],
    taps: &'a [u32],
    /// Of these channels and all after them, as is the bias: the transposed convolution's.
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Rows<'_> {
    fn compute(&self, grad: &[f32], output: &mut [f32]) {
        let [rows, columns] = &self.axes;
        let (pixels, width, step) = (self.g.input_pixels(), self.g.input[1], columns.pitch());
        for (a, b, taps) in phases_with_taps(self.g, &self.axes) {
            if a.count == 0 || b.count == 0 {
                continue;
            }
            let (top, left) = (rows.pixel(a), columns.pixel(b));
            Product {
                weight: &self.weight[taps.start..],
                step: self.taps.len(),
                rows: output.len() / pixels,
                taps: &self.taps[taps],
                input: &grad[(a.first - rows.start) * step + b.first - columns.start..],
                positions: (a.count - 1) * step + b.count,
                bias: self.bias,
                write: &mut |row, position, values| {
                    let output = &mut output[row * pixels..][..pixels];
                    rows_of(step, b.count, position, values, |i, j, values| {
                        let row = top + i * rows.stride;
                        let to = &mut output[row * width + left + j * columns.stride..];
                        if columns.stride == 1 {
                            transfer(values, to, |value| value);
                        } else {
                            let to = to.iter_mut().step_by(columns.stride);
                            to.zip(values).for_each(|(x, &value)| *x = value);
                        }
                    });
                },
            }
            .run();
        }
    }
}
