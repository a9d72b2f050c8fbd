//! The gradient of the input. For a stride of 1 it is a convolution of the output's gradient with the
//! mirrored kernel; for a stride of `s` it is one such convolution for each of the `s * s` phases of
//! the input's pixels, with the taps that reach them.

use rayon::prelude::*;

use super::forward::rows_of;
use super::product::{Product, ROWS, SLACK, Tap, pack};
use super::{depthwise, share_out, slots};
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

fn slot_len(g: &Geometry) -> usize {
    g.group_outputs * plane_len(&axes(g)) + SLACK
}

/// Taps of all phases together.
fn tap_count(g: &Geometry) -> usize {
    g.group_outputs * g.taps()
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    2 * tap_count(g) + g.inputs() * tap_count(g) + slots() * slot_len(g)
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::grad_input(g, io);
    }
    let (grad, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let output = &mut *io.outputs[0];
    let (taps, scratch) = io.scratch.split_at_mut(2 * tap_count(g));
    let taps: &mut [Tap] = bytemuck::cast_slice_mut(taps);
    list_taps(g, taps);
    let taps = &*taps;
    let axes = axes(g);
    let group_weights = g.group_inputs * tap_count(g);
    let (packed, scratch) = scratch.split_at_mut(g.groups * group_weights);
    for (weight, packed) in weight.chunks(group_weights).zip(packed.chunks_mut(group_weights)) {
        let mut rest = packed;
        for (.., taps) in phases_with_taps(g, &axes, taps) {
            let (here, after) = rest.split_at_mut(g.group_inputs * taps.len());
            pack(weight, g.taps(), taps, here);
            rest = after;
        }
    }
    let packed = &*packed;
    let items = g.batch * g.groups;
    let item_len = g.group_inputs * g.input_pixels();
    let channels = |item: usize| {
        &grad[item * g.group_outputs * g.output_pixels()..][..g.group_outputs * g.output_pixels()]
    };
    let group = |item: usize| Group {
        g,
        axes,
        taps,
        weight: &packed[item % g.groups * group_weights..][..group_weights],
        bias: bias.map(|b| &b[item % g.groups * g.group_inputs..][..g.group_inputs]),
    };
    let (slot_len, plane) = (slot_len(g), plane_len(&axes));
    let whole = items - items % slots();
    let (by_image, by_channel) = output.split_at_mut(whole * item_len);
    let images = by_image.chunks_mut(item_len).enumerate();
    share_out(scratch, slot_len, images, |slot, (item, output)| {
        let image = channels(item).chunks(g.output_pixels());
        image.zip(slot.chunks_mut(plane)).for_each(|(c, plane)| fill(&axes, c, plane));
        group(item).inputs(slot, 0, output);
    });
    for (i, output) in by_channel.chunks_mut(item_len).enumerate() {
        let slot = &mut scratch[..slot_len];
        let image = channels(whole + i).par_chunks(g.output_pixels());
        let filled = slot.par_chunks_mut(plane).zip(image);
        filled.for_each(|(plane, c)| fill(&axes, c, plane));
        let (slot, group) = (&*slot, group(whole + i));
        let rows = output.par_chunks_mut(ROWS * g.input_pixels()).enumerate();
        rows.for_each(|(part, output)| group.inputs(slot, part * ROWS, output));
    }
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

/// The taps of all phases, one phase after the other, by output channel.
fn list_taps(g: &Geometry, taps: &mut [Tap]) {
    let [rows, columns] = axes(g);
    let axes = [rows, columns];
    let (pitch, plane) = (columns.pitch(), plane_len(&axes));
    let mut places = taps.iter_mut();
    for (a, b) in phases(&axes) {
        for o in 0..g.group_outputs {
            for (u, i) in rows.taps(a.phase) {
                for (v, j) in columns.taps(b.phase) {
                    let weight = (o * g.depth() + u * g.kernel[1] + v) as u32;
                    let input = (o * plane + i * pitch + j) as u32;
                    if let Some(place) = places.next() {
                        *place = Tap { weight, input };
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

/// The phases, each with its taps.
fn phases_with_taps<'a>(
    g: &Geometry,
    axes: &[Axis; 2],
    mut taps: &'a [Tap],
) -> impl Iterator<Item = (Phase, Phase, &'a [Tap])> {
    let ([rows, columns], outputs) = (*axes, g.group_outputs);
    phases(axes).map(move |(a, b)| {
        let count = rows.taps(a.phase).count() * columns.taps(b.phase).count();
        let (here, rest) = taps.split_at(outputs * count);
        taps = rest;
        (a, b, here)
    })
}

/// One group of channels of one image.
struct Group<'a> {
    g: &'a Geometry,
    axes: [Axis; 2],
    taps: &'a [Tap],
    /// [Packed](pack), one phase after the other.
    weight: &'a [f32],
    /// What is added to the channels: in the transposed convolution.
    bias: Option<&'a [f32]>,
}

impl Group<'_> {
    /// Input channels from `first` on, a multiple of [`ROWS`], as many as `output` holds.
    fn inputs(&self, slot: &[f32], first: usize, output: &mut [f32]) {
        let [rows, columns] = &self.axes;
        let (pixels, width, step) = (self.g.input_pixels(), self.g.input[1], columns.pitch());
        let mut weight = self.weight;
        for (a, b, taps) in phases_with_taps(self.g, &self.axes, self.taps) {
            let (here, rest) = weight.split_at(self.g.group_inputs * taps.len());
            weight = rest;
            if a.count == 0 || b.count == 0 {
                continue;
            }
            let (top, left) = (rows.pixel(a), columns.pixel(b));
            Product {
                weight: &here[first * taps.len()..],
                rows: output.len() / pixels,
                taps,
                input: &slot[(a.first - rows.start) * step + b.first - columns.start..],
                positions: (a.count - 1) * step + b.count,
                bias: self.bias.map(|bias| &bias[first..]),
                write: &mut |row, position, values| {
                    let output = &mut output[row * pixels..][..pixels];
                    rows_of(step, b.count, position, values, |i, j, values| {
                        let row = top + i * rows.stride;
                        let to = &mut output[row * width + left + j * columns.stride..];
                        if columns.stride == 1 {
                            to[..values.len()].copy_from_slice(values);
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
