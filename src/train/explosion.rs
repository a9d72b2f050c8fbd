//! Gradients that explode, before anything is infinite.

use std::collections::VecDeque;

use super::divergence::REMEDY;
use super::{StepMetrics, Trainer};
use crate::error::{Error, Result};

/// Steps whose norms the median is of.
const WINDOW: usize = 32;
/// Steps before any norm is judged: the first ones have nothing to be compared with.
const WARM_UP: usize = 8;

/// The norms of all gradients taken together, step after step, and what they usually are.
///
/// The usual norm is the highest that the median of the last 32 steps has been. A median does not mind
/// a few steps that are out of the ordinary; the highest one is taken because gradients fall far when
/// a network has learned its images, and an image that it gets wrong is no explosion then.
#[derive(Debug, Default)]
pub(super) struct Norms {
    recent: VecDeque<f32>,
    usual: f32,
}

impl Norms {
    /// Above which norm gradients have exploded: `growth` times the usual one. There is none before
    /// enough steps have been seen, nor while gradients are zero.
    pub fn limit(&self, growth: f64) -> Option<f64> {
        let is_known = self.recent.len() >= WARM_UP && self.usual > 0.0;
        is_known.then(|| growth * f64::from(self.usual))
    }

    /// Whether `norm` is above the limit, or no finite number at all. If not, it is taken in.
    fn is_exploded(&mut self, norm: f32, growth: f64) -> bool {
        if !norm.is_finite() || self.limit(growth).is_some_and(|limit| f64::from(norm) > limit) {
            return true;
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(norm);
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        self.usual = self.usual.max(sorted[sorted.len() / 2]);
        false
    }
}

/// Errors unless gradients may grow by this factor; 0 is for any.
pub(super) fn check_gradient_growth(growth: f64) -> Result<()> {
    if growth == 0.0 || growth > 1.0 {
        return Ok(());
    }
    let remedy = "must be above 1, as 1000, or 0 not to look at gradients";
    Err(Error::setting("max-gradient-growth", growth, remedy))
}

impl Trainer {
    /// Errors where the gradients of a step that is done have exploded.
    pub(super) fn check_gradients(&mut self, metrics: StepMetrics) -> Result<StepMetrics> {
        let growth = self.options.max_gradient_growth;
        let Some(norm) = metrics.gradient_norm else { return Ok(metrics) };
        if !self.norms.is_exploded(norm, growth) {
            return Ok(metrics);
        }
        let usual = self.norms.usual;
        let problem = format!(
            "the gradients exploded: a norm of {norm:.3e} is more than {growth} times the usual \
             {usual:.3e} (`--max-gradient-growth`); {REMEDY}"
        );
        Err(Error::Diverged { step: metrics.step, layer: None, problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;

    /// Norms around 1, within a factor of 8.
    fn noisy(count: usize) -> Vec<f32> {
        let mut stream = Stream::new(3, [0; 3]);
        (0..count).map(|_| 2f32.powf(6.0 * stream.uniform() - 3.0)).collect()
    }

    fn first_exploded(norms: &[f32], growth: f64) -> Option<usize> {
        let mut seen = Norms::default();
        norms.iter().position(|&norm| seen.is_exploded(norm, growth))
    }

    #[test]
    fn a_norm_far_above_the_usual_is_an_explosion_and_noise_is_none() {
        let mut norms = noisy(200);
        assert_eq!(first_exploded(&norms, 100.0), None);
        norms[150] = 90.0;
        assert_eq!(first_exploded(&norms, 100.0), None);
        norms[150] = 900.0;
        assert_eq!(first_exploded(&norms, 100.0), Some(150));
        assert_eq!(first_exploded(&norms, 1000.0), None);
        norms[40] = f32::INFINITY;
        assert_eq!(first_exploded(&norms, 1000.0), Some(40));
        norms[40] = f32::NAN;
        assert_eq!(first_exploded(&norms, 1000.0), Some(40));
    }

    #[test]
    fn gradients_may_grow_slowly_and_fall_far() {
        let slope = |factor: f32| {
            noisy(400).into_iter().enumerate().map(move |(i, norm)| norm * factor.powi(i as i32))
        };
        // To 3,000 times the first norms, and to a millionth; a wrong image at the end of that.
        assert_eq!(first_exploded(&slope(1.02).collect::<Vec<_>>(), 100.0), None);
        let mut norms: Vec<_> = slope(0.965).collect();
        assert!(norms[399] < 1e-5);
        norms[399] = 10.0;
        assert_eq!(first_exploded(&norms, 100.0), None);
    }

    #[test]
    fn the_first_steps_are_not_judged() {
        let mut norms = noisy(20);
        norms[WARM_UP - 1] = 1e6;
        assert_eq!(first_exploded(&norms, 100.0), None);
        norms[WARM_UP] = 1e6;
        assert_eq!(first_exploded(&norms, 100.0), Some(WARM_UP));
        // A network that learns nothing at first has nothing to be compared with either.
        let dead = [&[0.0; 50][..], &norms[..]].concat();
        assert_eq!(first_exploded(&dead, 100.0), None);
    }
}
