//! Images laid out so that every tap of a kernel reads a run of neighbouring elements.
//!
//! A channel becomes one plane for each phase of the stride: plane `(a, b)` holds the padded image's
//! pixels whose row is `a` and whose column is `b` modulo the stride. In such planes output position
//! `(i, j)` reads tap `(u, v)` at `(i + shift(u), j + shift(v))`: whatever stride and dilation, a
//! fixed distance from `i * width + j`. Positions at the end of a plane's rows, where no output is,
//! are computed along and dropped.

use crate::ops::conv::geometry::Geometry;

/// One axis of the planes.
#[derive(Clone, Copy, Debug)]
struct Axis {
    stride: usize,
    dilation: usize,
    /// Planes along this axis.
    phases: usize,
    /// Elements of a plane along this axis.
    extent: usize,
    /// The image's pixels, and the padding before them.
    image: usize,
    padding: usize,
}

impl Axis {
    fn of(g: &Geometry, axis: usize) -> Self {
        let (stride, dilation, kernel) = (g.stride[axis], g.dilation[axis], g.kernel[axis]);
        Axis {
            stride,
            dilation,
            phases: if kernel == 1 { 1 } else { stride },
            extent: g.output[axis] + (kernel - 1) * dilation / stride,
            image: g.input[axis],
            padding: g.padding[axis],
        }
    }

    /// The plane, and the place in it, that tap `u` of output 0 reads.
    fn tap(&self, u: usize) -> (usize, usize) {
        (u * self.dilation % self.stride, u * self.dilation / self.stride)
    }
}

/// The planes of a convolution's input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    rows: Axis,
    columns: Axis,
}

impl Planes {
    pub(super) fn of(g: &Geometry) -> Self {
        Planes { rows: Axis::of(g, 0), columns: Axis::of(g, 1) }
    }

    /// The distance from one output row's positions to the next's.
    pub(super) fn width(&self) -> usize {
        self.columns.extent
    }

    fn plane(&self) -> usize {
        self.rows.extent * self.columns.extent
    }

    /// Elements of one channel.
    pub(super) fn channel(&self) -> usize {
        self.rows.phases * self.columns.phases * self.plane()
    }

    /// Where the tap `(u, v)` of output position 0 is within a channel.
    pub(super) fn tap(&self, u: usize, v: usize) -> usize {
        let ((a, i), (b, j)) = (self.rows.tap(u), self.columns.tap(v));
        (a * self.columns.phases + b) * self.plane() + i * self.width() + j
    }

    /// Lays out one channel of an image.
    pub(super) fn fill(&self, image: &[f32], channel: &mut [f32]) {
        let (rows, columns) = (&self.rows, &self.columns);
        for (phase, plane) in channel.chunks_exact_mut(self.plane()).enumerate() {
            let (a, b) = (phase / columns.phases, phase % columns.phases);
            for (i, row) in plane.chunks_exact_mut(columns.extent).enumerate() {
                match (i * rows.stride + a).checked_sub(rows.padding) {
                    Some(y) if y < rows.image => {
                        columns.fill(b, &image[y * columns.image..][..columns.image], row);
                    }
                    _ => row.fill(0.0),
                }
            }
        }
    }
}

impl Axis {
    /// Row elements `j` are image columns `j * stride + phase - padding`, or 0 outside.
    fn fill(&self, phase: usize, image: &[f32], row: &mut [f32]) {
        let (stride, padding) = (self.stride, self.padding);
        let before = padding.saturating_sub(phase).div_ceil(stride).min(row.len());
        let end = (image.len() + padding).saturating_sub(phase).div_ceil(stride);
        let end = end.clamp(before, row.len());
        row[..before].fill(0.0);
        row[end..].fill(0.0);
        let Some(from) = image.get(before * stride + phase - padding..) else { return };
        let row = &mut row[before..end];
        if stride == 1 {
            row.copy_from_slice(&from[..row.len()]);
        } else {
            row.iter_mut().zip(from.iter().step_by(stride)).for_each(|(r, &x)| *r = x);
        }
    }
}
