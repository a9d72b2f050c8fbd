//! From a configuration to a network that is ready to be trained.

use super::{Stage, TrainConfig, Trainer, Transfer};
use crate::data::{self, OpenOptions, Source, Transforms};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tuning::Cache;

/// What a configuration asks for, before anything has run.
#[derive(Debug)]
pub struct Setup {
    /// The network in training, with its first parameters.
    pub trainer: Trainer,
    /// The data, as [`TrainConfig::open_data`] gives it.
    pub source: Source,
    /// What is trained on when.
    pub stages: Vec<Stage>,
    /// What happens to training images.
    pub transforms: Transforms,
    /// What was taken over from `init`.
    pub transfer: Option<Transfer>,
}

impl Setup {
    /// Opens data and device and compiles the network.
    ///
    /// Errors where any of it fails, or a setting is out of range.
    pub fn new(config: &TrainConfig) -> Result<Self> {
        config.check()?;
        let source = config.open_data()?;
        let stages = config.stages(&source)?;
        let transforms = config.transforms(&source)?;
        let classes = source.train.classes().len();
        let input = transforms.output_shape(source.train.shape())?;
        let model = config.build_model(input, classes)?;
        let mut options = config.options();
        if config.balance || config.class_weights {
            let labels = data::split::labels(&*source.train)?;
            if config.balance {
                options.weights = data::split::balanced(&labels, classes);
            }
            if config.class_weights {
                options.loss.class_weights = data::split::class_weights(&labels, classes);
            }
        }
        options.transforms = Some(transforms.clone());
        let device = match config.device.as_str() {
            "auto" => Device::auto()?,
            name => Device::named(name)?,
        };
        let device = device.tuned(&config.tune, &Cache::user())?;
        let (on, train, normalise) = (config.transforms_on, &*source.train, &source.normalise);
        options.input = on.input(&device, train, &transforms, normalise)?;
        let mut trainer = Trainer::new(&device, model, config.optimizer(), options)?;
        let init = config.init.as_ref();
        let transfer = init
            .map(|path| trainer.network_mut().init_from(path, config.replace_head))
            .transpose()?;
        Ok(Setup { trainer, source, stages, transforms, transfer })
    }
}

/// Decides which images a validation set has: the same in every run.
fn split_seed() -> u64 {
    OpenOptions::default().seed
}

impl TrainConfig {
    /// The data, as it is trained on and evaluated at the end of the run.
    ///
    /// Errors where it cannot be read or split, or `normalise` is for other images.
    pub fn open_data(&self) -> Result<Source> {
        let mut options = OpenOptions { max_bad: self.max_bad, ..OpenOptions::default() };
        options.image_size = self.image_size.unwrap_or(options.image_size);
        let mut source = data::open_with(&self.data, &options)?;
        if let (Some(share), None) = (self.validation, self.held_back_at_first()) {
            source = source.with_validation(share, split_seed())?;
        }
        if let Some(normalise) = &self.normalise {
            source.normalise = normalise.clone();
        }
        Ok(source)
    }

    /// The stages of the run: one on all of `source`, which is what [`TrainConfig::open_data`] gives,
    /// after one without `validation` where that is held back for some epochs.
    ///
    /// Errors where it cannot be split.
    pub fn stages(&self, source: &Source) -> Result<Vec<Stage>> {
        let whole = |epochs| Stage { source: source.clone(), epochs };
        let Some((share, epochs)) = self.held_back_at_first() else {
            return Ok(vec![whole(self.epochs)]);
        };
        let source = source.clone().with_validation(share, split_seed())?;
        Ok(vec![Stage { source, epochs }, whole(self.epochs - epochs)])
    }

    /// The share of the training set that is held back for a part of the run, and for how many epochs.
    fn held_back_at_first(&self) -> Option<(f64, u64)> {
        self.validation.zip(self.validation_epochs.filter(|&epochs| epochs < self.epochs))
    }

    pub(super) fn check_validation_epochs(&self, epochs: u64) -> Result<()> {
        let refuse = |remedy| Err(Error::setting("validation-epochs", epochs, remedy));
        if epochs == 0 {
            return refuse("must be 1 or more");
        }
        if self.validation.is_none() {
            return refuse("needs a share to hold back: validation = 0.2");
        }
        if self.balance {
            return refuse("`balance` draws from one training set; leave one of the two out");
        }
        Ok(())
    }
}
