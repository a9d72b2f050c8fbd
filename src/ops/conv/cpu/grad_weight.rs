//! The gradient of the weight: `grad_weight[o, c, u, v] = sum over images and output positions p of
//! grad_output[o, p] * input[c, p * stride + (u, v) * dilation - padding]`.
//!
//! A [`Product`] again: the gradients of an output channel are its row of weights, the positions its
//! taps, and the vectors lie along the channels of an input pixel. So the images are laid out with
//! their channels last, where the taps of a kernel row, too, are neighbours: `v * channels + c`.
//!
//! Images are taken a wave at a time, as many as a fixed amount of memory holds: laid out on all
//! threads, then summed up, each thread some rows of the weight. The order of summation depends on
//! the shapes alone.

use rayon::prelude::*;

use super::depthwise;
use super::product::{Product, SLACK, strip_rows};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// Elements that a wave may take, where more than one image fits.
const WAVE: usize = 1 << 20;
/// Positions that are summed up in one go, in single precision.
const DEPTH: usize = 1024;
/// Positions of an image from which on its gradients are read where they are. Those of smaller images
/// are brought together: to add to the sums in memory costs as much as some positions.
const ENOUGH: usize = 512;

/// How a wave of images is laid out.
#[derive(Clone, Copy)]
struct Layout {
    /// Input pixels that some tap of some position reads, from the padding's corner on.
    rows: usize,
    columns: usize,
    /// Elements of a group of an image.
    group: usize,
    images: usize,
    /// Taps that lie side by side: a row of the kernel, or one tap where a dilation parts them.
    run: usize,
}

impl Layout {
    fn of(g: &Geometry) -> Self {
        let [rows, columns] = [0, 1].map(|axis| {
            (g.output[axis] - 1) * g.stride[axis] + (g.kernel[axis] - 1) * g.dilation[axis] + 1
        });
        let run = if g.dilation[1] == 1 { g.kernel[1] } else { 1 };
        let group = rows * columns * g.group_inputs;
        let image = g.groups * group + g.output_image();
        let images = (WAVE / image).clamp(1, g.batch);
        Layout { rows, columns, group, images, run }
    }

    fn inputs(&self, g: &Geometry) -> usize {
        self.images * g.groups * self.group + SLACK
    }

    /// Positions of a wave.
    fn positions(&self, g: &Geometry) -> usize {
        self.images * g.output_pixels()
    }

    /// Elements of the gradients that are brought together.
    fn grads(&self, g: &Geometry) -> usize {
        if g.output_pixels() >= ENOUGH { 0 } else { g.outputs() * self.positions(g) }
    }
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    let layout = Layout::of(g);
    let (inputs, positions) = (layout.inputs(g), layout.positions(g));
    positions + inputs + layout.grads(g) + g.outputs() * g.depth()
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::grad_weight(g, io);
    }
    let (input, grad) = (io.inputs[0], io.inputs[1]);
    let layout = Layout::of(g);
    let (taps, scratch) = io.scratch.split_at_mut(layout.positions(g));
    let (inputs, scratch) = scratch.split_at_mut(layout.inputs(g));
    let (grads, sums) = scratch.split_at_mut(layout.grads(g));
    let sums = &mut sums[..g.outputs() * g.depth()];
    let taps: &mut [u32] = bytemuck::cast_slice_mut(taps);
    list_taps(g, &layout, taps);
    let taps = &*taps;
    sums.fill(0.0);
    for first in (0..g.batch).step_by(layout.images) {
        let images = layout.images.min(g.batch - first);
        let input = &input[first * g.input_image()..][..images * g.input_image()];
        lay_out_inputs(g, &layout, input, inputs);
        let taps = &taps[..images * g.output_pixels()];
        let grad = &grad[first * g.output_image()..];
        let (grads, step) = if grads.is_empty() {
            (grad, g.output_pixels())
        } else {
            let grads = &mut grads[..g.outputs() * taps.len()];
            lay_out_grads(g, grad, grads);
            (&*grads, taps.len())
        };
        let wave = Wave { g, layout, taps, inputs, grads, step };
        let groups = sums.par_chunks_mut(g.group_outputs * g.depth()).enumerate();
        let strips = groups.flat_map(|(group, sums)| {
            // One at a time to the thread that is free.
            let strips = sums.par_chunks_mut(strip_rows() * g.depth()).with_max_len(1).enumerate();
            strips.map(move |(strip, sums)| (group * g.group_outputs + strip * strip_rows(), sums))
        });
        strips.for_each(|(output, sums)| wave.add(output, sums));
    }
    let sums = sums.par_chunks(g.depth());
    let weights = io.outputs[0].par_chunks_mut(g.depth()).zip(sums);
    weights.for_each(|(weight, sums)| turn_back(g, sums, weight));
}

/// Where the first tap of each position is.
fn list_taps(g: &Geometry, layout: &Layout, taps: &mut [u32]) {
    for (image, taps) in taps.chunks_mut(g.output_pixels()).enumerate() {
        for (i, taps) in taps.chunks_mut(g.output[1]).enumerate() {
            for (j, tap) in taps.iter_mut().enumerate() {
                let pixel = i * g.stride[0] * layout.columns + j * g.stride[1];
                *tap = (image * g.groups * layout.group + pixel * g.group_inputs) as u32;
            }
        }
    }
}

/// `inputs[image, group, row, column, channel]`, with the padding.
fn lay_out_inputs(g: &Geometry, layout: &Layout, images: &[f32], inputs: &mut [f32]) {
    let channels = g.group_inputs;
    let count = images.len() / g.input_image() * g.groups * layout.rows;
    let lines = inputs.par_chunks_exact_mut(layout.columns * channels).take(count).enumerate();
    lines.for_each(|(line, to)| {
        let (item, row) = (line / layout.rows, line % layout.rows);
        to.fill(0.0);
        let inside = row.checked_sub(g.padding[0]).filter(|&row| row < g.input[0]);
        let Some((row, to)) = inside.zip(to.get_mut(g.padding[1] * channels..)) else { return };
        for c in 0..channels {
            let from = (item * channels + c) * g.input_pixels() + row * g.input[1];
            let from = &images[from..][..g.input[1]];
            to.chunks_exact_mut(channels).zip(from).for_each(|(pixel, &x)| pixel[c] = x);
        }
    });
}

/// `grads[output, image, position]`.
fn lay_out_grads(g: &Geometry, images: &[f32], grads: &mut [f32]) {
    let pixels = g.output_pixels();
    let rows = grads.par_chunks_mut(grads.len() / g.outputs()).enumerate();
    rows.for_each(|(output, row)| {
        for (to, image) in row.chunks_mut(pixels).zip(images.chunks(g.output_image())) {
            to.copy_from_slice(&image[output * pixels..][..pixels]);
        }
    });
}

/// Images laid out, to be summed up.
struct Wave<'a> {
    g: &'a Geometry,
    layout: Layout,
    taps: &'a [u32],
    inputs: &'a [f32],
    /// An output channel's are `step` elements, of one image or of all.
    grads: &'a [f32],
    step: usize,
}

impl Wave<'_> {
    /// Adds to `sums[output, u, v, channel]`, for output channels of one group, from `output` on.
    fn add(&self, output: usize, sums: &mut [f32]) {
        let (g, layout, step) = (self.g, &self.layout, self.step);
        let width = layout.run * g.group_inputs;
        let inputs = &self.inputs[output / g.group_outputs * layout.group..];
        let depth = step.div_ceil(step.div_ceil(DEPTH));
        let parts = self.taps.chunks(step).enumerate().flat_map(|(image, taps)| {
            let first = image * g.output_image() + output * step;
            taps.chunks(depth).enumerate().map(move |(part, taps)| (first + part * depth, taps))
        });
        for (first, taps) in parts {
            for run in 0..g.taps() / layout.run {
                let (u, v) = (run * layout.run / g.kernel[1], run * layout.run % g.kernel[1]);
                let pixel = u * g.dilation[0] * layout.columns + v * g.dilation[1];
                Product {
                    weight: &self.grads[first..],
                    step,
                    rows: sums.len() / g.depth(),
                    taps,
                    input: &inputs[pixel * g.group_inputs..],
                    positions: width,
                    bias: None,
                    write: &mut |row, position, values| {
                        let sums = &mut sums[row * g.depth() + run * width + position..];
                        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                    },
                }
                .run();
            }
        }
    }
}

/// From `sums[u, v, channel]` to `weight[channel, u, v]`.
fn turn_back(g: &Geometry, sums: &[f32], weight: &mut [f32]) {
    for (c, weight) in weight.chunks_mut(g.taps()).enumerate() {
        let sums = sums[c..].iter().step_by(g.group_inputs);
        weight.iter_mut().zip(sums).for_each(|(w, &sum)| *w = sum);
    }
}
