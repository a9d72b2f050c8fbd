//! Means of two images.

use crate::philox::{Stream, normal_pair};

/// The other image's share: a draw from Beta(alpha, alpha + 1), as a quotient of gamma draws.
pub(super) fn share(alpha: f32, random: &mut Stream) -> f32 {
    let alpha = f64::from(alpha);
    let (other, own) = (gamma(alpha, random), gamma(alpha + 1.0, random));
    let sum = other + own;
    if sum > 0.0 { (other / sum) as f32 } else { 0.0 }
}

/// A draw from the gamma distribution with this shape and scale 1.
/// Source: Marsaglia & Tsang 2000, "A simple method for generating gamma variables".
fn gamma(shape: f64, random: &mut Stream) -> f64 {
    if shape < 1.0 {
        // Their section 6: a draw of one more, times a uniform to the power of 1 / shape.
        let uniform = 1.0 - f64::from(random.uniform());
        return gamma(shape + 1.0, random) * uniform.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let [normal, _] = normal_pair(random.word(), random.word()).map(f64::from);
        let v = (1.0 + c * normal).powi(3);
        let uniform = 1.0 - f64::from(random.uniform());
        if v > 0.0 && uniform.ln() < normal * normal / 2.0 + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// `other = share * other + (1 - share) * image`
pub(super) fn mix(other: &mut [f32], image: &[f32], share: f32) {
    for (other, &own) in other.iter_mut().zip(image) {
        *other = share * *other + (1.0 - share) * own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.2f32, 1.0, 4.0] {
            let mut random = Stream::new(31, [alpha.to_bits(), 0, 0]);
            let n = 40_000;
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..n {
                let share = f64::from(share(alpha, &mut random));
                assert!((0.0..=1.0).contains(&share));
                sum += share;
                squares += share * share;
            }
            let (n, a, b) = (f64::from(n), f64::from(alpha), f64::from(alpha) + 1.0);
            let mean = a / (a + b);
            let variance = a * b / ((a + b).powi(2) * (a + b + 1.0));
            // Five standard errors; that of the variance is below 2 variances / sqrt(n) here.
            assert!((sum / n - mean).abs() < 5.0 * (variance / n).sqrt(), "{alpha}: {}", sum / n);
            let found = squares / n - (sum / n).powi(2);
            assert!((found - variance).abs() < 10.0 * variance / n.sqrt(), "{alpha}: {found}");
        }
    }
}
