//! The learning rate over the course of a run.

use std::f64::consts::PI;

use super::{Plateau, Reduction};
use crate::error::{Error, Result};

/// A factor for the learning rate in each step.
///
/// Epochs count from 0 and have a fractional part, the share of the epoch's steps that are done. Taken
/// once an epoch, the factors are those of PyTorch's schedulers of the same names.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// 1, multiplied by `gamma` after every `epochs` epochs.
    Step {
        /// Epochs between two cuts.
        epochs: f64,
        /// The factor of a cut.
        gamma: f64,
    },
    /// 1, multiplied by `gamma` at each of some epochs.
    MultiStep {
        /// The epochs, in order.
        milestones: Vec<f64>,
        /// The factor of a cut.
        gamma: f64,
    },
    /// `gamma` to the power of the epoch.
    Exponential {
        /// The factor of an epoch.
        gamma: f64,
    },
    /// `(1 - epoch / epochs)^power`.
    Polynomial {
        /// The power; 1 falls in a line.
        power: f64,
        /// Epochs until 0; without it those of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epochs: Option<f64>,
    },
    /// Rises in a line for `warmup` epochs, then falls in half a cosine to 0 at the end of the run
    /// (Loshchilov & Hutter, 2017).
    Cosine {
        /// Epochs of rising.
        warmup: f64,
    },
    /// Rises in a line for `warmup` epochs, then falls in half a cosine from 1 to `minimum`, again
    /// and again (Loshchilov & Hutter, 2017).
    WarmRestarts {
        /// Epochs of rising.
        #[serde(default)]
        warmup: f64,
        /// Epochs of the first fall.
        period: f64,
        /// The length of each fall over that before.
        #[serde(default = "one")]
        multiplier: f64,
        /// Where a fall ends.
        #[serde(default)]
        minimum: f64,
    },
    /// Rises from `1 / divisor` to 1 and falls far below where it began by the end of the run
    /// (Smith & Topin, 2018).
    OneCycle {
        /// The share of the steps in which it rises.
        #[serde(default = "rise")]
        rise: f64,
        /// 1 over the first factor.
        #[serde(default = "divisor")]
        divisor: f64,
        /// The first factor over the last.
        #[serde(default = "final_divisor")]
        final_divisor: f64,
        /// How it rises and falls.
        #[serde(default)]
        anneal: Anneal,
        /// Whether to fall as it rose before falling further.
        #[serde(default)]
        three_phase: bool,
    },
    /// Cut whenever the test set's loss or top-1 has stopped getting better.
    Plateau(Plateau),
    /// Falls by `target_factor` over the run in `steps` steps of equal length and ratio:
    /// cuda-convnet's `dexp` (its `tgtFactor` and `numSteps`).
    Dexp {
        /// The first factor over the last.
        target_factor: f64,
        /// The number of factors.
        steps: u32,
    },
}

/// The shape of a rise or a fall.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A line.
    Linear,
}

impl Anneal {
    /// From `start` to `end`, of which `done` is behind.
    fn between(self, start: f64, end: f64, done: f64) -> f64 {
        match self {
            Anneal::Cosine => end + (start - end) / 2.0 * (1.0 + (PI * done).cos()),
            Anneal::Linear => start + (end - start) * done,
        }
    }
}

fn one() -> f64 {
    1.0
}

fn rise() -> f64 {
    0.3
}

fn divisor() -> f64 {
    25.0
}

fn final_divisor() -> f64 {
    1e4
}

impl Schedule {
    /// The factor at `epoch` of a run of `epochs`, in which a step takes `length` epochs.
    fn factor(&self, epoch: f64, epochs: f64, length: f64) -> f64 {
        match *self {
            Schedule::Constant | Schedule::Plateau(_) => 1.0,
            Schedule::Step { epochs: every, gamma } => gamma.powf((epoch / every).floor()),
            Schedule::MultiStep { ref milestones, gamma } => {
                gamma.powi(milestones.iter().filter(|&&m| m <= epoch).count() as i32)
            }
            Schedule::Exponential { gamma } => gamma.powf(epoch),
            Schedule::Polynomial { power, epochs: total } => {
                (1.0 - epoch / total.unwrap_or(epochs)).max(0.0).powf(power)
            }
            Schedule::Cosine { warmup } if epoch < warmup => epoch / warmup,
            Schedule::Cosine { warmup } => {
                let fall = (epochs - warmup).max(f64::EPSILON);
                Anneal::Cosine.between(1.0, 0.0, ((epoch - warmup) / fall).clamp(0.0, 1.0))
            }
            Schedule::WarmRestarts { warmup, .. } if epoch < warmup => epoch / warmup,
            Schedule::WarmRestarts { warmup, mut period, multiplier, minimum } => {
                let mut since = epoch - warmup;
                while since >= period {
                    since -= period;
                    period *= multiplier;
                }
                Anneal::Cosine.between(1.0, minimum, since / period)
            }
            Schedule::OneCycle { rise, divisor, final_divisor, anneal, three_phase } => {
                let (step, steps) = (epoch / length, epochs / length);
                let first = 1.0 / divisor;
                let top = rise * steps - 1.0;
                let mut phases = vec![(top, first, 1.0)];
                if three_phase {
                    phases.push((2.0 * top, 1.0, first));
                }
                let from = if three_phase { first } else { 1.0 };
                phases.push((steps - 1.0, from, first / final_divisor));
                let mut start = 0.0;
                for &(end, from, to) in &phases {
                    if step <= end {
                        let done = if end > start { (step - start) / (end - start) } else { 1.0 };
                        return anneal.between(from, to, done);
                    }
                    start = end;
                }
                first / final_divisor
            }
            Schedule::Dexp { target_factor, steps } => {
                let passed = (epoch / epochs * f64::from(steps)).ceil() - 1.0;
                let last = f64::from(steps - 1);
                let share = if last == 0.0 { 1.0 } else { passed.clamp(0.0, last) / last };
                target_factor.powf(-share)
            }
        }
    }

    /// Errors where a setting makes no sense.
    pub fn check(&self) -> Result<()> {
        let positive = |name, x: f64| match x > 0.0 && x.is_finite() {
            true => Ok(()),
            false => Err(Error::setting(name, x, "must be positive")),
        };
        let at_least = |name, x: f64, least: f64| match x >= least && x.is_finite() {
            true => Ok(()),
            false => Err(Error::setting(name, x, format!("must be {least} or more"))),
        };
        match *self {
            Schedule::Constant => Ok(()),
            Schedule::Step { epochs, gamma } => {
                positive("schedule.step.epochs", epochs)?;
                positive("schedule.step.gamma", gamma)
            }
            Schedule::MultiStep { ref milestones, gamma } => {
                if !milestones.is_sorted() {
                    let given = format!("{milestones:?}");
                    let remedy = "give the milestones in order";
                    return Err(Error::setting("schedule.multi-step.milestones", given, remedy));
                }
                positive("schedule.multi-step.gamma", gamma)
            }
            Schedule::Exponential { gamma } => positive("schedule.exponential.gamma", gamma),
            Schedule::Polynomial { power, epochs } => {
                positive("schedule.polynomial.power", power)?;
                positive("schedule.polynomial.epochs", epochs.unwrap_or(1.0))
            }
            Schedule::Cosine { warmup } => at_least("schedule.cosine.warmup", warmup, 0.0),
            Schedule::WarmRestarts { warmup, period, multiplier, minimum } => {
                at_least("schedule.warm-restarts.warmup", warmup, 0.0)?;
                at_least("schedule.warm-restarts.period", period, 1e-3)?;
                at_least("schedule.warm-restarts.multiplier", multiplier, 1.0)?;
                at_least("schedule.warm-restarts.minimum", minimum, 0.0)
            }
            Schedule::OneCycle { rise, divisor, final_divisor, three_phase, .. } => {
                let most = if three_phase { 0.5 } else { 1.0 };
                if !(rise > 0.0 && rise < most) {
                    let remedy = format!("must be above 0 and below {most}");
                    return Err(Error::setting("schedule.one-cycle.rise", rise, remedy));
                }
                positive("schedule.one-cycle.divisor", divisor)?;
                positive("schedule.one-cycle.final-divisor", final_divisor)
            }
            Schedule::Plateau(plateau) => plateau.check(),
            Schedule::Dexp { target_factor, steps } => {
                positive("schedule.dexp.target-factor", target_factor)?;
                at_least("schedule.dexp.steps", steps.into(), 1.0)
            }
        }
    }
}

/// A schedule in a run: what its steps are, and what the test set has said so far.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Scheduler {
    schedule: Schedule,
    epochs: f64,
    steps_per_epoch: f64,
    reduction: Reduction,
}

impl Scheduler {
    /// The start of a run of `epochs` epochs. With one step an epoch it does what PyTorch's
    /// schedulers do when they are stepped once an epoch.
    pub fn new(schedule: Schedule, epochs: u64, steps_per_epoch: u64) -> Self {
        Scheduler {
            schedule,
            epochs: epochs as f64,
            steps_per_epoch: steps_per_epoch.max(1) as f64,
            reduction: Reduction::default(),
        }
    }

    /// The factor of the learning rate in a step, counted from 0 as if all epochs had been as long as
    /// the present one.
    pub fn factor(&self, step: u64) -> f64 {
        let (length, epoch) = (1.0 / self.steps_per_epoch, step as f64 / self.steps_per_epoch);
        self.reduction.factor() * self.schedule.factor(epoch, self.epochs, length)
    }

    /// From now on an epoch has this many steps, of other images: what a plateau has seen so far is
    /// no measure any more, while the learning rate stays cut.
    pub fn stage_begins(&mut self, steps_per_epoch: u64) {
        self.steps_per_epoch = steps_per_epoch.max(1) as f64;
        self.reduction.forget();
    }

    /// What the test set says after an epoch: the mean loss, and the share that is classified rightly.
    pub fn epoch_ended(&mut self, loss: f64, top1: f64) {
        if let Schedule::Plateau(plateau) = &self.schedule {
            self.reduction.observe(plateau, loss, top1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_follow_their_formulas() {
        let at = |schedule: &Schedule, epoch| schedule.factor(epoch, 10.0, 0.1);
        assert_eq!(at(&Schedule::Constant, 3.7), 1.0);
        let step = Schedule::Step { epochs: 4.0, gamma: 0.1 };
        for (epoch, factor) in [(0.0, 1.0), (3.9, 1.0), (4.0, 0.1), (8.5, 0.01)] {
            assert!((at(&step, epoch) - factor).abs() < 1e-12);
        }
        let cosine = Schedule::Cosine { warmup: 2.0 };
        let expected = [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (6.0, 0.5), (10.0, 0.0), (11.0, 0.0)];
        for (epoch, factor) in expected {
            assert!((at(&cosine, epoch) - factor).abs() < 1e-12, "{epoch}");
        }
        // cuda-convnet's lr.cu: the rates 1, 10^-1/2 and 1/10, and the first whose share of the run
        // is not behind.
        let dexp = Schedule::Dexp { target_factor: 10.0, steps: 3 };
        let middle = 0.1f64.sqrt();
        let expected =
            [(0.0, 1.0), (3.33, 1.0), (3.34, middle), (6.66, middle), (6.67, 0.1), (10.0, 0.1)];
        for (epoch, factor) in expected {
            assert!((at(&dexp, epoch) - factor).abs() < 1e-12, "{epoch}");
        }
        assert_eq!(at(&Schedule::Dexp { target_factor: 10.0, steps: 1 }, 0.0), 0.1);
        let restarts =
            Schedule::WarmRestarts { warmup: 1.0, period: 2.0, multiplier: 2.0, minimum: 0.2 };
        for (epoch, factor) in
            [(0.5, 0.5), (1.0, 1.0), (2.0, 0.6), (3.0, 1.0), (5.0, 0.6), (7.0, 1.0)]
        {
            assert!((at(&restarts, epoch) - factor).abs() < 1e-12, "{epoch}");
        }
    }

    #[test]
    fn schedules_with_settings_out_of_range_are_refused() {
        let cosine = Schedule::OneCycle {
            rise: 0.6,
            divisor: 25.0,
            final_divisor: 1e4,
            anneal: Anneal::Cosine,
            three_phase: true,
        };
        let faulty = [
            Schedule::Step { epochs: 0.0, gamma: 0.1 },
            Schedule::MultiStep { milestones: vec![3.0, 2.0], gamma: 0.1 },
            Schedule::Exponential { gamma: f64::NAN },
            Schedule::Polynomial { power: -1.0, epochs: None },
            Schedule::Cosine { warmup: -1.0 },
            Schedule::WarmRestarts { warmup: 0.0, period: 0.0, multiplier: 1.0, minimum: 0.0 },
            Schedule::Dexp { target_factor: 10.0, steps: 0 },
            cosine,
        ];
        for schedule in faulty {
            assert!(schedule.check().is_err(), "{schedule:?}");
        }
    }
}
