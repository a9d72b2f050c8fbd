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
pub(super) struct Product<'a, W> {
    pub(super) weight: &'a [f32],
    pub(super) weight_step: usize,
    pub(super) rows: usize,
    pub(super) taps: &'a [Tap],
    /// At least [`SLACK`] elements longer than the taps of the last position reach.
    pub(super) input: &'a [f32],
    pub(super) positions: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) write: W,
}

impl<W: FnMut(usize, usize, &[f32])> Product<'_, W> {
    /// Computes on this thread, with the widest vectors that the processor has.
    pub(super) fn run(self) {
        pulp::Arch::new().dispatch(self);
    }
}

impl<W: FnMut(usize, usize, &[f32])> WithSimd for Product<'_, W> {
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

impl<W: FnMut(usize, usize, &[f32])> Product<'_, W> {
    /// `ROWS` rows, all positions.
    #[inline(always)]
    fn strip<S: Simd, const ROWS: usize>(&mut self, simd: S, row: usize) -> usize {
        let wide = COLUMNS * S::F32_LANES;
        let weight = &self.weight[row * self.weight_step..];
        let reach = weight.len().saturating_sub((ROWS - 1) * self.weight_step);
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|m| &weight[m * self.weight_step..][..reach]);
        let mut tile = [0.0; MAX_ROWS * SLACK];
        let mut at = 0;
        while at < self.positions {
            let mut sums = [[simd.splat_f32s(0.0); COLUMNS]; ROWS];
            if let Some(bias) = self.bias {
                for m in 0..ROWS {
                    sums[m] = [simd.splat_f32s(bias[row + m]); COLUMNS];
                }
            }
            let input = &self.input[at..];
            for tap in self.taps {
                let (from, _) = S::as_simd_f32s(&input[tap.input as usize..][..wide]);
                let x: [S::f32s; COLUMNS] = std::array::from_fn(|j| from[j]);
                let place = tap.weight as usize;
                for m in 0..ROWS {
                    let w = simd.splat_f32s(rows[m][place]);
                    for j in 0..COLUMNS {
                        sums[m][j] = simd.mul_add_e_f32s(w, x[j], sums[m][j]);
                    }
                }
            }
            let (vectors, _) = S::as_mut_simd_f32s(&mut tile);
            for m in 0..ROWS {
                vectors[m * COLUMNS..][..COLUMNS].copy_from_slice(&sums[m]);
            }
            let run = wide.min(self.positions - at);
            for (m, values) in tile.chunks(wide).take(ROWS).enumerate() {
                (self.write)(row + m, at, &values[..run]);
            }
            at += wide;
        }
        ROWS
    }
}
