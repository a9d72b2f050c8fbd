//! The gradient of the weight: `grad_weight = sum over images and blocks of grad_output * columns'`.
//!
//! The work is cut into tasks by group, by images and by ranges of the weight's depth. A task sums
//! up its range over its images in order; at the end the sums over the images are added in order.

use std::ops::Range;

use rayon::prelude::*;

use super::im2col::im2col;
use super::{depthwise, parts, share_out, slots};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;
use crate::ops::gemm::cpu::{Matrix, MatrixMut, Threads, gemm};

/// The number of tasks aimed at: enough to keep the threads of a large machine busy. A constant, so
/// that the result does not depend on the machine.
const TASKS: usize = 32;

/// How the work is cut up.
struct Cut {
    /// Ranges of this many rows of the columns.
    depth: usize,
    ranges: usize,
    /// Parts of the batch of this many images.
    images: usize,
    parts: usize,
    /// Pixels of a block.
    pixels: usize,
}

fn cut(g: &Geometry) -> Cut {
    let depth = g.depth().div_ceil(TASKS.div_ceil(g.groups)).clamp(64.min(g.depth()), 512);
    let ranges = g.depth().div_ceil(depth);
    let parts = TASKS.div_ceil(g.groups * ranges).min(g.batch);
    let images = g.batch.div_ceil(parts);
    Cut {
        depth,
        ranges,
        images,
        parts: g.batch.div_ceil(images),
        pixels: 512.min(g.output_pixels()),
    }
}

impl Cut {
    fn range(&self, g: &Geometry, range: usize) -> Range<usize> {
        range * self.depth..((range + 1) * self.depth).min(g.depth())
    }

    fn slot_len(&self) -> usize {
        self.depth * self.pixels
    }

    fn partials(&self, g: &Geometry) -> usize {
        if self.parts == 1 && self.ranges == 1 { 0 } else { self.parts * g.outputs() * g.depth() }
    }
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    let cut = cut(g);
    slots() * cut.slot_len() + cut.partials(g)
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::grad_weight(g, io);
    }
    let (input, grad) = (io.inputs[0], io.inputs[1]);
    let cut = cut(g);
    let (partials, scratch) = io.scratch.split_at_mut(cut.partials(g));
    let grad_weight = &mut *io.outputs[0];
    if partials.is_empty() {
        let groups = grad_weight.chunks_mut(g.group_outputs * g.depth()).enumerate();
        let tasks = groups.map(|(group, sum)| Task { group, depth: 0..g.depth(), part: 0, sum });
        share_out(scratch, cut.slot_len(), tasks, |slot, task| {
            task.run(g, &cut, input, grad, slot);
        });
        return;
    }
    let tasks = tasks(g, &cut, partials);
    share_out(scratch, cut.slot_len(), tasks, |slot, task| task.run(g, &cut, input, grad, slot));
    let partials = &*partials;
    grad_weight.par_chunks_mut(g.depth()).enumerate().for_each(|(output, row)| {
        add_parts(g, &cut, partials, output, row);
    });
}

/// The tasks, each with its place among the partial sums: by group, then range of the depth, then
/// part of the batch, each `[group outputs, range]`.
fn tasks<'a>(
    g: &'a Geometry,
    cut: &'a Cut,
    mut partials: &'a mut [f32],
) -> impl Iterator<Item = Task<'a>> + Send {
    (0..g.groups * cut.ranges * cut.parts).map(move |index| {
        let (group, range) = (index / cut.parts / cut.ranges, index / cut.parts % cut.ranges);
        let depth = cut.range(g, range);
        let rest = std::mem::take(&mut partials);
        let (sum, rest) = rest.split_at_mut(g.group_outputs * depth.len());
        partials = rest;
        Task { group, depth, part: index % cut.parts, sum }
    })
}

/// One row of the weight's gradient: the sums over the parts of the batch, in order.
fn add_parts(g: &Geometry, cut: &Cut, partials: &[f32], output: usize, row: &mut [f32]) {
    let (group, output) = (output / g.group_outputs, output % g.group_outputs);
    for range in 0..cut.ranges {
        let depth = cut.range(g, range);
        let first = (group * g.depth() + depth.start) * g.group_outputs * cut.parts;
        let row = &mut row[depth.clone()];
        for part in 0..cut.parts {
            let place = first + (part * g.group_outputs + output) * depth.len();
            let partial = &partials[place..place + depth.len()];
            if part == 0 {
                row.copy_from_slice(partial);
            } else {
                row.iter_mut().zip(partial).for_each(|(sum, p)| *sum += p);
            }
        }
    }
}

/// A range of the depth of one group's weight, summed over a part of the batch.
struct Task<'a> {
    group: usize,
    depth: Range<usize>,
    part: usize,
    /// `[group outputs, range]`
    sum: &'a mut [f32],
}

impl Task<'_> {
    fn run(self, g: &Geometry, cut: &Cut, input: &[f32], grad: &[f32], slot: &mut [f32]) {
        let all_pixels = g.output_pixels();
        let len = self.depth.len();
        let mut accumulate = false;
        for image in self.part * cut.images..((self.part + 1) * cut.images).min(g.batch) {
            let item = image * g.groups + self.group;
            let image = &input[item * g.group_inputs * g.input_pixels()..]
                [..g.group_inputs * g.input_pixels()];
            let grad = &grad[item * g.group_outputs * all_pixels..][..g.group_outputs * all_pixels];
            for pixels in parts(all_pixels, cut.pixels) {
                let columns = if g.is_pointwise() {
                    Matrix::rows(&image[self.depth.start * all_pixels + pixels.start..], all_pixels)
                } else {
                    im2col(g, image, self.depth.clone(), &pixels, slot, pixels.len());
                    Matrix::rows(slot, pixels.len())
                };
                gemm(
                    [g.group_outputs, len, pixels.len()],
                    Matrix::rows(&grad[pixels.start..], all_pixels),
                    columns.transposed(),
                    MatrixMut::rows(self.sum, len),
                    accumulate,
                    Threads::One,
                );
                accumulate = true;
            }
        }
    }
}
