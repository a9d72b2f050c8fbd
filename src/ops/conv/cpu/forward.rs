//! The forward pass: images are laid out in [`Planes`], each output channel is a [`Product`].

use rayon::prelude::*;

use super::planes::Planes;
use super::product::{Product, ROWS, SLACK, Tap, pack};
use super::{depthwise, share_out, slots};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// The elements of one group's planes.
fn slot_len(g: &Geometry) -> usize {
    g.group_inputs * Planes::of(g).channel() + SLACK
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    2 * g.depth() + g.outputs() * g.depth() + slots() * slot_len(g)
}

/// The convolution, and with `relu` the ReLU of each stretch of it while it is at hand.
pub(in crate::ops::conv) fn run(g: &Geometry, relu: bool, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::forward(g, relu, io);
    }
    let (input, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let output = &mut *io.outputs[0];
    let planes = Planes::of(g);
    let (taps, scratch) = io.scratch.split_at_mut(2 * g.depth());
    let taps: &mut [Tap] = bytemuck::cast_slice_mut(taps);
    for (k, tap) in taps.iter_mut().enumerate() {
        let (c, u, v) = (k / g.taps(), k / g.kernel[1] % g.kernel[0], k % g.kernel[1]);
        let input = c * planes.channel() + planes.tap(u, v);
        *tap = Tap { weight: k as u32, input: input as u32 };
    }
    let taps = &*taps;
    let (packed, scratch) = scratch.split_at_mut(g.outputs() * g.depth());
    let group_weights = g.group_outputs * g.depth();
    for (weight, packed) in weight.chunks(group_weights).zip(packed.chunks_mut(group_weights)) {
        pack(weight, g.depth(), taps, packed);
    }
    let packed = &*packed;
    let items = g.batch * g.groups;
    let item_len = g.group_outputs * g.output_pixels();
    let channels = |item: usize| {
        &input[item * g.group_inputs * g.input_pixels()..][..g.group_inputs * g.input_pixels()]
    };
    let group = |item: usize| Group {
        g,
        planes,
        taps,
        relu,
        weight: &packed[item % g.groups * group_weights..][..group_weights],
        bias: bias.map(|b| &b[item % g.groups * g.group_outputs..][..g.group_outputs]),
    };
    let slot_len = slot_len(g);
    // As many whole rounds as keep every thread busy; the rest is cut up within the image.
    let whole = items - items % slots();
    let (by_image, by_channel) = output.split_at_mut(whole * item_len);
    let images = by_image.chunks_mut(item_len).enumerate();
    share_out(scratch, slot_len, images, |slot, (item, output)| {
        let image = channels(item).chunks(g.input_pixels());
        image.zip(slot.chunks_mut(planes.channel())).for_each(|(c, plane)| planes.fill(c, plane));
        group(item).outputs(slot, 0, output);
    });
    for (i, output) in by_channel.chunks_mut(item_len).enumerate() {
        let slot = &mut scratch[..slot_len];
        let image = channels(whole + i).par_chunks(g.input_pixels());
        let filled = slot.par_chunks_mut(planes.channel()).zip(image);
        filled.for_each(|(plane, c)| planes.fill(c, plane));
        let (slot, group) = (&*slot, group(whole + i));
        let rows = output.par_chunks_mut(ROWS * g.output_pixels()).enumerate();
        rows.for_each(|(part, output)| group.outputs(slot, part * ROWS, output));
    }
}

/// One group of channels of one image.
struct Group<'a> {
    g: &'a Geometry,
    planes: Planes,
    taps: &'a [Tap],
    relu: bool,
    /// [Packed](pack).
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Group<'_> {
    /// Output channels from `first` on, a multiple of [`ROWS`], as many as `output` holds.
    fn outputs(&self, slot: &[f32], first: usize, output: &mut [f32]) {
        let (pixels, width) = (self.g.output_pixels(), self.g.output[1]);
        let step = self.planes.pitch();
        Product {
            weight: &self.weight[first * self.g.depth()..],
            rows: output.len() / pixels,
            taps: self.taps,
            input: slot,
            positions: (self.g.output[0] - 1) * step + width,
            bias: self.bias.map(|bias| &bias[first..]),
            write: &mut |row, position, values| {
                let output = &mut output[row * pixels..][..pixels];
                rows_of(step, width, position, values, |i, j, values| {
                    let output = &mut output[i * width + j..][..values.len()];
                    if self.relu {
                        output.iter_mut().zip(values).for_each(|(y, &sum)| *y = sum.max(0.0));
                    } else {
                        output.copy_from_slice(values);
                    }
                });
            },
        }
        .run();
    }
}

/// Cuts a run of positions into the rows of `width` elements that lie `step` apart, and calls
/// `f(row, column, values)` for each.
#[inline(always)]
pub(super) fn rows_of(
    step: usize,
    width: usize,
    position: usize,
    values: &[f32],
    mut f: impl FnMut(usize, usize, &[f32]),
) {
    let (mut i, mut j) = (position / step, position % step);
    let mut rest = values;
    while !rest.is_empty() {
        let (run, after) = rest.split_at((step - j).min(rest.len()));
        let inside = width.saturating_sub(j).min(run.len());
        if inside > 0 {
            f(i, j, &run[..inside]);
        }
        (i, j, rest) = (i + 1, 0, after);
    }
}
