//! The gradient of the input: for each block of pixels, `columns = weight' * grad_output`, added to
//! the pixels that they came from.

use std::ops::Range;

use super::im2col::col2im;
use super::{BLOCK_OUTPUTS, BLOCK_PIXELS, depthwise, parts, share_out, slots};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;
use crate::ops::gemm::cpu::{Matrix, MatrixMut, Threads, gemm};

/// Input channels whose columns are computed at a time: a thin product again.
fn unit(g: &Geometry) -> usize {
    (BLOCK_OUTPUTS / g.taps()).clamp(1, g.group_inputs)
}

fn slot_len(g: &Geometry) -> usize {
    unit(g) * g.taps() * BLOCK_PIXELS.min(g.output_pixels())
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() { 0 } else { slots() * slot_len(g) }
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::grad_input(g, io);
    }
    let (grad, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let output = &mut *io.outputs[0];
    let items = g.batch * g.groups;
    let item_len = g.group_inputs * g.input_pixels();
    let group = |item: usize| Group {
        g,
        grad: &grad[item * g.group_outputs * g.output_pixels()..]
            [..g.group_outputs * g.output_pixels()],
        weight: &weight[item % g.groups * g.group_outputs * g.depth()..]
            [..g.group_outputs * g.depth()],
        bias: bias.map(|b| &b[item % g.groups * g.group_inputs..][..g.group_inputs]),
    };
    let slot_len = slot_len(g);
    let slots = io.scratch.len() / slot_len;
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
    grad: &'a [f32],
    weight: &'a [f32],
    /// What is added to the channels: in the transposed convolution.
    bias: Option<&'a [f32]>,
}

impl Group<'_> {
    /// The whole group on this thread.
    fn alone(&self, slot: &mut [f32], output: &mut [f32]) {
        let unit = unit(self.g);
        for (part, output) in output.chunks_mut(unit * self.g.input_pixels()).enumerate() {
            let first = part * unit;
            self.channels(slot, first..(first + unit).min(self.g.group_inputs), output);
        }
    }

    /// The group on all threads: they share out the input channels.
    fn together(&self, scratch: &mut [f32], slot_len: usize, output: &mut [f32]) {
        let unit = unit(self.g);
        let parts = output.chunks_mut(unit * self.g.input_pixels()).enumerate();
        share_out(scratch, slot_len, parts, |slot, (part, output)| {
            let first = part * unit;
            let end = (first + unit).min(self.g.group_inputs);
            self.channels(slot, first..end, output);
        });
    }

    /// At most `unit` input channels; `output` holds just these.
    fn channels(&self, slot: &mut [f32], channels: Range<usize>, output: &mut [f32]) {
        let g = self.g;
        let all_pixels = g.output_pixels();
        let rows = channels.len() * g.taps();
        let weight = &self.weight[channels.start * g.taps()..];
        let weight = Matrix::rows(weight, g.depth()).transposed();
        for (c, plane) in output.chunks_mut(g.input_pixels()).enumerate() {
            plane.fill(self.bias.map_or(0.0, |bias| bias[channels.start + c]));
        }
        for pixels in parts(all_pixels, BLOCK_PIXELS) {
            let shape = [rows, pixels.len(), g.group_outputs];
            let grad = Matrix::rows(&self.grad[pixels.start..], all_pixels);
            if g.is_pointwise() {
                let output = MatrixMut::rows(&mut output[pixels.start..], all_pixels);
                gemm(shape, weight, grad, output, self.bias.is_some(), Threads::One);
            } else {
                let columns = MatrixMut::rows(slot, pixels.len());
                gemm(shape, weight, grad, columns, false, Threads::One);
                col2im(g, slot, 0..rows, &pixels, output, pixels.len());
            }
        }
    }
}
