//! Sums over square windows within a channel, one axis after the other.

use std::ops::Range;

use rayon::prelude::*;

use super::near;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::Types;
use crate::ops::reduce::parts::{aligned, fitting};
use crate::tensor::TensorType;

/// Below this many elements a thread is not worth its waking.
pub(super) const LEAST: usize = 8 * 1024;

/// Windows in planes: how far they reach back (up, left) and on (down, right).
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub height: usize,
    pub width: usize,
    pub reach: [usize; 2],
}

/// The parameters of all kernels of windows.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    items: u32,
    start: u32,
    height: u32,
    width: u32,
    below: u32,
    above: u32,
    alpha: f32,
    k: f32,
}

impl Windows {
    /// Windows of `size` by `size` for the planes of input 0: from `size / 2` before a position to
    /// `(size - 1) / 2` after it, on both axes.
    pub fn new(types: &Types, size: usize) -> Self {
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| types.input(0)[i]);
        Windows { height, width, reach: [size / 2, (size - 1) / 2] }
    }

    /// The windows turned around: a position's are those that hold it.
    pub fn turned(self) -> Self {
        let [below, above] = self.reach;
        Windows { reach: [above, below], ..self }
    }

    pub fn plane(&self) -> usize {
        self.height * self.width
    }

    /// The longest sum.
    pub fn terms(&self) -> usize {
        let side = self.reach[0].saturating_add(self.reach[1]).saturating_add(1);
        side.min(self.height) * side.min(self.width)
    }

    /// Calls `f` on each row of `plane` and of `other` with the inverse of the number of rows in its
    /// windows and those of the number of columns. `scratch` is overwritten.
    pub fn rows(
        &self,
        plane: &mut [f32],
        other: &[f32],
        scratch: &mut [f32],
        f: impl Fn(&mut [f32], &[f32], f32, &[f32]),
    ) {
        let inverse = |at, size| 1.0 / near(at, self.reach, size).len() as f32;
        let columns = &mut scratch[..self.width];
        columns.iter_mut().enumerate().for_each(|(j, c)| *c = inverse(j, self.width));
        let rows = plane.chunks_mut(self.width).zip(other.chunks(self.width));
        rows.enumerate().for_each(|(i, (row, other))| {
            f(row, other, inverse(i, self.height), columns);
        });
    }

    /// Replaces `plane` by the sums over windows of its elements. `rows` is scratch.
    pub fn sum(&self, plane: &mut [f32], rows: &mut [f32]) {
        let width = self.width;
        let [below, above] = self.reach.map(|reach| reach.min(width - 1));
        for (sums, terms) in rows.chunks_mut(width).zip(plane.chunks(width)) {
            sums.copy_from_slice(terms);
            let add = |sums: &mut [f32], terms: &[f32]| {
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            };
            (1..=below).for_each(|offset| add(&mut sums[offset..], terms));
            (1..=above).for_each(|offset| add(sums, &terms[offset..]));
        }
        for (row, sums) in plane.chunks_mut(width).enumerate() {
            sums.fill(0.0);
            for terms in near(row, self.reach, self.height).map(|row| &rows[row * width..][..width])
            {
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
        }
    }
}

/// Calls `f` for each plane of `output` with its range in the tensor and a plane of scratch.
pub(super) fn planes(
    plane: usize,
    output: &mut [f32],
    scratch: &mut [f32],
    f: impl Fn(Range<usize>, &mut [f32], &mut [f32]) + Send + Sync,
) {
    let planes = output.par_chunks_mut(plane).zip(scratch.par_chunks_mut(plane)).enumerate();
    planes.with_min_len(LEAST.div_ceil(plane)).for_each(|(index, (output, scratch))| {
        f(index * plane..(index + 1) * plane, output, scratch);
    });
}

/// The two stages of a kernel of windows for as many planes as fit the bindings: `rows` writes workspace
/// 0, `finish` sums it along the columns. Each gets its operands in parts, and `alpha` and `k`.
pub(super) fn two_stages(
    op: &'static str,
    types: &Types,
    adapter: &Adapter,
    windows: &Windows,
    [alpha, k]: [f32; 2],
    rows: (Dispatch, &[(&'static str, Operand)]),
    finish: (Dispatch, &[(&'static str, Operand)]),
) -> Result<Vec<Variant>> {
    let plane = windows.plane();
    let count = types.inputs[0].elements() / plane;
    let mut largest = 0;
    let mut dispatches = vec![];
    let fitting = fitting(adapter, plane, count);
    if fitting == 0 {
        return Err(Error::Memory {
            what: format!("one plane of {op}"),
            needed: 4 * plane as u64,
            device: adapter.name.clone(),
            available: adapter.max_binding_bytes,
            remedy: "use smaller images, or an adapter with larger storage bindings".into(),
        });
    }
    for first in (0..count).step_by(fitting) {
        let items = fitting.min(count - first) * plane;
        let (range, start) = aligned(first * plane..first * plane + items);
        largest = largest.max(items);
        let [below, above] = windows.reach;
        let params = Params {
            items: items as u32,
            start: start as u32,
            height: windows.height as u32,
            width: windows.width as u32,
            below: below.min(windows.height.max(windows.width)) as u32,
            above: above.min(windows.height.max(windows.width)) as u32,
            alpha,
            k,
        };
        for (dispatch, operands) in [&rows, &finish] {
            let bind =
                |d: Dispatch, &(name, operand): &_| d.bind_range(name, operand, range.clone());
            let bound = operands.iter().fold(dispatch.clone(), bind);
            dispatches
                .push(bound.bind("rows", Operand::Workspace(0)).params(&params).threads(items));
        }
    }
    let workspace = vec![TensorType::f32([largest])];
    Ok(vec![Variant { name: "separable", dispatches, workspace }])
}
