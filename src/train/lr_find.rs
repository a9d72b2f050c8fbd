//! The learning-rate finder.

use super::Trainer;
use super::input::lend;
use super::step::finish_step;
use crate::data::Source;
use crate::error::{Error, Result};

/// The range that a learning-rate finder goes through.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LrRange {
    /// The first learning rate.
    pub from: f32,
    /// The last one.
    pub to: f32,
    /// Steps, in each of which the learning rate grows by the same factor.
    pub steps: usize,
}

impl Default for LrRange {
    /// From 1e-6 to 10 in 100 steps.
    fn default() -> Self {
        LrRange { from: 1e-6, to: 10.0, steps: 100 }
    }
}

/// A step of the finder.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct LrPoint {
    /// The learning rate of the step.
    pub learning_rate: f32,
    /// The loss of its batch, before the update.
    pub loss: f32,
    /// The losses so far, smoothed.
    pub smoothed: f32,
}

/// What the finder found.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct LrFound {
    /// The steps that were done.
    pub points: Vec<LrPoint>,
    /// The learning rate at which the smoothed loss falls most steeply over the logarithm of the
    /// learning rate, before it is least; `None` where it never falls.
    pub steepest: Option<f32>,
    /// A tenth of the learning rate at which the smoothed loss is least, a more careful choice.
    pub tenth_of_least: Option<f32>,
    /// Whether the loss diverged before the end of the range.
    pub has_diverged: bool,
}

/// The share of the smoothed loss that each step keeps. With the 0.98 of fastai the mean of a hundred
/// steps lags far behind the loss.
const SMOOTHING: f64 = 0.9;
/// From how many times the least smoothed loss on it counts as diverged: as in fastai.
const DIVERGED: f64 = 4.0;

impl Trainer {
    /// Looks for a good learning rate (Smith, "Cyclical Learning Rates for Training Neural Networks",
    /// 2015): trains while the learning rate grows exponentially, until the smoothed
    /// loss is four times the least so far. The schedule plays no part. The network is used up, as its weights
    /// are worth nothing afterwards.
    ///
    /// Errors where the range is empty, or data or device fail.
    pub fn find_learning_rate(mut self, source: &Source, range: LrRange) -> Result<LrFound> {
        let LrRange { from, to, steps } = range;
        if !(from > 0.0 && from < to && to.is_finite()) {
            let remedy = "must be positive and below the last one (--to)";
            return Err(Error::setting("from", from, remedy));
        }
        if steps < 10 {
            return Err(Error::setting("steps", steps, "must be 10 or more"));
        }
        let loader = self.loader(source)?;
        let growth = (f64::from(to) / f64::from(from)).powf(1.0 / (steps - 1) as f64);
        let mut points: Vec<LrPoint> = vec![];
        let (mut mean, mut least, mut has_diverged) = (0.0, f64::INFINITY, false);
        let batches = (0..).flat_map(|epoch| loader.epoch(epoch).map(move |batch| (epoch, batch)));
        for (i, (epoch, batch)) in batches.take(steps).enumerate() {
            let mut batch = batch?;
            let learning_rate = (f64::from(from) * growth.powi(i as i32)) as f32;
            let types = self.image_types(batch.len)?;
            let step =
                lend(&mut batch, types, |feed| self.start_step(feed, learning_rate, epoch + 1))?;
            let loss = match finish_step(step) {
                Err(Error::Diverged { .. }) => {
                    has_diverged = true;
                    break;
                }
                finished => finished?.loss,
            };
            mean = SMOOTHING * mean + (1.0 - SMOOTHING) * f64::from(loss);
            // Without this the first means would be drawn to zero.
            let smoothed = mean / (1.0 - SMOOTHING.powi(i as i32 + 1));
            points.push(LrPoint { learning_rate, loss, smoothed: smoothed as f32 });
            if smoothed > DIVERGED * least {
                has_diverged = true;
                break;
            }
            least = least.min(smoothed);
        }
        let (steepest, tenth_of_least) = suggestions(&points);
        Ok(LrFound { points, steepest, tenth_of_least, has_diverged })
    }
}

/// The learning rates [`LrFound::steepest`] and [`LrFound::tenth_of_least`]. The first tenth of the points is
/// left out, where the smoothed loss rests on few steps.
fn suggestions(points: &[LrPoint]) -> (Option<f32>, Option<f32>) {
    let points = &points[points.len() / 10..];
    let lowest =
        (0..points.len()).min_by(|&a, &b| points[a].smoothed.total_cmp(&points[b].smoothed));
    let Some(lowest) = lowest else { return (None, None) };
    // Learning rates grow by a constant factor, so that differences are slopes.
    let slope = |i: usize| points[i + 1].smoothed - points[i - 1].smoothed;
    let inside = 1..lowest.min(points.len().saturating_sub(1));
    let steepest = inside.min_by(|&a, &b| slope(a).total_cmp(&slope(b)));
    let steepest = steepest.filter(|&i| slope(i) < 0.0).map(|i| points[i].learning_rate);
    (steepest, Some(points[lowest].learning_rate / 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steepest_descent_is_found() {
        // A smooth fall from 2 to 1 around point 40, and a rise from point 70 on.
        let point = |i: usize| {
            let fall = 1.0 / (1.0 + (-(i as f64 - 40.0) / 4.0).exp());
            let rise = ((i as f64 - 70.0) / 5.0).exp();
            let smoothed = (2.0 - fall + rise) as f32;
            LrPoint { learning_rate: 1e-6 * 1.17f32.powi(i as i32), loss: smoothed, smoothed }
        };
        let points: Vec<_> = (0..100).map(point).collect();
        let (steepest, tenth) = suggestions(&points);
        assert_eq!(steepest, Some(points[40].learning_rate));
        let least = points.iter().min_by(|a, b| a.smoothed.total_cmp(&b.smoothed)).unwrap();
        assert_eq!(tenth, Some(least.learning_rate / 10.0));
        let rising: Vec<_> = points.iter().rev().take(20).rev().copied().collect();
        assert_eq!(suggestions(&rising).0, None);
        assert_eq!(suggestions(&[]), (None, None));
    }
}
