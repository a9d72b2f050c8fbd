//! The learning rate over the course of a run.

use crate::error::{Error, Result};

/// A factor for the learning rate in each step.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// 1, multiplied by `gamma` after every `epochs` epochs.
    Step {
        /// Epochs between two cuts.
        epochs: f32,
        /// The factor of a cut.
        gamma: f32,
    },
    /// Rises in a line for `warmup` epochs, then falls in half a cosine to 0 at the end of the run
    /// (Loshchilov & Hutter, 2017).
    Cosine {
        /// Epochs of rising.
        warmup: f32,
    },
}

impl Schedule {
    /// The factor at `epoch`, which counts from 0 and has a fractional part, of a run of `epochs`.
    pub fn factor(self, epoch: f32, epochs: f32) -> f32 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Step { epochs: every, gamma } => gamma.powi((epoch / every) as i32),
            Schedule::Cosine { warmup } if epoch < warmup => epoch / warmup,
            Schedule::Cosine { warmup } => {
                let done = ((epoch - warmup) / (epochs - warmup).max(f32::EPSILON)).clamp(0.0, 1.0);
                0.5 * (1.0 + (std::f32::consts::PI * done).cos())
            }
        }
    }

    /// Errors where a parameter makes no sense.
    pub fn check(self) -> Result<()> {
        match self {
            Schedule::Step { epochs, .. } if !(epochs > 0.0 && epochs.is_finite()) => {
                Err(Error::setting("schedule.step.epochs", epochs, "must be positive"))
            }
            Schedule::Step { gamma, .. } if !(gamma > 0.0 && gamma.is_finite()) => {
                Err(Error::setting("schedule.step.gamma", gamma, "must be positive"))
            }
            Schedule::Cosine { warmup } if !(warmup >= 0.0 && warmup.is_finite()) => {
                Err(Error::setting("schedule.cosine.warmup", warmup, "must be 0 or more epochs"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_follow_their_formulas() {
        assert_eq!(Schedule::Constant.factor(3.7, 10.0), 1.0);
        let step = Schedule::Step { epochs: 4.0, gamma: 0.1 };
        let expected = [(0.0, 1.0), (3.9, 1.0), (4.0, 0.1), (8.5, 0.01)];
        for (epoch, factor) in expected {
            assert!((step.factor(epoch, 10.0) - factor).abs() < 1e-7);
        }
        let cosine = Schedule::Cosine { warmup: 2.0 };
        let expected = [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (6.0, 0.5), (10.0, 0.0), (11.0, 0.0)];
        for (epoch, factor) in expected {
            assert!((cosine.factor(epoch, 10.0) - factor).abs() < 1e-6, "{epoch}");
        }
        assert!(Schedule::Step { epochs: 0.0, gamma: 0.1 }.check().is_err());
    }
}
