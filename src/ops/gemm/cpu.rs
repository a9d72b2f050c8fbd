//! The CPU engine's matrix product, on the `gemm` crate's kernels.

use gemm_common::Parallelism;

/// A matrix within a slice: element `(i, j)` is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// The distance from one row to the next.
    pub row_stride: usize,
    /// The distance from one column to the next.
    pub column_stride: usize,
}

/// A matrix within a slice, to write: element `(i, j)` is at `i * row_stride + j * column_stride`.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// The elements.
    pub data: &'a mut [f32],
    /// The distance from one row to the next.
    pub row_stride: usize,
    /// The distance from one column to the next.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix of contiguous rows, `stride` apart.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Matrix { data, row_stride: stride, column_stride: 1 }
    }

    /// The transposed matrix.
    pub fn transposed(self) -> Self {
        Matrix { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
}

impl<'a> MatrixMut<'a> {
    /// A matrix of contiguous rows, `stride` apart.
    pub fn rows(data: &'a mut [f32], stride: usize) -> Self {
        MatrixMut { data, row_stride: stride, column_stride: 1 }
    }
}

/// On how many threads a product runs. The result has the same bits either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// On the calling thread, for callers that are parallel themselves.
    One,
    /// On all threads of rayon's pool.
    All,
}

/// `c = a * b`, or `c += a * b` where `accumulate`; `a` is m x k, `b` k x n and `c` m x n.
///
/// # Panics
/// If a matrix does not lie within its slice, or elements of `c` overlap: mistakes of the calling
/// code, which no input can bring about.
pub fn gemm(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    mut c: MatrixMut<'_>,
    accumulate: bool,
    threads: Threads,
) {
    let is_thin = m <= THIN;
    if c.column_stride >= c.row_stride || (is_thin && b.column_stride > b.row_stride) {
        // Either c's columns are contiguous, as the kernels like it, or b's are and a is small:
        // then a is packed, and b, which would cost more than the product to pack, read in place.
        run([m, n, k], a, b, &mut c, accumulate, threads);
    } else if is_thin && b.row_stride >= LONG_ROW {
        // A few rows of b at a time, so that the pages they lie on stay within reach.
        for start in (0..k.max(1)).step_by(ROWS_AT_ONCE) {
            let a = Matrix { data: tail(a.data, start * a.column_stride), ..a };
            let b = Matrix { data: tail(b.data, start * b.row_stride), ..b };
            let k = ROWS_AT_ONCE.min(k - start);
            run_transposed([m, n, k], a, b, &mut c, accumulate || start > 0, threads);
        }
    } else {
        run_transposed([m, n, k], a, b, &mut c, accumulate, threads);
    }
}

/// Products of at most this many rows read each element of b for little arithmetic.
const THIN: usize = 64;
/// Rows of this many elements lie on different pages.
const LONG_ROW: usize = 2048;
/// As many pages as the processor translates without a walk.
const ROWS_AT_ONCE: usize = 64;

fn tail(data: &[f32], start: usize) -> &[f32] {
    data.get(start..).unwrap_or_default()
}

/// The kernels write whole vectors down the columns of c. A c whose rows are contiguous is computed
/// as its transpose: c' = b' * a'.
fn run_transposed(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut MatrixMut<'_>,
    accumulate: bool,
    threads: Threads,
) {
    let (row_stride, column_stride) = (c.column_stride, c.row_stride);
    let mut c = MatrixMut { data: &mut *c.data, row_stride, column_stride };
    run([n, m, k], b.transposed(), a.transposed(), &mut c, accumulate, threads);
}

// The gemm crate takes raw pointers. The assertions are all that its contract asks for: every
// element it reads or writes lies within a slice that is borrowed for the length of the call, and
// no two elements of c are the same.
#[allow(unsafe_code)]
fn run(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut MatrixMut<'_>,
    accumulate: bool,
    threads: Threads,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(fits([m, n], [c.row_stride, c.column_stride], c.data.len()), "c leaves its slice");
    assert!(distinct([m, n], [c.row_stride, c.column_stride]), "elements of c overlap");
    assert!(fits([m, k], [a.row_stride, a.column_stride], a.data.len()), "a leaves its slice");
    assert!(fits([k, n], [b.row_stride, b.column_stride], b.data.len()), "b leaves its slice");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    let kernel = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: see above. Strides of slices fit an isize.
    unsafe {
        kernel(
            m,
            n,
            k,
            c.data.as_mut_ptr(),
            c.column_stride as isize,
            c.row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Whether every element of a matrix of these extents and strides lies within `len` elements.
fn fits(extents: [usize; 2], strides: [usize; 2], len: usize) -> bool {
    if extents.contains(&0) {
        return true;
    }
    let reach = |i: usize| (extents[i] - 1).checked_mul(strides[i]);
    let last = reach(0).zip(reach(1)).and_then(|(rows, columns)| rows.checked_add(columns));
    last.is_some_and(|last| last < len)
}

/// Whether all elements have places of their own: one stride steps over the other's whole reach.
fn distinct(extents: [usize; 2], strides: [usize; 2]) -> bool {
    let steps_over = |inner: usize, outer: usize| {
        (extents[inner] == 1 || strides[inner] > 0)
            && (extents[outer] == 1 || strides[outer] > (extents[inner] - 1) * strides[inner])
    };
    steps_over(0, 1) || steps_over(1, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>) -> Vec<f64> {
        let at = |x: Matrix<'_>, i: usize, j: usize| {
            f64::from(x.data[i * x.row_stride + j * x.column_stride])
        };
        let element = |e: usize| (0..k).map(|l| at(a, e / n, l) * at(b, l, e % n)).sum();
        (0..m * n).map(element).collect()
    }

    #[test]
    fn products_of_every_orientation() {
        let mut stream = crate::philox::Stream::new(7, [0; 3]);
        for [m, n, k] in [
            [1, 1, 1],
            [5, 7, 3],
            [16, 48, 33],
            [70, 1, 130],
            [1, 65, 9],
            [129, 66, 40],
            [5, 2050, 140],
        ] {
            let mut draw =
                |len: usize| (0..len).map(|_| stream.uniform() - 0.5).collect::<Vec<_>>();
            let (a, b, before) = (draw(m * k), draw(k * n), draw(m * n));
            for case in 0..8 {
                let a = if case & 1 == 0 {
                    Matrix::rows(&a, k)
                } else {
                    Matrix::rows(&a, m).transposed()
                };
                let b = if case & 2 == 0 {
                    Matrix::rows(&b, n)
                } else {
                    Matrix::rows(&b, k).transposed()
                };
                let expected = naive([m, n, k], a, b);
                let accumulate = case & 4 != 0;
                let mut bits = vec![];
                for threads in [Threads::One, Threads::All] {
                    let mut c = before.clone();
                    gemm([m, n, k], a, b, MatrixMut::rows(&mut c, n), accumulate, threads);
                    let factor = f64::from(u8::from(accumulate));
                    let sums =
                        c.iter().zip(&before).map(|(&c, &b)| f64::from(c) - factor * f64::from(b));
                    crate::tolerance::Tolerance::single(k + 4).check(sums, &expected).unwrap();
                    bits.push(c);
                }
                assert_eq!(bits[0], bits[1]);
            }
        }
    }

    #[test]
    fn places_are_checked() {
        assert!(fits([3, 4], [4, 1], 12) && !fits([3, 4], [4, 1], 11));
        assert!(!fits([3, 4], [usize::MAX, 1], 12));
        assert!(distinct([3, 4], [4, 1]) && distinct([3, 4], [1, 3]) && distinct([1, 4], [0, 1]));
        assert!(!distinct([3, 4], [3, 1]) && !distinct([3, 4], [0, 1]));
    }
}
