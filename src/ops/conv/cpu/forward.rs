//! The forward pass: for each block of pixels, `output = weight * columns`.

use rayon::prelude::*;

use super::im2col::im2col;
use super::{BLOCK_OUTPUTS, BLOCK_PIXELS, depthwise, parts, share_out, slots};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;
use crate::ops::gemm::cpu::{Matrix, MatrixMut, Threads, gemm};

/// The elements of one block of columns.
fn slot_len(g: &Geometry) -> usize {
    if g.is_pointwise() { 1 } else { g.depth() * BLOCK_PIXELS.min(g.output_pixels()) }
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() { 0 } else { slots() * slot_len(g) }
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::forward(g, io);
    }
    let (input, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let output = &mut *io.outputs[0];
    let items = g.batch * g.groups;
    let item_len = g.group_outputs * g.output_pixels();
    let group = |item: usize| Group {
        g,
        image: &input[item * g.group_inputs * g.input_pixels()..]
            [..g.group_inputs * g.input_pixels()],
        weight: &weight[item % g.groups * g.group_outputs * g.depth()..]
            [..g.group_outputs * g.depth()],
        bias: bias.map(|b| &b[item % g.groups * g.group_outputs..][..g.group_outputs]),
    };
    let slot_len = slot_len(g);
    let slots = io.scratch.len() / slot_len;
    // As many whole rounds as keep every thread busy; the rest is cut up within the image.
    let whole = items - items % slots;
    let (by_image, by_channel) = output.split_at_mut(whole * item_len);
    let images = by_image.chunks_mut(item_len).enumerate();
    share_out(io.scratch, slot_len, images, |slot, (item, output)| group(item).alone(slot, output));
    for (item, output) in by_channel.chunks_mut(item_len).enumerate() {
        group(whole + item).together(io.scratch, slot_len, output);
    }
}

/// One group of channels of one image.
struct Group<'a> {
    g: &'a Geometry,
    image: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Group<'_> {
    /// The whole group on this thread.
    fn alone(&self, slot: &mut [f32], output: &mut [f32]) {
        for pixels in parts(self.g.output_pixels(), BLOCK_PIXELS) {
            self.columns(slot, &pixels);
            for outputs in parts(self.g.group_outputs, BLOCK_OUTPUTS) {
                let output = &mut output[outputs.start * self.g.output_pixels()..];
                self.product(slot, &pixels, &outputs, output);
            }
        }
    }

    /// The group on all threads: they fill one block each, then share out the output channels.
    fn together(&self, scratch: &mut [f32], slot_len: usize, output: &mut [f32]) {
        let blocks = parts(self.g.output_pixels(), BLOCK_PIXELS);
        let round = scratch.len() / slot_len;
        let mut start = 0;
        while blocks.clone().nth(start).is_some() {
            let blocks = || parts(self.g.output_pixels(), BLOCK_PIXELS).skip(start).take(round);
            let slots = scratch.chunks_exact_mut(slot_len).zip(blocks());
            slots.par_bridge().for_each(|(slot, pixels)| self.columns(slot, &pixels));
            let scratch = &*scratch;
            let channels = output.par_chunks_mut(BLOCK_OUTPUTS * self.g.output_pixels());
            channels.enumerate().for_each(|(chunk, output)| {
                let first = chunk * BLOCK_OUTPUTS;
                let outputs = first..(first + BLOCK_OUTPUTS).min(self.g.group_outputs);
                for (slot, pixels) in scratch.chunks_exact(slot_len).zip(blocks()) {
                    self.product(slot, &pixels, &outputs, output);
                }
            });
            start += round;
        }
    }

    fn columns(&self, slot: &mut [f32], pixels: &std::ops::Range<usize>) {
        if !self.g.is_pointwise() {
            im2col(self.g, self.image, 0..self.g.depth(), pixels, slot, pixels.len());
        }
    }

    /// The pixels of a block in some output channels; `output` starts with the first of these.
    fn product(
        &self,
        slot: &[f32],
        pixels: &std::ops::Range<usize>,
        outputs: &std::ops::Range<usize>,
        output: &mut [f32],
    ) {
        let (depth, all_pixels) = (self.g.depth(), self.g.output_pixels());
        let columns = if self.g.is_pointwise() {
            Matrix::rows(&self.image[pixels.start..], all_pixels)
        } else {
            Matrix::rows(slot, pixels.len())
        };
        if let Some(bias) = self.bias {
            for (row, &b) in output.chunks_mut(all_pixels).zip(&bias[outputs.clone()]) {
                row[pixels.clone()].fill(b);
            }
        }
        gemm(
            [outputs.len(), pixels.len(), depth],
            Matrix::rows(&self.weight[outputs.start * depth..], depth),
            columns,
            MatrixMut::rows(&mut output[pixels.start..], all_pixels),
            self.bias.is_some(),
            Threads::One,
        );
    }
}
