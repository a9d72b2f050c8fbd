//! Boxes of elements, and where they lie in tensors with strides: one mechanism for permuting,
//! slicing, concatenating, padding and broadcasting, on CPU and GPU.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand};
use crate::ops::Types;
use crate::tensor::{Shape, TensorType};

/// The most axes that the ops of this folder take.
pub const MAX_RANK: usize = 6;

/// A box of elements in row-major order, and where each lies in N tensors. Neighbouring axes that all
/// tensors step through evenly are one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strided<const N: usize> {
    /// The extents; missing axes are leading ones.
    pub(crate) dims: [usize; MAX_RANK],
    /// For each tensor the distance between neighbours along each axis.
    pub(crate) strides: [[usize; MAX_RANK]; N],
    /// For each tensor where the first element lies.
    pub(crate) bases: [usize; N],
}

impl<const N: usize> Strided<N> {
    /// A box of at most [`MAX_RANK`] axes.
    pub(crate) fn new(dims: &[usize], strides: [&[usize]; N], bases: [usize; N]) -> Self {
        let mut merged = Strided { dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; N], bases };
        // The place of the axis that was last put in, from the end.
        let mut place = MAX_RANK;
        for axis in (0..dims.len()).rev().filter(|&axis| dims[axis] != 1) {
            let is_even = place < MAX_RANK
                && (0..N)
                    .all(|n| strides[n][axis] == merged.strides[n][place] * merged.dims[place]);
            if is_even {
                merged.dims[place] *= dims[axis];
                continue;
            }
            place = place.saturating_sub(1);
            merged.dims[place] = dims[axis];
            (0..N).for_each(|n| merged.strides[n][place] = strides[n][axis]);
        }
        merged
    }

    /// The number of elements.
    pub(crate) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// The number of axes, at least 1.
    pub(crate) fn rank(&self) -> usize {
        MAX_RANK - self.dims.iter().take(MAX_RANK - 1).take_while(|&&d| d == 1).count()
    }

    fn indices(&self, mut element: usize) -> [usize; MAX_RANK] {
        let mut indices = [0; MAX_RANK];
        for axis in (0..MAX_RANK).rev() {
            indices[axis] = element % self.dims[axis];
            element /= self.dims[axis];
        }
        indices
    }

    /// Where `element` lies in each tensor.
    pub(crate) fn offsets(&self, element: usize) -> [usize; N] {
        let indices = self.indices(element);
        let mut offsets = self.bases;
        for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
            *offset += indices.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>();
        }
        offsets
    }

    /// Tensor `n`'s elements between the first and the last that `elements` lie at.
    pub(crate) fn bounds(&self, n: usize, elements: &Range<usize>) -> Range<usize> {
        let (first, last) = (self.indices(elements.start), self.indices(elements.end - 1));
        let (mut low, mut high) = (self.bases[n], self.bases[n]);
        let mut is_fixed = true;
        for axis in 0..MAX_RANK {
            let stride = self.strides[n][axis];
            if is_fixed {
                low += first[axis] * stride;
                high += last[axis] * stride;
                is_fixed = first[axis] == last[axis];
            } else {
                high += (self.dims[axis] - 1) * stride;
            }
        }
        low..high + 1
    }

    /// Calls `f` for each run of `elements` along the last axis, with its place among `elements`, its
    /// first element's place in each tensor, and its length. The last axis' strides hold in a run.
    pub(crate) fn runs(&self, elements: Range<usize>, mut f: impl FnMut(usize, [usize; N], usize)) {
        const LAST: usize = MAX_RANK - 1;
        let mut indices = self.indices(elements.start);
        let mut offsets = self.offsets(elements.start);
        let mut element = elements.start;
        while element < elements.end {
            let length = (self.dims[LAST] - indices[LAST]).min(elements.end - element);
            f(element - elements.start, offsets, length);
            element += length;
            // On to the start of the next row.
            for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
                *offset -= indices[LAST] * strides[LAST];
            }
            indices[LAST] = 0;
            for axis in (0..LAST).rev() {
                indices[axis] += 1;
                let is_over = indices[axis] == self.dims[axis];
                for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
                    *offset += strides[axis];
                    if is_over {
                        *offset -= self.dims[axis] * strides[axis];
                    }
                }
                if !is_over {
                    break;
                }
                indices[axis] = 0;
            }
        }
    }

    /// The strides along the last axis.
    pub(crate) fn steps(&self) -> [usize; N] {
        let mut steps = [0; N];
        steps.iter_mut().zip(&self.strides).for_each(|(s, strides)| *s = strides[MAX_RANK - 1]);
        steps
    }
}

/// The strides of a tensor whose elements lie one after another.
pub(crate) fn contiguous(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// As `u32`, of what [`indexable`] has let through.
pub(crate) fn words<const K: usize>(values: [usize; K]) -> [u32; K] {
    values.map(|v| v as u32)
}

/// Errors where a tensor has more elements than 32 bits count.
pub(crate) fn indexable(op: &'static str, types: &Types) -> Result<()> {
    let all = || types.inputs.iter().chain(&types.outputs);
    if all().all(|ty| u32::try_from(ty.elements()).is_ok()) {
        return Ok(());
    }
    let shapes = types.inputs.iter().map(|t| &t.shape);
    Err(Error::shape(op, shapes, "tensors of 2^32 elements or more need a smaller batch"))
}

/// Errors where a tensor is empty, too large, or of more than [`MAX_RANK`] axes.
pub(crate) fn expect_ranks(op: &'static str, inputs: &[TensorType]) -> Result<()> {
    let shapes = || inputs.iter().map(|t| &t.shape);
    for (i, ty) in inputs.iter().enumerate() {
        if ty.shape.checked_elements().is_none_or(|n| n == 0) {
            return Err(Error::shape(op, shapes(), format!("input {i} is empty or too large")));
        }
        if ty.shape.rank() > MAX_RANK {
            let problem = format!("input {i} has more than {MAX_RANK} axes");
            return Err(Error::shape(op, shapes(), problem));
        }
    }
    Ok(())
}

/// Errors where a shape that is asked for has more than [`MAX_RANK`] axes, no elements, or too many.
pub(crate) fn expect_shape(op: &'static str, inputs: &[TensorType], shape: &Shape) -> Result<()> {
    if shape.rank() <= MAX_RANK && shape.checked_elements().is_some_and(|n| n > 0) {
        return Ok(());
    }
    let shapes = inputs.iter().map(|t| &t.shape);
    let problem = format!("{shape} must have at most {MAX_RANK} axes, and elements");
    Err(Error::shape(op, shapes, problem))
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    first: u32,
    origin: u32,
    window: u32,
    dims: [u32; MAX_RANK],
    strides: [u32; MAX_RANK],
}

/// Which side of a copy has the strides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// What is read.
    Source,
    /// What is written.
    Target,
}

/// The dispatches that copy a box from `source` to `target`. `elements` is the size of the tensor
/// with strides; the other holds the box alone.
///
/// Where tensors are larger than a binding, each pair of windows that meet has a dispatch.
pub(crate) fn copies(
    strided: &Strided<1>,
    side: Side,
    (source, target): (Operand, Operand),
    elements: usize,
    adapter: &Adapter,
) -> Vec<Dispatch> {
    let mut dispatches = vec![];
    for range in adapter.chunks(strided.elements()) {
        let bounds = strided.bounds(0, &range);
        for window in adapter.chunks(elements) {
            if window.end <= bounds.start || bounds.end <= window.start {
                continue;
            }
            let params = Params {
                count: range.len() as u32,
                first: range.start as u32,
                origin: (strided.bases[0] as u32).wrapping_sub(window.start as u32),
                window: window.len() as u32,
                dims: words(strided.dims),
                strides: words(strided.strides[0]),
            };
            let (read, written) = match side {
                Side::Source => (window, range.clone()),
                Side::Target => (range.clone(), window),
            };
            let dispatch = Dispatch::new(crate::kernel::shader!("shape/copy.wgsl"))
                .constant("SCATTER", side == Side::Target)
                .constant("RANK", strided.rank() as u32)
                .bind_range("source", source, read)
                .bind_range("target_data", target, written)
                .params(&params)
                .threads(range.len());
            dispatches.push(dispatch);
        }
    }
    dispatches
}

/// Gathers a box into `target`, on all cores.
pub(crate) fn gather(strided: &Strided<1>, source: &[f32], target: &mut [f32]) {
    const PART: usize = 16 * 1024;
    let [step] = strided.steps();
    target.par_chunks_mut(PART).enumerate().for_each(|(part, target)| {
        let first = part * PART;
        strided.runs(first..first + target.len(), |at, [offset], length| {
            let target = &mut target[at..at + length];
            match step {
                0 => target.fill(source[offset]),
                1 => target.copy_from_slice(&source[offset..offset + length]),
                _ => {
                    let values = source[offset..].iter().step_by(step);
                    target.iter_mut().zip(values).for_each(|(t, &s)| *t = s);
                }
            }
        });
    });
}

/// Scatters a box from `source`, its outermost axis on all cores.
///
/// The box lies in `target` in row-major order: no two of its elements are in one place, and what
/// belongs to one index of the outermost axis ends before the next begins.
pub(crate) fn scatter(strided: &Strided<1>, source: &[f32], target: &mut [f32]) {
    let outer = MAX_RANK - strided.rank();
    let (extent, stride) = (strided.dims[outer], strided.strides[0][outer].max(1));
    let inner = source.len() / extent;
    let start = strided.bases[0] - strided.bases[0] % stride;
    let [step] = strided.steps();
    let parts = target[start..].par_chunks_mut(stride).take(extent).enumerate();
    parts.with_min_len((16 * 1024 / stride).max(1)).for_each(|(i, target)| {
        strided.runs(i * inner..(i + 1) * inner, |at, [offset], length| {
            let source = &source[i * inner + at..][..length];
            let target = &mut target[offset - start - i * stride..];
            if step == 1 {
                target[..length].copy_from_slice(source);
            } else {
                let places = target.iter_mut().step_by(step.max(1));
                places.zip(source).for_each(|(t, &s)| *t = s);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::case::Draw;

    #[test]
    fn axes_merge_and_offsets_stay() {
        let merged = Strided::new(&[2, 3, 4, 5], [&[60, 20, 5, 1]], [7]);
        assert_eq!((merged.rank(), merged.dims[5], merged.elements()), (1, 120, 120));
        let mut draw = Draw::new(3);
        for _ in 0..200 {
            let rank = draw.size(1, 6);
            let dims = draw.shape(rank, 4);
            let draw_strides =
                |draw: &mut Draw| (0..rank).map(|_| draw.size(0, 9)).collect::<Vec<_>>();
            let (a, b) = (draw_strides(&mut draw), contiguous(dims.dims()));
            let boxed = Strided::new(dims.dims(), [&a, &b], [11, 0]);
            assert_eq!(boxed.elements(), dims.elements());
            for element in 0..dims.elements() {
                let (mut rest, mut offset) = (element, 11);
                for axis in (0..rank).rev() {
                    offset += rest % dims.dims()[axis] * a[axis];
                    rest /= dims.dims()[axis];
                }
                assert_eq!(boxed.offsets(element), [offset, element]);
                let end = draw.size(element + 1, dims.elements());
                assert!(boxed.bounds(0, &(element..end)).contains(&offset));
            }
        }
    }
}
