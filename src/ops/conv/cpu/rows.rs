//! Loops along rows of images, for convolutions that are no matrix products.

use std::ops::Range;

use crate::ops::conv::geometry::Geometry;

/// Along one output row, where the taps of one kernel column lie in the image.
struct Taps {
    /// The outputs whose tap is inside the image.
    inside: Range<usize>,
    /// The image column of the first of them.
    first: usize,
}

/// For kernel column `v`: output `j` reads image column `j * stride + v * dilation - padding`.
fn taps(g: &Geometry, v: usize, outputs: &Range<usize>) -> Taps {
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
fn image_row(g: &Geometry, i: usize, u: usize) -> Option<usize> {
    let row = (i * g.stride[0] + u * g.dilation[0]).checked_sub(g.padding[0])?;
    (row < g.input[0]).then_some(row)
}

/// For kernel row `u` and column `v`: the stretches of an output plane whose tap is inside the image,
/// each in one row, and where the image's plane has the first tap of each. Neighbouring taps are a
/// stride apart.
pub(super) fn stretches(
    g: &Geometry,
    u: usize,
    v: usize,
) -> impl Iterator<Item = (Range<usize>, usize)> {
    let taps = taps(g, v, &(0..g.output[1]));
    let (inside, first) = (taps.inside, taps.first);
    let rows = if inside.is_empty() { 0 } else { g.output[0] };
    (0..rows).filter_map(move |i| {
        let start = i * g.output[1];
        let row = image_row(g, i, u)?;
        Some((start + inside.start..start + inside.end, row * g.input[1] + first))
    })
}

/// Kernel rows and columns.
pub(super) fn each_tap(g: &Geometry) -> impl Iterator<Item = (usize, usize)> {
    let [height, width] = g.kernel;
    (0..height).flat_map(move |u| (0..width).map(move |v| (u, v)))
}

/// Calls `f` with each element of `a` and every `stride`-th one of `x`.
fn pairs(a: &mut [f32], x: &[f32], stride: usize, f: impl Fn(&mut f32, f32)) {
    match stride {
        1 => a.iter_mut().zip(x).for_each(|(a, &x)| f(a, x)),
        // With a constant stride the loop becomes vectors.
        2 => {
            let whole = a.len().min(x.len() / 2);
            let (head, tail) = a.split_at_mut(whole);
            head.iter_mut().zip(x.as_chunks::<2>().0).for_each(|(a, x)| f(a, x[0]));
            if let Some(a) = tail.first_mut() {
                f(a, x[2 * whole]);
            }
        }
        _ => a.iter_mut().zip(x.iter().step_by(stride)).for_each(|(a, &x)| f(a, x)),
    }
}

/// `a[j] += w * x[stride j]`
pub(super) fn add_scaled(a: &mut [f32], w: f32, x: &[f32], stride: usize) {
    pairs(a, x, stride, |a, x| *a += w * x);
}

/// `x[stride j] += w * a[j]`
pub(super) fn scatter_scaled(x: &mut [f32], w: f32, a: &[f32], stride: usize) {
    if stride == 1 {
        x.iter_mut().zip(a).for_each(|(x, a)| *x += w * a);
    } else {
        x.iter_mut().step_by(stride).zip(a).for_each(|(x, a)| *x += w * a);
    }
}

/// `sum of a[j] * x[stride j]`, in lanes that a vector unit can hold.
pub(super) fn dot(a: &[f32], x: &[f32], stride: usize) -> f32 {
    if stride != 1 {
        return a.iter().zip(x.iter().step_by(stride)).map(|(a, x)| a * x).sum();
    }
    let x = &x[..a.len()];
    let (a, rest_a) = a.as_chunks::<8>();
    let (x, rest_x) = x.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, x) in a.iter().zip(x) {
        lanes.iter_mut().zip(a).zip(x).for_each(|((lane, a), x)| *lane += a * x);
    }
    let rest: f32 = rest_a.iter().zip(rest_x).map(|(a, x)| a * x).sum();
    lanes.iter().sum::<f32>() + rest
}
