//! Winograd convolution F(m x m, 3 x 3): its transforms, and how far off its results may be.
//!
//! `shaders/lib/winograd.wgsl` has the same matrices as code; `docs/winograd.md` derives the bounds.

use crate::tolerance::Tolerance;

/// The taps of the kernel along an axis.
const TAPS: usize = 3;

/// Convolutions of 3 x 3 at stride 1 in tiles of m x m outputs, with (m + 2)^2 products a tile and pair
/// of channels instead of 9 m^2:
///
/// ```text
/// y = A^T [ (G g G^T) * (B^T d B) ] A      * element by element, summed over the channels
/// ```
///
/// with `g` the kernel and `d` the tile's `(m + 2) x (m + 2)` inputs.
///
/// Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2015, "Fast algorithms
/// for convolutional neural networks".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Winograd {
    /// F(2 x 2, 3 x 3): 16 products instead of 36.
    Two,
    /// F(4 x 4, 3 x 3): 36 products instead of 144.
    Four,
}

const OUTPUT_TWO: &[&[f64]] = &[&[1.0, 1.0, 1.0, 0.0], &[0.0, 1.0, -1.0, -1.0]];

const WEIGHT_TWO: &[&[f64]] =
    &[&[1.0, 0.0, 0.0], &[0.5, 0.5, 0.5], &[0.5, -0.5, 0.5], &[0.0, 0.0, 1.0]];

const INPUT_TWO: &[&[f64]] = &[
    &[1.0, 0.0, -1.0, 0.0],
    &[0.0, 1.0, 1.0, 0.0],
    &[0.0, -1.0, 1.0, 0.0],
    &[0.0, 1.0, 0.0, -1.0],
];

const OUTPUT_FOUR: &[&[f64]] = &[
    &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    &[0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
    &[0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    &[0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
];

const WEIGHT_FOUR: &[&[f64]] = &[
    &[1.0 / 4.0, 0.0, 0.0],
    &[-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    &[-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    &[1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    &[1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    &[0.0, 0.0, 1.0],
];

const INPUT_FOUR: &[&[f64]] = &[
    &[4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    &[0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
    &[0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
    &[0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
    &[0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
    &[0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
];

impl Winograd {
    /// Both, the smaller tile first.
    pub const ALL: [Winograd; 2] = [Winograd::Two, Winograd::Four];

    /// The name of the GPU's variants that compute so.
    pub fn name(self) -> &'static str {
        match self {
            Winograd::Two => "winograd_2x2",
            Winograd::Four => "winograd_4x4",
        }
    }

    /// The one whose variants have this name.
    pub fn named(name: &str) -> Option<Self> {
        Winograd::ALL.into_iter().find(|winograd| winograd.name() == name)
    }

    /// Outputs of a tile along an axis, m.
    pub fn tile(self) -> usize {
        self.output_transform().len()
    }

    /// Inputs of a tile along an axis, m + 2; the products of a tile are the square of it.
    pub fn side(self) -> usize {
        self.tile() + TAPS - 1
    }

    /// `A^T`, row by row, `[tile, side]`.
    pub fn output_transform(self) -> &'static [&'static [f64]] {
        match self {
            Winograd::Two => OUTPUT_TWO,
            Winograd::Four => OUTPUT_FOUR,
        }
    }

    /// `G`, row by row, `[side, 3]`.
    pub fn weight_transform(self) -> &'static [&'static [f64]] {
        match self {
            Winograd::Two => WEIGHT_TWO,
            Winograd::Four => WEIGHT_FOUR,
        }
    }

    /// `B^T`, row by row, `[side, side]`.
    pub fn input_transform(self) -> &'static [&'static [f64]] {
        match self {
            Winograd::Two => INPUT_TWO,
            Winograd::Four => INPUT_FOUR,
        }
    }

    /// The most roundings between an input or a weight and an output, where `channels` products are
    /// summed (a bias counts as one): n of `gamma_n = n u / (1 - n u)` in the error bound.
    pub fn roundings(self, channels: usize) -> usize {
        let longest = |rows: &[&[f64]]| {
            let terms = rows.iter().map(|row| row.iter().filter(|&&x| x != 0.0).count());
            terms.max().unwrap_or(0)
        };
        // A row of n terms is n - 1 additions and one factor that is no power of two. 1/6 is not a
        // single-precision number, which is one more.
        let weights = match self {
            Winograd::Two => longest(self.weight_transform()),
            Winograd::Four => longest(self.weight_transform()) + 1,
        };
        let once = longest(self.output_transform()) + weights + longest(self.input_transform());
        // Each transform is done along both axes. A product is a rounding, each further one that is
        // added to it another.
        2 * once + channels
    }

    /// How many times as large the error bound is as that of a direct sum with as many roundings, where
    /// all inputs are of one size and all weights too:
    /// `(max_i sum_t |A^T[i, t]| |G[t]| |B^T[t]| / 3)^2`, with the sums of a row's absolute values.
    pub fn growth(self) -> f64 {
        let sum = |row: &[f64]| row.iter().map(|x| x.abs()).sum::<f64>();
        let bound = |row: &&[f64]| {
            let transforms = self.weight_transform().iter().zip(self.input_transform());
            let terms = row.iter().zip(transforms);
            terms.map(|(a, (g, b))| a.abs() * sum(g) * sum(b)).sum::<f64>()
        };
        let largest = self.output_transform().iter().map(bound).fold(0.0, f64::max);
        // Along both axes.
        (largest / TAPS as f64).powi(2)
    }

    /// How far an output may be off that sums the products of `channels` channels.
    pub fn tolerance(self, channels: usize) -> Tolerance {
        Tolerance::single(self.roundings(channels)).times(self.growth())
    }
}

/// The tolerance of an op of which the variant of this name computes sums of `terms` terms, all taps of
/// some channels.
pub(super) fn tolerance(variant: Option<&str>, terms: usize) -> Tolerance {
    match variant.and_then(Winograd::named) {
        Some(winograd) => winograd.tolerance(terms.div_ceil(TAPS * TAPS)),
        None => Tolerance::single(terms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(matrix: &[&[f64]], vector: &[f64]) -> Vec<f64> {
        matrix.iter().map(|row| row.iter().zip(vector).map(|(m, v)| m * v).sum()).collect()
    }

    #[test]
    fn the_transforms_give_the_correlation() {
        let mut draw = crate::ops::case::Draw::new(3);
        for winograd in Winograd::ALL {
            let side = winograd.side();
            assert_eq!(winograd.tile() + 2, side);
            let inputs = crate::ops::Array::from(&draw.normal([side])).data;
            let weights = crate::ops::Array::from(&draw.normal([3])).data;
            let products: Vec<f64> = times(winograd.input_transform(), &inputs)
                .iter()
                .zip(times(winograd.weight_transform(), &weights))
                .map(|(d, g)| d * g)
                .collect();
            let expected: Vec<f64> = inputs
                .windows(3)
                .map(|window| window.iter().zip(&weights).map(|(d, g)| d * g).sum())
                .collect();
            let outputs = times(winograd.output_transform(), &products);
            Tolerance::double().check(outputs, &expected).unwrap();
        }
    }

    #[test]
    fn growth_and_roundings_are_those_of_the_document() {
        assert!((Winograd::Two.growth() - 64.0 / 9.0).abs() < 1e-12);
        assert!((Winograd::Four.growth() - 256.0).abs() < 1e-9, "{}", Winograd::Four.growth());
        assert_eq!(Winograd::ALL.map(|w| w.roundings(64)), [80, 90]);
    }
}
