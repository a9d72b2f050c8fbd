//! Images laid out so that every tap of a kernel reads a run of neighbouring elements.
//!
//! A channel becomes one plane for each phase of the stride: plane `(a, b)` holds the padded image's
//! pixels whose row is `a` and whose column is `b` modulo the stride. In such planes output position
//! `(i, j)` reads tap `(u, v)` at `(i + shift(u), j + shift(v))`: whatever stride and dilation, a
//! fixed distance from `i * pitch + j`. Positions at the end of a plane's rows, where no output is,
//! are computed along and dropped; so that they are few, the zeros at the end of a row are those at
//! the beginning of the next.

use std::ops::Range;

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
    /// The distance from one row to the next, where this is the axis of the columns.
    pitch: usize,
    /// The image's pixels, and the padding before them.
    image: usize,
    padding: usize,
}

impl Axis {
    fn of(g: &Geometry, axis: usize) -> Self {
        let (stride, dilation, kernel) = (g.stride[axis], g.dilation[axis], g.kernel[axis]);
        let output = g.output[axis];
        let extent = output + (kernel - 1) * dilation / stride;
        let mut axis = Axis {
            stride,
            dilation,
            phases: if kernel == 1 { 1 } else { stride },
            extent,
            pitch: extent,
            image: g.input[axis],
            padding: g.padding[axis],
        };
        let zeros = |phase| {
            let inside = axis.inside(phase);
            inside.start.min(extent - inside.end)
        };
        let shared = (0..axis.phases).map(zeros).min().unwrap_or(0);
        axis.pitch = (extent - shared).max(output);
        axis
    }

    /// The elements of a plane of this phase that hold pixels.
    fn inside(&self, phase: usize) -> Range<usize> {
        let start = self.padding.saturating_sub(phase).div_ceil(self.stride).min(self.extent);
        let end = (self.image + self.padding).saturating_sub(phase).div_ceil(self.stride);
        start..end.clamp(start, self.extent)
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
    pub(super) fn pitch(&self) -> usize {
        self.columns.pitch
    }

    fn plane(&self) -> usize {
        (self.rows.extent - 1) * self.pitch() + self.columns.extent
    }

    /// Elements of one channel.
    pub(super) fn channel(&self) -> usize {
        self.rows.phases * self.columns.phases * self.plane()
    }

    /// Where the tap `(u, v)` of output position 0 is within a channel.
    fn tap(&self, u: usize, v: usize) -> usize {
        let ((a, i), (b, j)) = (self.rows.tap(u), self.columns.tap(v));
        (a * self.columns.phases + b) * self.plane() + i * self.pitch() + j
    }

    /// Where every tap of a group's channels is, counted from output position 0.
    pub(super) fn list_taps(&self, g: &Geometry, taps: &mut [u32]) {
        for (k, tap) in taps.iter_mut().enumerate() {
            let (c, u, v) = (k / g.taps(), k / g.kernel[1] % g.kernel[0], k % g.kernel[1]);
            *tap = (c * self.channel() + self.tap(u, v)) as u32;
        }
    }

    /// Lays out one channel of an image, a row of it after the other.
    pub(super) fn fill(&self, image: &[f32], channel: &mut [f32]) {
        let (rows, columns) = (&self.rows, &self.columns);
        for i in 0..rows.extent {
            // The last row is the longest: it has no next one to share zeros with.
            let is_last = i + 1 == rows.extent;
            let len = if is_last { columns.extent } else { columns.pitch };
            for (a, b) in (0..rows.phases).flat_map(|a| (0..columns.phases).map(move |b| (a, b))) {
                let plane = (a * columns.phases + b) * self.plane();
                let row = &mut channel[plane + i * columns.pitch..][..len];
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
        let inside = self.inside(phase);
        row[..inside.start].fill(0.0);
        row[inside.end..].fill(0.0);
        let from = (inside.start * self.stride + phase).checked_sub(self.padding);
        let Some(from) = from.and_then(|first| image.get(first..)) else { return };
        let row = &mut row[inside];
        match self.stride {
            1 => row.copy_from_slice(&from[..row.len()]),
            2 => every::<2>(from, row),
            4 => every::<4>(from, row),
            stride => row.iter_mut().zip(from.iter().step_by(stride)).for_each(|(r, &x)| *r = x),
        }
    }
}

/// Every `STRIDE`th element of `from`: in vectors, since the stride is known.
fn every<const STRIDE: usize>(from: &[f32], row: &mut [f32]) {
    let (whole, rest) = from.as_chunks::<STRIDE>();
    let firsts = whole.iter().map(|x| x[0]).chain(rest.first().copied());
    row.iter_mut().zip(firsts).for_each(|(r, x)| *r = x);
}
