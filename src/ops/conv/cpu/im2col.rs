//! Patches of an image as columns of a matrix, and back.

use std::ops::Range;

use crate::ops::conv::geometry::Geometry;

/// Along one output row, where the taps of one kernel column lie in the image.
pub(super) struct Taps {
    /// The outputs whose tap is inside the image.
    pub(super) inside: Range<usize>,
    /// The image column of the first of them.
    pub(super) first: usize,
}

/// For kernel column `v`: output `j` reads image column `j * stride + v * dilation - padding`.
pub(super) fn taps(g: &Geometry, v: usize, outputs: &Range<usize>) -> Taps {
    let (stride, width, padding) = (g.stride[1], g.input[1], g.padding[1]);
    let offset = v * g.dilation[1];
    let start = padding.saturating_sub(offset).div_ceil(stride).max(outputs.start);
    let end = (width + padding).saturating_sub(offset).div_ceil(stride).min(outputs.end);
    if start >= end {
        return Taps { inside: outputs.start..outputs.start, first: 0 };
    }
    Taps { inside: start..end, first: start * stride + offset - padding }
}

/// The image row that output row `i` reads for kernel row `u`, if it is inside the image.
pub(super) fn image_row(g: &Geometry, i: usize, u: usize) -> Option<usize> {
    let row = (i * g.stride[0] + u * g.dilation[0]).checked_sub(g.padding[0])?;
    (row < g.input[0]).then_some(row)
}

/// Calls `f(i, columns, place)` for the parts of output rows that `pixels` cover; `place` counts from
/// the start of `pixels`.
fn each_row(g: &Geometry, pixels: &Range<usize>, mut f: impl FnMut(usize, Range<usize>, usize)) {
    let width = g.output[1];
    let mut at = pixels.start;
    while at < pixels.end {
        let (i, j) = (at / width, at % width);
        let end = width.min(j + pixels.end - at);
        f(i, j..end, at - pixels.start);
        at += end - j;
    }
}

/// `columns[r, p] = the input that tap k = taps.start + r of output pixel pixels.start + p reads`.
///
/// `image` is the group's input channels; taps count over channel, kernel row and kernel column.
/// The rows of `columns` are `stride` apart.
pub(super) fn im2col(
    g: &Geometry,
    image: &[f32],
    depth: Range<usize>,
    pixels: &Range<usize>,
    columns: &mut [f32],
    stride: usize,
) {
    let [kernel_height, kernel_width] = g.kernel;
    for (k, row) in depth.zip(columns.chunks_mut(stride)) {
        let (c, u, v) = (
            k / (kernel_height * kernel_width),
            k / kernel_width % kernel_height,
            k % kernel_width,
        );
        let channel = &image[c * g.input_pixels()..][..g.input_pixels()];
        each_row(g, pixels, |i, outputs, place| {
            let row = &mut row[place..place + outputs.len()];
            let Some(h) = image_row(g, i, u) else {
                row.fill(0.0);
                return;
            };
            let taps = taps(g, v, &outputs);
            let (start, end) = (taps.inside.start - outputs.start, taps.inside.end - outputs.start);
            row[..start].fill(0.0);
            row[end..].fill(0.0);
            if start < end {
                let from = &channel[h * g.input[1] + taps.first..];
                gather(&mut row[start..end], from, g.stride[1]);
            }
        });
    }
}

/// Adds `columns`, laid out as by [`im2col`], to the pixels of `image` that they came from.
pub(super) fn col2im(
    g: &Geometry,
    columns: &[f32],
    depth: Range<usize>,
    pixels: &Range<usize>,
    image: &mut [f32],
    stride: usize,
) {
    let [kernel_height, kernel_width] = g.kernel;
    for (k, row) in depth.zip(columns.chunks(stride)) {
        let (c, u, v) = (
            k / (kernel_height * kernel_width),
            k / kernel_width % kernel_height,
            k % kernel_width,
        );
        let channel = &mut image[c * g.input_pixels()..][..g.input_pixels()];
        each_row(g, pixels, |i, outputs, place| {
            let Some(h) = image_row(g, i, u) else { return };
            let taps = taps(g, v, &outputs);
            if taps.inside.is_empty() {
                return;
            }
            let from = &row[place + taps.inside.start - outputs.start..][..taps.inside.len()];
            let to = &mut channel[h * g.input[1] + taps.first..];
            for (x, &y) in to.iter_mut().step_by(g.stride[1]).zip(from) {
                *x += y;
            }
        });
    }
}

/// Every `stride`-th element of `from`.
fn gather(to: &mut [f32], from: &[f32], stride: usize) {
    if stride == 1 {
        copy(to, &from[..to.len()]);
    } else {
        to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(t, &f)| *t = f);
    }
}

/// Rows of an image are short: a call of `memcpy` would take longer than the copying.
fn copy(to: &mut [f32], from: &[f32]) {
    let len = to.len();
    if len < 8 {
        to.iter_mut().zip(from).for_each(|(t, &f)| *t = f);
    } else if len <= 16 {
        // The two halves may overlap.
        to[..8].copy_from_slice(&from[..8]);
        to[len - 8..].copy_from_slice(&from[len - 8..]);
    } else if len <= 64 {
        let mut at = 0;
        while at + 16 <= len {
            to[at..at + 16].copy_from_slice(&from[at..at + 16]);
            at += 16;
        }
        to[len - 16..].copy_from_slice(&from[len - 16..]);
    } else {
        to.copy_from_slice(from);
    }
}
