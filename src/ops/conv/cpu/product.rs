//! The inner loop of the forward pass and of the input's gradient: a tile of channels by positions
//! in registers, over all taps. The weights are laid out before, so that a tap's lie side by side.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// One tap: where its weight is and where its input is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Tap {
    pub(super) weight: u32,
    pub(super) input: u32,
}

/// Elements that a tile may read beyond the last position: as wide as the widest tile.
pub(super) const SLACK: usize = COLUMNS * MAX_LANES;

/// Vectors of positions in a tile, at most. Accumulators, inputs and a weight have to fit the registers:
/// 8 x 3 sums the 32 of AVX-512 and of NEON. In the 16 of AVX2 it is 6 x 2 and not 4 x 3: that would need
/// all 16 and not one to spare, and a sum in memory waits for itself at every tap.
const COLUMNS: usize = 3;
const MAX_LANES: usize = 16;
const MAX_ROWS: usize = 8;

/// Channels that a thread computes at a time where several share an image: whole strips, of 8 and of 6.
pub(super) const ROWS: usize = 24;

/// Lays out the weights `weight[row * step + tap.weight]` as [`Product`] reads them, on all threads. There
/// are as many rows as `packed` has room for.
pub(super) fn pack(weight: &[f32], step: usize, taps: &[Tap], packed: &mut [f32]) {
    let parts = packed.par_chunks_mut((ROWS * taps.len()).max(1)).enumerate();
    parts.for_each(|(part, packed)| {
        let weight = weight.get(part * ROWS * step..).unwrap_or_default();
        pulp::Arch::new().dispatch(Pack { weight, step, taps, packed });
    });
}

struct Pack<'a> {
    weight: &'a [f32],
    step: usize,
    taps: &'a [Tap],
    packed: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.packed.len() / self.taps.len().max(1);
        let mut rest = &mut *self.packed;
        let mut row = 0;
        while row < rows {
            let height = height::<S>(rows - row);
            let (strip, after) = rest.split_at_mut(height * self.taps.len());
            let weight = self.weight.get(row * self.step..).unwrap_or_default();
            match height {
                8 => interleave::<8>(weight, self.step, self.taps, strip),
                6 => interleave::<6>(weight, self.step, self.taps, strip),
                4 => interleave::<4>(weight, self.step, self.taps, strip),
                2 => interleave::<2>(weight, self.step, self.taps, strip),
                _ => interleave::<1>(weight, self.step, self.taps, strip),
            }
            (row, rest) = (row + height, after);
        }
    }
}

/// `HEIGHT` rows, a tap after the other. Some taps at a time go through all rows, so that what is written
/// stays in the first-level cache.
#[inline(always)]
fn interleave<const HEIGHT: usize>(weight: &[f32], step: usize, taps: &[Tap], strip: &mut [f32]) {
    const TAPS: usize = 128;
    let (strip, _) = strip.as_chunks_mut::<HEIGHT>();
    for (strip, taps) in strip.chunks_mut(TAPS).zip(taps.chunks(TAPS)) {
        for m in 0..HEIGHT {
            let row = weight.get(m * step..).unwrap_or_default();
            for (values, tap) in strip.iter_mut().zip(taps) {
                values[m] = row[tap.weight as usize];
            }
        }
    }
}

/// Rows of the next strip, where so many are left.
#[inline(always)]
fn height<S: Simd>(left: usize) -> usize {
    match left {
        8.. if has_32_registers::<S>() => 8,
        6.. => 6,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Whether there are 32 vector registers and not 16.
pub(super) fn has_32_registers<S: Simd>() -> bool {
    S::F32_LANES == 16 || cfg!(target_arch = "aarch64")
}

/// `sum over taps of weight[row, tap] * input[position + tap.input]`, plus the row's bias, for each row
/// and position; `write(row, position, values)` takes a run of results.
pub(super) struct Product<'a> {
    /// Strips of rows one after the other, the rows of a strip side by side for each tap: see [`pack`].
    pub(super) weight: &'a [f32],
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
            let height = height::<S>(self.rows - row);
            match height {
                8 => self.strip::<S, 8, 3>(simd, row),
                6 => self.strip::<S, 6, 2>(simd, row),
                4 => self.strip::<S, 4, 2>(simd, row),
                2 => self.strip::<S, 2, 3>(simd, row),
                _ => self.strip::<S, 1, 3>(simd, row),
            }
            row += height;
        }
    }
}

impl Product<'_> {
    /// `HEIGHT` rows, all positions: in tiles of `WIDTH` vectors, then in a narrower one.
    #[inline(always)]
    fn strip<S: Simd, const HEIGHT: usize, const WIDTH: usize>(&mut self, simd: S, row: usize) {
        let mut at = 0;
        while at < self.positions {
            let vectors = (self.positions - at).div_ceil(S::F32_LANES);
            at += match vectors {
                1 => self.tile::<S, HEIGHT, 1>(simd, row, at),
                2 => self.tile::<S, HEIGHT, 2>(simd, row, at),
                _ => self.tile::<S, HEIGHT, WIDTH>(simd, row, at),
            };
        }
    }

    /// `HEIGHT` rows by `WIDTH` vectors of positions.
    #[inline(always)]
    fn tile<S: Simd, const HEIGHT: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        row: usize,
        at: usize,
    ) -> usize {
        let wide = WIDTH * S::F32_LANES;
        let (weight, _) = self.weight[row * self.taps.len()..].as_chunks::<HEIGHT>();
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; HEIGHT];
        if let Some(bias) = self.bias {
            for m in 0..HEIGHT {
                sums[m] = [simd.splat_f32s(bias[row + m]); WIDTH];
            }
        }
        let input = &self.input[at..];
        for (tap, weight) in self.taps.iter().zip(weight) {
            let (from, _) = S::as_simd_f32s(&input[tap.input as usize..][..wide]);
            let x: [S::f32s; WIDTH] = std::array::from_fn(|j| from[j]);
            for m in 0..HEIGHT {
                let w = simd.splat_f32s(weight[m]);
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
        wide
    }
}
