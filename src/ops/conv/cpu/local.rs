//! Locally connected layers: each weight is used once an image.
//!
//! So that a weight is read once for several images, a task takes some images together; with fewer
//! images than that, planes.

use rayon::prelude::*;

use super::rows::{add_products, each_tap, scatter_products, stretches};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// At most as many images as stay in the first caches together.
const IMAGES: usize = 8;

/// How many images a task takes. The results do not depend on it: an element is one sum.
fn images(g: &Geometry) -> usize {
    (g.batch / (2 * rayon::current_num_threads())).clamp(1, IMAGES)
}

/// One output channel's weights of one input channel and tap, one for each output pixel.
fn weights<'a>(g: &Geometry, weight: &'a [f32], o: usize, c: usize, tap: usize) -> &'a [f32] {
    &weight[((o * g.group_inputs + c) * g.taps() + tap) * g.output_pixels()..][..g.output_pixels()]
}

/// Calls `task(n, first, planes)` on parts of `images`, which are `[channels, pixels]` each: either all
/// channels of the images from `n` on, or the one channel `first` of image `n`.
fn share_out(
    g: &Geometry,
    output: &mut [f32],
    [channels, pixels]: [usize; 2],
    task: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    match images(g) {
        1 => output
            .par_chunks_mut(pixels)
            .enumerate()
            .for_each(|(item, plane)| task(item / channels, item % channels, plane)),
        images => output
            .par_chunks_mut(images * channels * pixels)
            .enumerate()
            .for_each(|(part, planes)| task(part * images, 0, planes)),
    }
}

pub(in crate::ops::conv) fn forward(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (input, weight, bias) = (io.inputs[0], io.inputs[1], io.inputs.get(2).copied());
    let pixels = g.output_pixels();
    share_out(g, io.outputs[0], [g.outputs(), pixels], |n, first, planes| {
        let channels = (planes.len() / pixels).min(g.outputs());
        for o in first..first + channels {
            let place = (o - first) * pixels..(o - first + 1) * pixels;
            for image in planes.chunks_mut(channels * pixels) {
                match bias {
                    Some(b) => image[place.clone()].copy_from_slice(&b[o * pixels..][..pixels]),
                    None => image[place.clone()].fill(0.0),
                }
            }
            for c in 0..g.group_inputs {
                let channel = o / g.group_outputs * g.group_inputs + c;
                for (tap, (u, v)) in each_tap(g).enumerate() {
                    let weight = weights(g, weight, o, c, tap);
                    for (outputs, from) in stretches(g, u, v) {
                        let weight = &weight[outputs.clone()];
                        for (k, image) in planes.chunks_mut(channels * pixels).enumerate() {
                            let plane = &mut image[place.clone()];
                            let start = ((n + k) * g.inputs() + channel) * g.input_pixels();
                            let x = &input[start + from..start + g.input_pixels()];
                            add_products(&mut plane[outputs.clone()], weight, x, g.stride[1]);
                        }
                    }
                }
            }
        }
    });
}

pub(in crate::ops::conv) fn grad_input(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (grad, weight) = (io.inputs[0], io.inputs[1]);
    let pixels = g.input_pixels();
    share_out(g, io.outputs[0], [g.inputs(), pixels], |n, first, planes| {
        planes.fill(0.0);
        let channels = (planes.len() / pixels).min(g.inputs());
        for channel in first..first + channels {
            let (group, c) = (channel / g.group_inputs, channel % g.group_inputs);
            for o in group * g.group_outputs..(group + 1) * g.group_outputs {
                for (tap, (u, v)) in each_tap(g).enumerate() {
                    let weight = weights(g, weight, o, c, tap);
                    for (outputs, to) in stretches(g, u, v) {
                        let weight = &weight[outputs.clone()];
                        for (k, image) in planes.chunks_mut(channels * pixels).enumerate() {
                            let plane = &mut image[(channel - first) * pixels..][..pixels];
                            let start = ((n + k) * g.outputs() + o) * g.output_pixels();
                            let grad = &grad[start + outputs.start..start + outputs.end];
                            scatter_products(&mut plane[to..], weight, grad, g.stride[1]);
                        }
                    }
                }
            }
        }
    });
}

pub(in crate::ops::conv) fn grad_weight(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (input, grad) = (io.inputs[0], io.inputs[1]);
    let pixels = g.output_pixels();
    let kernels = io.outputs[0].par_chunks_mut(g.taps() * pixels).enumerate();
    kernels.for_each(|(item, kernel)| {
        let (o, c) = (item / g.group_inputs, item % g.group_inputs);
        let channel = o / g.group_outputs * g.group_inputs + c;
        kernel.fill(0.0);
        for n in 0..g.batch {
            let plane = &input[(n * g.inputs() + channel) * g.input_pixels()..][..g.input_pixels()];
            let grad = &grad[(n * g.outputs() + o) * pixels..][..pixels];
            for ((u, v), sums) in each_tap(g).zip(kernel.chunks_mut(pixels)) {
                for (outputs, from) in stretches(g, u, v) {
                    let grad = &grad[outputs.clone()];
                    add_products(&mut sums[outputs], grad, &plane[from..], g.stride[1]);
                }
            }
        }
    });
}
