//! How far a result may be from the oracle: the one measure that all tests use.

/// `|x - reference| <= atol + rtol * (|reference| + rms(reference))`, where `rtol` grows with the
/// length of the sums behind each element.
///
/// The root mean square stands for the size of the terms that cancelled in an element near zero. A
/// sum of K terms in single precision is off by about sqrt(K) units in the last place; the factor
/// leaves room for the order of summation and for fused multiply-adds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tolerance {
    rtol: f64,
    atol: f64,
}

impl Tolerance {
    /// For single precision and sums of `terms` terms.
    pub fn single(terms: usize) -> Self {
        let rtol = f64::from(f32::EPSILON) * (4.0 + 2.0 * (terms as f64).sqrt());
        Tolerance { rtol, atol: f64::from(f32::MIN_POSITIVE) }
    }

    /// This, and then rounded to half precision: half a unit in its last place, and below its normal numbers
    /// half the distance between two.
    pub fn stored_as_half(self) -> Self {
        let (rtol, atol) = (0.5f64.powi(11), 0.5f64.powi(25));
        Tolerance { rtol: self.rtol + rtol, atol: self.atol + atol }
    }

    /// For double precision against double precision in another order.
    pub fn double() -> Self {
        Tolerance { rtol: 1e-11, atol: f64::from(f32::MIN_POSITIVE) }
    }

    /// For double precision against finite differences: the truncation of the difference, not the
    /// arithmetic, is the bound, but for what is lost where two values near `value` are subtracted
    /// and divided by `step`.
    pub fn finite_difference(value: f64, step: f64) -> Self {
        // Never 0, so that 0 is within the tolerance of 0.
        let atol = 16.0 * f64::EPSILON * value.abs() / step + f64::from(f32::MIN_POSITIVE);
        Tolerance { rtol: 2e-6, atol }
    }

    /// This many times as wide, for a chain of that many ops.
    pub fn times(self, factor: f64) -> Self {
        Tolerance { rtol: self.rtol * factor, atol: self.atol * factor }
    }

    /// The worst element outside the tolerance: a message that says where, and how far off.
    pub fn check(
        &self,
        actual: impl IntoIterator<Item = f64>,
        reference: &[f64],
    ) -> Result<(), String> {
        let mean_square =
            reference.iter().map(|r| r * r).sum::<f64>() / reference.len().max(1) as f64;
        let rms = mean_square.sqrt();
        let mut worst: Option<(usize, f64, f64)> = None;
        let mut count = 0;
        for (i, x) in actual.into_iter().enumerate() {
            count += 1;
            let Some(r) = reference.get(i) else { break };
            let bound = self.atol + self.rtol * (r.abs() + rms);
            let excess = (x - r).abs() / bound;
            // A NaN is worse than any number.
            if (excess.is_nan() || excess > 1.0)
                && worst.is_none_or(|(_, _, e)| excess.is_nan() || excess > e)
            {
                worst = Some((i, x, excess));
            }
        }
        if count != reference.len() {
            return Err(format!("{count} elements, expected {}", reference.len()));
        }
        match worst {
            None => Ok(()),
            Some((i, x, excess)) => {
                let r = reference[i];
                Err(format!(
                    "element {i} is {x:e}, expected {r:e}: {excess:.1} times the tolerance"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_errors_pass_and_larger_ones_are_named() {
        let reference = [1.0, -2.0, 0.0, 100.0];
        let t = Tolerance::single(1);
        assert!(t.check(reference, &reference).is_ok());
        assert!(t.check([1.0, -2.0, 0.0, 100.0 + 1e-5], &reference).is_ok());
        assert!(t.check([1.0, -2.0, 1e-3, 100.0], &reference).unwrap_err().contains("element 2"));
        assert!(
            t.check([1.0, f64::NAN, 0.0, 100.0], &reference).unwrap_err().contains("element 1")
        );
        assert!(t.check([1.0], &reference).is_err());
        assert!(Tolerance::finite_difference(0.0, 1e-5).check([0.0], &[0.0]).is_ok());
    }
}
