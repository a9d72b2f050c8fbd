//! The configuration of a run, as its folder keeps it and `--config` reads it.

use std::path::Path;

use super::Options;
use crate::error::{Error, Result};
use crate::optim::{Schedule, Sgd};

/// Everything that decides a run. The same configuration on the same device gives the same weights,
/// to the bit.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// The data set; see [`crate::data::open`].
    pub data: String,
    /// The network; see [`crate::zoo`].
    pub model: String,
    /// Epochs to train.
    pub epochs: u64,
    /// Ends the run after this many steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Images a step.
    pub batch: usize,
    /// Images at a time on the device, where a whole batch does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// The learning rate before the schedule.
    pub learning_rate: f32,
    /// The share of the last step that each step keeps.
    pub momentum: f32,
    /// Pulls the weights towards zero.
    pub weight_decay: f32,
    /// Whether training images are changed at random, in the way that suits the data.
    pub augment: bool,
    /// Decides initial weights, order, augmentation and dropout.
    pub seed: u64,
    /// The device; see [`crate::device::Device::named`].
    pub device: String,
    /// The learning rate over time.
    pub schedule: Schedule,
}

impl Default for TrainConfig {
    /// The main job: AlexNet's layers on the embedded digits.
    fn default() -> Self {
        TrainConfig {
            data: crate::data::DEFAULT.into(),
            model: crate::zoo::MODELS[0].name.into(),
            epochs: 15,
            max_steps: None,
            batch: 64,
            micro_batch: None,
            learning_rate: 0.02,
            momentum: 0.9,
            weight_decay: 5e-4,
            augment: true,
            seed: 1,
            device: "auto".into(),
            schedule: Schedule::Cosine { warmup: 1.0 },
        }
    }
}

impl TrainConfig {
    /// Reads a TOML file.
    ///
    /// Errors where it cannot be read, or has a key or value that is not known.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(path, e, "give a configuration that `gabor train` wrote"))?;
        toml::from_str(&text).map_err(|e: toml::de::Error| {
            let line = e.span().map_or(0, |span| 1 + text[..span.start].matches('\n').count());
            let problem = e.message().lines().collect::<Vec<_>>().join(" ");
            Error::data(path, format!("line {line}: {problem}"))
        })
    }

    /// The configuration as TOML.
    ///
    /// Errors where a number cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Usage(format!("the configuration: {e}")))
    }

    /// Errors where a setting is out of range.
    pub fn check(&self) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::setting("epochs", 0, "must be 1 or more"));
        }
        if self.max_steps == Some(0) {
            return Err(Error::setting("max-steps", 0, "must be 1 or more"));
        }
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "must be 1 or more"));
        }
        crate::optim::check_learning_rate(self.learning_rate)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::setting("momentum", self.momentum, "must be in 0..1, as 0.9"));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let remedy = "must be finite and not negative";
            return Err(Error::setting("weight-decay", self.weight_decay, remedy));
        }
        self.schedule.check()
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Sgd {
        Sgd::new(self.learning_rate).momentum(self.momentum).weight_decay(self.weight_decay)
    }

    /// The options of the training loop.
    pub fn options(&self) -> Options {
        Options {
            batch: self.batch,
            micro_batch: self.micro_batch,
            seed: self.seed,
            schedule: self.schedule,
            max_steps: self.max_steps,
            memory: None,
        }
    }
}
