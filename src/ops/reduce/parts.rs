//! The second stage of sums that are computed in parts.

use std::ops::Range;

use crate::kernel::{Adapter, Dispatch, Operand};

/// What the second stage's shaders take.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct PartsParams {
    pub(crate) length: u32,
    pub(crate) parts: u32,
    pub(crate) output_start: u32,
    pub(crate) accumulate: u32,
}

/// [`add_parts_into`] output 0.
pub(crate) fn add_parts(
    sums: usize,
    parts: usize,
    range: &Range<usize>,
    accumulate: bool,
) -> Dispatch {
    add_parts_into(Operand::Output(0), sums, parts, range, accumulate)
}

/// Adds the `parts` rows of workspace `sums`, in order, to the elements `range` of `output`, or writes
/// their sum there unless `accumulate`. The rows are as long as the range.
pub(crate) fn add_parts_into(
    output: Operand,
    sums: usize,
    parts: usize,
    range: &Range<usize>,
    accumulate: bool,
) -> Dispatch {
    let (bound, start) = aligned(range.clone());
    Dispatch::new(crate::kernel::shader!("reduce/add_parts.wgsl"))
        .bind_range("sums", Operand::Workspace(sums), 0..parts * range.len())
        .bind_range("output", output, bound)
        .params(&PartsParams {
            length: range.len() as u32,
            parts: parts as u32,
            output_start: start as u32,
            accumulate: accumulate.into(),
        })
        .threads(range.len())
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct TotalParams {
    count: u32,
    factor: f32,
    accumulate: u32,
}

/// Writes `factor` times the sum of `count` values of workspace `values` to the single output 0, or adds
/// it where `accumulate`, in fixed order. One workgroup: a few thousand values at most.
pub(crate) fn total(values: usize, count: usize, factor: f32, accumulate: bool) -> Dispatch {
    Dispatch::new(crate::kernel::shader!("reduce/total.wgsl"))
        .bind_range("values", Operand::Workspace(values), 0..count)
        .bind("output", Operand::Output(0))
        .params(&TotalParams { count: count as u32, factor, accumulate: accumulate.into() })
        .groups(1)
}

/// `range` extended to an aligned start, for a binding, and where it starts within that.
pub(crate) fn aligned(range: Range<usize>) -> (Range<usize>, usize) {
    let start = range.start - range.start % Adapter::ALIGNMENT;
    (start..range.end, range.start - start)
}

/// How many items of `size` elements fit a binding wherever their range starts.
pub(crate) fn fitting(adapter: &Adapter, size: usize, items: usize) -> usize {
    let max = adapter.max_binding_elements();
    if items.checked_mul(size).is_some_and(|all| all <= max) {
        return items;
    }
    (max - (Adapter::ALIGNMENT - 1)) / size.max(1)
}
