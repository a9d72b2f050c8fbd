//! A learning rate that falls when training no longer helps.

use crate::error::{Error, Result};

/// Multiplies the learning rate by `factor` when a metric has not got better for more than `patience`
/// epochs, as PyTorch's `ReduceLROnPlateau`.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plateau {
    /// What must get better.
    pub metric: Metric,
    /// The factor of a cut.
    pub factor: f64,
    /// Epochs without progress that are borne.
    pub patience: u64,
    /// How much better the metric must be than the best so far: a share of that.
    pub threshold: f64,
    /// Whether `threshold` is a difference in place of a share.
    pub absolute: bool,
    /// Epochs after a cut in which none follows.
    pub cooldown: u64,
    /// The least that is left of the learning rate.
    pub minimum: f64,
}

/// What is measured on the test set after each epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The mean loss; less is better.
    #[default]
    Loss,
    /// The share that is classified rightly; more is better.
    Top1,
}

impl Default for Plateau {
    fn default() -> Self {
        Plateau {
            metric: Metric::Loss,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            minimum: 0.0,
        }
    }
}

impl Plateau {
    /// Errors where a setting makes no sense.
    pub fn check(&self) -> Result<()> {
        if !(self.factor > 0.0 && self.factor < 1.0) {
            let remedy = "must be above 0 and below 1";
            return Err(Error::setting("schedule.plateau.factor", self.factor, remedy));
        }
        for (name, x) in [
            ("schedule.plateau.threshold", self.threshold),
            ("schedule.plateau.minimum", self.minimum),
        ] {
            if !(x >= 0.0 && x.is_finite()) {
                return Err(Error::setting(name, x, "must be 0 or more"));
            }
        }
        Ok(())
    }

    fn is_better(&self, value: f64, best: f64) -> bool {
        match (self.metric, self.absolute) {
            (Metric::Loss, false) => value < best * (1.0 - self.threshold),
            (Metric::Loss, true) => value < best - self.threshold,
            (Metric::Top1, false) => value > best * (1.0 + self.threshold),
            (Metric::Top1, true) => value > best + self.threshold,
        }
    }
}

/// How far a [`Plateau`] has taken the learning rate down, and what it remembers.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Reduction {
    factor: f64,
    best: Option<f64>,
    bad_epochs: u64,
    cooling: u64,
}

impl Default for Reduction {
    fn default() -> Self {
        Reduction { factor: 1.0, best: None, bad_epochs: 0, cooling: 0 }
    }
}

impl Reduction {
    /// What is left of the learning rate.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Forgets the metrics, and no cut.
    pub fn forget(&mut self) {
        *self = Reduction { factor: self.factor, ..Reduction::default() };
    }

    /// Takes in the metrics of an epoch.
    pub fn observe(&mut self, plateau: &Plateau, loss: f64, top1: f64) {
        let value = match plateau.metric {
            Metric::Loss => loss,
            Metric::Top1 => top1,
        };
        if self.best.is_none_or(|best| plateau.is_better(value, best)) {
            self.best = Some(value);
            self.bad_epochs = 0;
        } else {
            self.bad_epochs += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs > plateau.patience {
            self.factor = (self.factor * plateau.factor).max(plateau.minimum.min(self.factor));
            self.cooling = plateau.cooldown;
            self.bad_epochs = 0;
        }
    }
}
