//! How a product that is larger than a binding is cut into blocks.

use std::ops::Range;

use super::gpu::Stored;
use crate::kernel::Adapter;

/// Reduces the number of batch members, then of stored rows, then of columns, until the matrices
/// fit `limit` elements even if they start just before an aligned place.
pub(super) fn fit(
    matrix: &Stored,
    limit: usize,
    batch: &mut usize,
    [rows, columns]: [&mut usize; 2],
) {
    let one = (*rows - 1) * matrix.ld + *columns;
    if matrix.offset % Adapter::ALIGNMENT + (*batch - 1) * matrix.stride + one <= limit {
        return;
    }
    let limit = limit - (Adapter::ALIGNMENT - 1);
    if matrix.stride > 0 && *batch > 1 {
        *batch = if one > limit { 1 } else { (limit - one) / matrix.stride + 1 };
    }
    if one > limit {
        *columns = (*columns).min(limit);
        *rows = (*rows).min((limit - *columns) / matrix.ld + 1);
    }
}

/// An extent at most as large as `size` that cuts `whole` into parts of like size, which start at
/// whole vectors where that is possible.
pub(super) fn evened(whole: usize, size: usize) -> usize {
    if size >= whole {
        return whole;
    }
    let even = whole.div_ceil(whole.div_ceil(size)).next_multiple_of(Adapter::ALIGNMENT);
    if even <= size {
        even
    } else if size >= 4 {
        size - size % 4
    } else {
        size
    }
}

/// Half of an extent, in whole vectors where it is long.
pub(super) fn halved(extent: usize) -> usize {
    let half = extent.div_ceil(2);
    if half > 4 { half.next_multiple_of(4) } else { half }
}

/// `whole` in parts of `size`.
pub(super) fn steps(whole: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..whole).step_by(size.max(1)).map(move |start| start..(start + size).min(whole))
}
