//! The forward pass: images are laid out in [`Planes`], each output channel is a [`Product`].

use super::depthwise;
use super::planes::Planes;
use super::product::Product;
use super::runs::{rows_of, transfer};
use super::waves::Slot;
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// One group of an image.
fn slot(g: &Geometry) -> Slot {
    Slot { channels: g.group_inputs, plane: Planes::of(g).channel() }
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    g.depth() + slot(g).scratch(g.batch * g.groups)
}

/// The convolution, and with `relu` the ReLU of each stretch of it while it is at hand.
pub(in crate::ops::conv) fn run(g: &Geometry, relu: bool, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::forward(g, relu, io);
    }
    let (input, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let planes = Planes::of(g);
    let (taps, scratch) = io.scratch.split_at_mut(g.depth());
    let taps: &mut [u32] = bytemuck::cast_slice_mut(taps);
    planes.list_taps(g, taps);
    let taps = &*taps;
    let lay_out = |item: usize, channel: usize, plane: &mut [f32]| {
        let from = (item * g.group_inputs + channel) * g.input_pixels();
        planes.fill(&input[from..][..g.input_pixels()], plane);
    };
    let compute = |item: usize, input: &[f32], row: usize, output: &mut [f32]| {
        let row = item % g.groups * g.group_outputs + row;
        let (weight, bias) = (&weight[row * g.depth()..], bias.map(|bias| &bias[row..]));
        Rows { g, planes, taps, relu, weight, bias }.compute(input, output);
    };
    let item_len = g.group_outputs * g.output_pixels();
    slot(g).run(scratch, io.outputs[0], item_len, g.output_pixels(), lay_out, compute);
}

/// Output channels of an image, as many as the output holds.
struct Rows<'a> {
    g: &'a Geometry,
    planes: Planes,
    taps: &'a [u32],
    relu: bool,
    /// Of these channels and all after them, as is the bias.
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Rows<'_> {
    fn compute(&self, input: &[f32], output: &mut [f32]) {
        let (pixels, width) = (self.g.output_pixels(), self.g.output[1]);
        let step = self.planes.pitch();
        Product {
            weight: self.weight,
            step: self.taps.len(),
            rows: output.len() / pixels,
            taps: self.taps,
            input,
            positions: (self.g.output[0] - 1) * step + width,
            bias: self.bias,
            write: &mut |row, position, values| {
                let output = &mut output[row * pixels..][..pixels];
                rows_of(step, width, position, values, |i, j, values| {
                    let output = &mut output[i * width + j..][..values.len()];
                    if self.relu {
                        transfer(values, output, |sum| sum.max(0.0));
                    } else {
                        transfer(values, output, |sum| sum);
                    }
                });
            },
        }
        .run();
    }
}
