//! Locally connected layers: each weight is used once an image.
//!
//! The images are turned so that the batch is the last axis, as in cuda-convnet: then a weight is
//! read once for all images, and what it is multiplied with is a vector of them.

use std::ops::Range;

use rayon::prelude::*;

use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// Images of a vector.
const WIDE: usize = 16;
const NARROW: usize = 8;

/// The extent of the batch in turned tensors: whole vectors.
fn lanes(g: &Geometry) -> usize {
    g.batch.next_multiple_of(if g.batch > NARROW { WIDE } else { NARROW })
}

/// The elements of the turned input and the turned output.
pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    (g.input_image() + g.output_image()) * lanes(g)
}

/// `turned[e, n] = images[n, e]`, and 0 where there is no image.
fn turn(images: &[f32], turned: &mut [f32], lanes: usize) {
    const ROWS: usize = 64;
    let elements = turned.len() / lanes;
    turned.par_chunks_mut(ROWS * lanes).enumerate().for_each(|(part, rows)| {
        rows.fill(0.0);
        for (n, image) in images.chunks(elements).enumerate() {
            let image = &image[part * ROWS..];
            rows.chunks_mut(lanes).zip(image).for_each(|(row, &x)| row[n] = x);
        }
    });
}

/// `images[n, e] = turned[e, n]`
fn turn_back(turned: &[f32], images: &mut [f32], lanes: usize) {
    let elements = turned.len() / lanes;
    images.par_chunks_mut(elements).enumerate().for_each(|(n, image)| {
        image.iter_mut().zip(turned.chunks(lanes)).for_each(|(x, row)| *x = row[n]);
    });
}

/// The taps of window `o` along an axis that lie inside the image.
fn inside(g: &Geometry, axis: usize, o: usize) -> Range<usize> {
    let (start, before, dilation) = (o * g.stride[axis], g.padding[axis], g.dilation[axis]);
    let first = before.saturating_sub(start).div_ceil(dilation);
    let end = (g.input[axis] + before).saturating_sub(start).div_ceil(dilation);
    first..end.min(g.kernel[axis])
}

/// The window along an axis whose tap `u` is at `place`.
fn window(g: &Geometry, axis: usize, place: usize, u: usize) -> Option<usize> {
    let start = (place + g.padding[axis]).checked_sub(u * g.dilation[axis])?;
    let o = start / g.stride[axis];
    (o * g.stride[axis] == start && o < g.output[axis]).then_some(o)
}

/// `sum += w * x`, for the images of one vector.
#[inline(always)]
fn add<const L: usize>(sum: &mut [f32; L], w: f32, x: &[f32]) {
    sum.iter_mut().zip(&x[..L]).for_each(|(sum, x)| *sum += w * x);
}

/// The vectors of a row of the turned tensor, each with its place in the row.
fn vectors<const L: usize>(row: &mut [f32]) -> impl Iterator<Item = (usize, &mut [f32; L])> {
    row.as_chunks_mut::<L>().0.iter_mut().enumerate().map(|(k, vector)| (k * L, vector))
}

pub(in crate::ops::conv) fn forward(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (weight, bias) = (io.inputs[1], io.inputs.get(2).copied());
    let (lanes, pixels) = (lanes(g), g.output_pixels());
    let (input, output) = io.scratch.split_at_mut(g.input_image() * lanes);
    turn(io.inputs[0], input, lanes);
    let input = &*input;
    let output = &mut output[..g.output_image() * lanes];
    output.par_chunks_mut(pixels * lanes).enumerate().for_each(|(o, plane)| {
        for (p, row) in plane.chunks_mut(lanes).enumerate() {
            let bias = bias.map_or(0.0, |bias| bias[o * pixels + p]);
            if lanes.is_multiple_of(WIDE) {
                output_pixel::<WIDE>(g, [o, p], input, weight, bias, row);
            } else {
                output_pixel::<NARROW>(g, [o, p], input, weight, bias, row);
            }
        }
    });
    turn_back(output, io.outputs[0], lanes);
}

fn output_pixel<const L: usize>(
    g: &Geometry,
    [o, p]: [usize; 2],
    input: &[f32],
    weight: &[f32],
    bias: f32,
    row: &mut [f32],
) {
    let (lanes, pixels) = (row.len(), g.output_pixels());
    let (i, j) = (p / g.output[1], p % g.output[1]);
    let (rows, columns) = (inside(g, 0, i), inside(g, 1, j));
    let group = o / g.group_outputs;
    for (at, sum) in vectors::<L>(row) {
        *sum = [bias; L];
        for c in 0..g.group_inputs {
            let channel = (group * g.group_inputs + c) * g.input_pixels();
            for u in rows.clone() {
                let y = i * g.stride[0] + u * g.dilation[0] - g.padding[0];
                for v in columns.clone() {
                    let x = j * g.stride[1] + v * g.dilation[1] - g.padding[1];
                    let tap = (o * g.group_inputs + c) * g.taps() + u * g.kernel[1] + v;
                    let place = (channel + y * g.input[1] + x) * lanes + at;
                    add(sum, weight[tap * pixels + p], &input[place..]);
                }
            }
        }
    }
}

pub(in crate::ops::conv) fn grad_input(g: &Geometry, io: &mut CpuTensors<'_>) {
    let weight = io.inputs[1];
    let (lanes, pixels) = (lanes(g), g.input_pixels());
    let (grad, grad_input) = io.scratch.split_at_mut(g.output_image() * lanes);
    turn(io.inputs[0], grad, lanes);
    let grad = &*grad;
    let grad_input = &mut grad_input[..g.input_image() * lanes];
    grad_input.par_chunks_mut(pixels * lanes).enumerate().for_each(|(channel, plane)| {
        for (p, row) in plane.chunks_mut(lanes).enumerate() {
            if lanes.is_multiple_of(WIDE) {
                input_pixel::<WIDE>(g, [channel, p], grad, weight, row);
            } else {
                input_pixel::<NARROW>(g, [channel, p], grad, weight, row);
            }
        }
    });
    turn_back(grad_input, io.outputs[0], lanes);
}

fn input_pixel<const L: usize>(
    g: &Geometry,
    [channel, p]: [usize; 2],
    grad: &[f32],
    weight: &[f32],
    row: &mut [f32],
) {
    let (lanes, pixels) = (row.len(), g.output_pixels());
    let (y, x) = (p / g.input[1], p % g.input[1]);
    let (group, c) = (channel / g.group_inputs, channel % g.group_inputs);
    row.fill(0.0);
    for u in 0..g.kernel[0] {
        let Some(i) = window(g, 0, y, u) else { continue };
        for v in 0..g.kernel[1] {
            let Some(j) = window(g, 1, x, v) else { continue };
            let p = i * g.output[1] + j;
            for (at, sum) in vectors::<L>(row) {
                for o in group * g.group_outputs..(group + 1) * g.group_outputs {
                    let tap = (o * g.group_inputs + c) * g.taps() + u * g.kernel[1] + v;
                    let place = (o * pixels + p) * lanes + at;
                    add(sum, weight[tap * pixels + p], &grad[place..]);
                }
            }
        }
    }
}

pub(in crate::ops::conv) fn grad_weight(g: &Geometry, io: &mut CpuTensors<'_>) {
    let (lanes, pixels) = (lanes(g), g.output_pixels());
    let (input, grad) = io.scratch.split_at_mut(g.input_image() * lanes);
    let grad = &mut grad[..g.output_image() * lanes];
    turn(io.inputs[0], input, lanes);
    turn(io.inputs[1], grad, lanes);
    let (input, grad) = (&*input, &*grad);
    io.outputs[0].par_chunks_mut(g.taps() * pixels).enumerate().for_each(|(item, kernel)| {
        let (o, c) = (item / g.group_inputs, item % g.group_inputs);
        let channel = (o / g.group_outputs * g.group_inputs + c) * g.input_pixels();
        kernel.fill(0.0);
        for p in 0..pixels {
            let (i, j) = (p / g.output[1], p % g.output[1]);
            let grad = &grad[(o * pixels + p) * lanes..][..lanes];
            for u in inside(g, 0, i) {
                let y = i * g.stride[0] + u * g.dilation[0] - g.padding[0];
                for v in inside(g, 1, j) {
                    let x = j * g.stride[1] + v * g.dilation[1] - g.padding[1];
                    let values = &input[(channel + y * g.input[1] + x) * lanes..][..lanes];
                    kernel[(u * g.kernel[1] + v) * pixels + p] = dot(grad, values);
                }
            }
        }
    });
}

/// The sum over the images, in a vector of sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; NARROW];
    let pairs = a.as_chunks::<NARROW>().0.iter().zip(b.as_chunks::<NARROW>().0);
    for (a, b) in pairs {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums.iter().sum()
}
