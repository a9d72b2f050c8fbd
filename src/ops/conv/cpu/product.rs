//! The inner loop of the forward pass and of the input's gradient: a tile of channels by positions
//! in registers, over all taps.

use pulp::{Simd, WithSimd};

/// One tap: where its weight is and where its input is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Tap {
    pub(super) weight: u32,
    pub(super) input: u32,
}

/// Elements that a tile may read beyond the last position: as wide as the widest tile.
pub(super) const SLACK: usize = COLUMNS * MAX_LANES;

/// Vectors of positions in a tile. With eight rows they fill the 32 registers of AVX-512 and of
/// NEON, with four the 16 of AVX2: accumulators, the inputs, and a weight.
const COLUMNS: usize = 3;
const MAX_LANES: usize = 16;
const MAX_ROWS: usize = 8;

/// `sum over taps of weight[row * weight_step + tap.weight] * input[position + tap.input]`, plus the
/// row's bias, for each row and position; `write(row, position, values)` takes a run of results.
pub(super) struct Product<'a> {
    pub(super) weight: &'a [f32],
    pub(super) weight_step: usize,
    pub(super) rows: usize,
    pub(super) taps: &'a [Tap],
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
            let left = self.rows - row;
            row += match left {
                8.. if S::F32_LANES == 16 || cfg!(target_arch = "aarch64") => {
                    self.strip::<S, 8>(simd, row)
                }
                4.. => self.strip::<S, 4>(simd, row),
                2.. => self.strip::<S, 2>(simd, row),
                _ => self.strip::<S, 1>(simd, row),
            };
        }
    }
}

impl Product<'_> {
    /// `ROWS` rows, all positions: in whole tiles, then in a narrower one.
    #[inline(always)]
    fn strip<S: Simd, const ROWS: usize>(&mut self, simd: S, row: usize) -> usize {
        let mut at = 0;
        while at < self.positions {
            let vectors = (self.positions - at).div_ceil(S::F32_LANES);
            at += match vectors {
                1 => self.tile::<S, ROWS, 1>(simd, row, at),
                2 => self.tile::<S, ROWS, 2>(simd, row, at),
                _ => self.tile::<S, ROWS, COLUMNS>(simd, row, at),
            };
        }
        ROWS
    }

    /// `ROWS` rows by `WIDTH` vectors of positions.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        row: usize,
        at: usize,
    ) -> usize {
        let wide = WIDTH * S::F32_LANES;
        let weight = &self.weight[row * self.weight_step..];
        let reach = weight.len().saturating_sub((ROWS - 1) * self.weight_step);
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|m| &weight[m * self.weight_step..][..reach]);
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; ROWS];
        if let Some(bias) = self.bias {
            for m in 0..ROWS {
                sums[m] = [simd.splat_f32s(bias[row + m]); WIDTH];
            }
        }
        let input = &self.input[at..];
        for tap in self.taps {
            let (from, _) = S::as_simd_f32s(&input[tap.input as usize..][..wide]);
            let x: [S::f32s; WIDTH] = std::array::from_fn(|j| from[j]);
            let place = tap.weight as usize;
            for m in 0..ROWS {
                let w = simd.splat_f32s(rows[m][place]);
                for j in 0..WIDTH {
                    sums[m][j] = simd.mul_add_e_f32s(w, x[j], sums[m][j]);
                }
            }
        }
        // All of them at once: a loop around `write` would keep the sums from being in registers.
        let mut results = [0.0; MAX_ROWS * SLACK];
        let (vectors, _) = S::as_mut_simd_f32s(&mut results);
        for m in 0..ROWS {
            vectors[m * WIDTH..][..WIDTH].copy_from_slice(&sums[m]);
        }
        let run = wide.min(self.positions - at);
        for (m, values) in results.chunks(wide).take(ROWS).enumerate() {
            (self.write)(row + m, at, &values[..run]);
        }
        wide
    }
}
