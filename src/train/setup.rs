//! From a configuration to a network that is ready to be trained.

use super::{TrainConfig, Trainer, Transfer};
use crate::data::{self, Source, Transforms};
use crate::device::Device;
use crate::error::Result;
use crate::tuning::Cache;

/// What a configuration asks for, before anything has run.
#[derive(Debug)]
pub struct Setup {
    /// The network in training, with its first parameters.
    pub trainer: Trainer,
    /// The data.
    pub source: Source,
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
        let mut trainer = Trainer::new(&device, model, config.optimizer(), options)?;
        let init = config.init.as_ref();
        let transfer = init
            .map(|path| trainer.network_mut().init_from(path, config.replace_head))
            .transpose()?;
        Ok(Setup { trainer, source, transforms, transfer })
    }
}
