//! The gradient of the weight: `grad_weight[o, tap] = sum over images and positions of grad_output[o,
//! position] * planes[position + tap]`.
//!
//! Images are taken a wave at a time, as many as a fixed amount of memory holds: laid out on all
//! threads, then summed up, each thread some rows of the weight. The order of summation depends on
//! the shapes alone.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::depthwise;
use super::planes::Planes;
use super::product::{SLACK, has_32_registers};
use crate::ops::CpuTensors;
use crate::ops::conv::geometry::Geometry;

/// Elements that a wave may take, where more than one image fits.
const WAVE: usize = 1 << 20;
/// Elements of gradients that a tile reads before it goes on to the next taps: they stay in the
/// first-level cache.
const NEAR: usize = 6 * 1024;
/// Rows of a tile (output channels) and its columns (taps). The accumulators and what they are made
/// of fill the 32 registers of AVX-512 and of NEON; where there are 16, a tile is half as high.
const ROWS: usize = 4;
const TAPS: usize = 6;

/// How the images are laid out.
#[derive(Clone, Copy)]
struct Layout {
    planes: Planes,
    /// Elements of an output channel's gradient, whose rows are as far apart as those of the planes.
    grad: usize,
    /// Elements of an image: its planes and its gradients.
    inputs: usize,
    outputs: usize,
    images: usize,
}

impl Layout {
    fn of(g: &Geometry) -> Self {
        let planes = Planes::of(g);
        // To a whole number of the widest vectors.
        let positions = (g.output[0] - 1) * planes.pitch() + g.output[1];
        let grad = positions.next_multiple_of(16);
        let inputs = g.inputs() * planes.channel() + SLACK;
        let outputs = g.outputs() * grad;
        let images = (WAVE / (inputs + outputs)).clamp(1, g.batch);
        Layout { planes, grad, inputs, outputs, images }
    }
}

pub(in crate::ops::conv) fn scratch(g: &Geometry) -> usize {
    if g.is_depthwise() {
        return 0;
    }
    let layout = Layout::of(g);
    g.depth() + layout.images * (layout.inputs + layout.outputs)
}

pub(in crate::ops::conv) fn run(g: &Geometry, io: &mut CpuTensors<'_>) {
    if g.is_depthwise() {
        return depthwise::grad_weight(g, io);
    }
    let (input, grad) = (io.inputs[0], io.inputs[1]);
    let layout = Layout::of(g);
    let grad_weight = &mut *io.outputs[0];
    let (taps, scratch) = io.scratch.split_at_mut(g.depth());
    let taps: &mut [u32] = bytemuck::cast_slice_mut(taps);
    for (k, tap) in taps.iter_mut().enumerate() {
        let (c, u, v) = (k / g.taps(), k / g.kernel[1] % g.kernel[0], k % g.kernel[1]);
        *tap = (c * layout.planes.channel() + layout.planes.tap(u, v)) as u32;
    }
    let taps = &*taps;
    let (inputs, outputs) = scratch.split_at_mut(layout.images * layout.inputs);
    for first in (0..g.batch).step_by(layout.images) {
        let images = layout.images.min(g.batch - first);
        lay_out(g, &layout, first, images, input, grad, inputs, outputs);
        let is_first = first == 0;
        let wave = Wave { g, layout, taps, images, inputs, outputs, is_first };
        let rows = grad_weight.par_chunks_mut(g.group_outputs * g.depth()).enumerate();
        let rows = rows.flat_map(|(group, weight)| {
            let strips = weight.par_chunks_mut(ROWS * g.depth()).enumerate();
            strips.map(move |(strip, weight)| (group, strip * ROWS, weight))
        });
        rows.for_each(|(group, output, weight)| wave.strip(group, output, weight));
    }
}

#[allow(clippy::too_many_arguments)]
fn lay_out(
    g: &Geometry,
    layout: &Layout,
    first: usize,
    images: usize,
    input: &[f32],
    grad: &[f32],
    inputs: &mut [f32],
    outputs: &mut [f32],
) {
    let to = inputs.par_chunks_mut(layout.inputs).zip(outputs.par_chunks_mut(layout.outputs));
    let image = input[first * g.input_image()..].par_chunks(g.input_image());
    let grads = grad[first * g.output_image()..].par_chunks(g.output_image());
    to.zip(image.zip(grads)).take(images).for_each(|((planes, flat), (image, grads))| {
        let channels = image.par_chunks(g.input_pixels());
        let to = planes.par_chunks_mut(layout.planes.channel()).zip(channels);
        to.for_each(|(plane, channel)| layout.planes.fill(channel, plane));
        let channels = grads.par_chunks(g.output_pixels());
        flat.par_chunks_mut(layout.grad).zip(channels).for_each(|(flat, grad)| {
            let mut lines = grad.chunks_exact(g.output[1]);
            for row in flat.chunks_mut(layout.planes.pitch()) {
                let line = lines.next().unwrap_or_default();
                row[..line.len()].copy_from_slice(line);
                row[line.len()..].fill(0.0);
            }
        });
    });
}

/// Images laid out, to be summed up.
struct Wave<'a> {
    g: &'a Geometry,
    layout: Layout,
    /// Where each tap of a group's depth is in the group's planes.
    taps: &'a [u32],
    images: usize,
    inputs: &'a [f32],
    outputs: &'a [f32],
    /// Whether the sums start here.
    is_first: bool,
}

impl Wave<'_> {
    /// At most [`ROWS`] rows of the weight of a group, from `output` on.
    fn strip(&self, group: usize, output: usize, weight: &mut [f32]) {
        if self.is_first {
            weight.fill(0.0);
        }
        pulp::Arch::new().dispatch(Strip { wave: self, group, output, weight });
    }
}

struct Strip<'a> {
    wave: &'a Wave<'a>,
    group: usize,
    output: usize,
    weight: &'a mut [f32],
}

impl WithSimd for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if has_32_registers::<S>() {
            return self.sum::<S, ROWS>(simd);
        }
        let Strip { wave, group, output, weight } = self;
        for (half, weight) in weight.chunks_mut(ROWS / 2 * wave.g.depth()).enumerate() {
            let strip = Strip { wave, group, output: output + half * ROWS / 2, weight };
            strip.sum::<S, { ROWS / 2 }>(simd);
        }
    }
}

impl Strip<'_> {
    /// In tiles of `HEIGHT` rows, as many as there are or more.
    #[inline(always)]
    fn sum<S: Simd, const HEIGHT: usize>(self, simd: S) {
        let Strip { wave, group, output, weight } = self;
        let (g, layout) = (wave.g, &wave.layout);
        let depth = g.depth();
        let rows = weight.len() / depth;
        let first_plane = group * g.group_inputs * layout.planes.channel();
        let near = (NEAR / (ROWS * layout.grad)).max(1);
        for first in (0..wave.images).step_by(near) {
            let images = first..(first + near).min(wave.images);
            for k in (0..depth).step_by(TAPS) {
                // Rows and taps beyond the last are computed again from the last, and dropped.
                let taps: [usize; TAPS] = std::array::from_fn(|j| {
                    first_plane + wave.taps[(k + j).min(depth - 1)] as usize
                });
                let mut sums = [[simd.splat_f32s(0.0); TAPS]; HEIGHT];
                for image in images.clone() {
                    let planes = &wave.inputs[image * layout.inputs..][..layout.inputs];
                    let grads = &wave.outputs[image * layout.outputs..][..layout.outputs];
                    let grads: [&[S::f32s]; HEIGHT] = std::array::from_fn(|m| {
                        let channel = group * g.group_outputs + output + m.min(rows - 1);
                        S::as_simd_f32s(&grads[channel * layout.grad..][..layout.grad]).0
                    });
                    let x = std::array::from_fn(|j| {
                        S::as_simd_f32s(&planes[taps[j]..][..layout.grad]).0
                    });
                    sums = add_products::<S, HEIGHT>(simd, grads, x, sums);
                }
                for (m, sums) in sums.iter().enumerate().take(rows) {
                    let weights = &mut weight[m * depth + k..(m + 1) * depth];
                    for (w, &sum) in weights.iter_mut().zip(sums) {
                        *w += simd.reduce_sum_f32s(sum);
                    }
                }
            }
        }
    }
}

/// `sums[m][j]` and the products of `grads[m]` and `x[j]`.
#[inline(always)]
fn add_products<S: Simd, const HEIGHT: usize>(
    simd: S,
    grads: [&[S::f32s]; HEIGHT],
    x: [&[S::f32s]; TAPS],
    mut sums: [[S::f32s; TAPS]; HEIGHT],
) -> [[S::f32s; TAPS]; HEIGHT] {
    // Of one length that the compiler sees: a check within the loop would keep the sums in memory.
    let vectors = grads[0].len();
    let (grads, x) = (grads.map(|grad| &grad[..vectors]), x.map(|x| &x[..vectors]));
    for p in 0..vectors {
        let grads: [S::f32s; HEIGHT] = std::array::from_fn(|m| grads[m][p]);
        for j in 0..TAPS {
            let x = x[j][p];
            for m in 0..HEIGHT {
                sums[m][j] = simd.mul_add_e_f32s(grads[m], x, sums[m][j]);
            }
        }
    }
    sums
}
