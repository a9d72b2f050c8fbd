//! The inner loop of the convolution and of both gradients: a tile of rows by positions in registers,
//! over all taps. In the forward pass and for the input's gradient rows are channels; the weight's
//! gradient has roles of its own (see `grad_weight`).

use pulp::{Simd, WithSimd};

/// Elements that a tile may read beyond the last position: as wide as the widest tile.
pub(super) const SLACK: usize = COLUMNS * MAX_LANES;

/// Vectors of positions in a tile, at most. Accumulators, inputs and a weight have to fit the registers:
/// 8 x 3 sums the 32 of AVX-512 and of NEON. In the 16 of AVX2 it is 6 x 2 and not 4 x 3: that would need
/// all 16 and not one to spare, and a sum in memory waits for itself at every tap.
const COLUMNS: usize = 3;
const MAX_LANES: usize = 16;
const MAX_ROWS: usize = 8;

/// Rows of the highest strip.
pub(super) fn strip_rows() -> usize {
    struct Rows;
    impl WithSimd for Rows {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            height::<S>(MAX_ROWS)
        }
    }
    pulp::Arch::new().dispatch(Rows)
}

/// Rows of the next strip, where so many are left.
#[inline(always)]
fn height<S: Simd>(left: usize) -> usize {
    match left {
        8.. if has_32_registers::<S>() => 8,
        6.. => 6,
        4.. => 4,
        3 => 3,
        2 => 2,
        _ => 1,
    }
}

/// Whether there are 32 vector registers and not 16.
fn has_32_registers<S: Simd>() -> bool {
    S::F32_LANES == 16 || cfg!(target_arch = "aarch64")
}

/// `sum over taps of weight[row, tap] * input[position + taps[tap]]`, plus the row's bias, for each row
/// and position; `write(row, position, values)` takes a run of results.
pub(super) struct Product<'a> {
    /// Row by row, `step` elements apart: a tile reads as many streams as it has rows.
    pub(super) weight: &'a [f32],
    pub(super) step: usize,
    pub(super) rows: usize,
    pub(super) taps: &'a [u32],
    /// At least [`SLACK`] elements longer than the taps of the last position reach.
    pub(super) input: &'a [f32],
    pub(super) positions: usize,
    pub(super) bias: Option<&'a [f32]>,
    /// Called through a pointer: inlined, the whole loop would be compiled once for each caller.
    pub(super) write: &'a mut dyn FnMut(usize, usize, &[f32]),
}

impl Product<'_> {
    /// Computes on this thread, with the widest vectors that the processor has.
    pub(super) fn run(self) {
        pulp::Arch::new().dispatch(self);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut row = 0;
        while row < self.rows {
            let height = height::<S>(self.rows - row);
            let strips = (self.rows - row) / height;
            match height {
                8 => self.strips::<S, 8, 3>(simd, row, strips),
                6 => self.strips::<S, 6, 2>(simd, row, strips),
                4 => self.strips::<S, 4, 2>(simd, row, strips),
                3 => self.strips::<S, 3, 3>(simd, row, strips),
                2 => self.strips::<S, 2, 3>(simd, row, strips),
                _ => self.strips::<S, 1, 3>(simd, row, strips),
            }
            row += strips * height;
        }
    }
}

impl Product<'_> {
    /// Strips of `HEIGHT` rows each, all positions: in tiles of `WIDTH` vectors, then in a narrower one.
    /// What a tile reads is in the first-level cache for the next strip.
    #[inline(always)]
    fn strips<S: Simd, const HEIGHT: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        first: usize,
        strips: usize,
    ) {
        let mut at = 0;
        while at < self.positions {
            let vectors = (self.positions - at).div_ceil(S::F32_LANES).min(WIDTH);
            for row in (first..).step_by(HEIGHT).take(strips) {
                match vectors {
                    1 => self.tile::<S, HEIGHT, 1>(simd, row, at),
                    2 => self.tile::<S, HEIGHT, 2>(simd, row, at),
                    _ => self.tile::<S, HEIGHT, WIDTH>(simd, row, at),
                }
            }
            at += vectors * S::F32_LANES;
        }
    }

    /// `HEIGHT` rows by `WIDTH` vectors of positions.
    #[inline(always)]
    fn tile<S: Simd, const HEIGHT: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        row: usize,
        at: usize,
    ) {
        let wide = WIDTH * S::F32_LANES;
        let (taps, depth) = (self.taps, self.taps.len());
        let weight: [&[f32]; HEIGHT] =
            std::array::from_fn(|m| &self.weight[(row + m) * self.step..][..depth]);
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; HEIGHT];
        if let Some(bias) = self.bias {
            for m in 0..HEIGHT {
                sums[m] = [simd.splat_f32s(bias[row + m]); WIDTH];
            }
        }
        let input = &self.input[at..];
        for k in 0..depth {
            let (from, _) = S::as_simd_f32s(&input[taps[k] as usize..][..wide]);
            let x: [S::f32s; WIDTH] = std::array::from_fn(|j| from[j]);
            for m in 0..HEIGHT {
                let w = simd.splat_f32s(weight[m][k]);
                for j in 0..WIDTH {
                    sums[m][j] = simd.mul_add_e_f32s(w, x[j], sums[m][j]);
                }
            }
        }
        // All of them at once: a loop around `write` would keep the sums from being in registers.
        let mut results = [0.0; MAX_ROWS * SLACK];
        let (vectors, _) = S::as_mut_simd_f32s(&mut results);
        for m in 0..HEIGHT {
            vectors[m * WIDTH..][..WIDTH].copy_from_slice(&sums[m]);
        }
        let run = wide.min(self.positions - at);
        for (m, values) in results.chunks(wide).take(HEIGHT).enumerate() {
            (self.write)(row + m, at, &values[..run]);
        }
    }
}
