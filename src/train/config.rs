//! The configuration of a run, as its folder keeps it and `--config` reads it.

use std::path::{Path, PathBuf};

use super::explosion::check_gradient_growth;
use super::loss::check_smoothing;
use super::{Loss, Options, Precision, TransformsOn, recipes};
use crate::data::{self, Normalise, Source, Transform, Transforms};
use crate::error::{Error, Result};
use crate::graph::Recompute;
use crate::nn::{Description, Model};
use crate::optim::{Clip, Ema, Group, Method, Metric, Optimizer, Schedule};
use crate::tuning::Tuning;
use crate::zoo;

/// Everything that decides a run. The same configuration on the same device gives the same weights,
/// to the bit, as long as [`tune`](TrainConfig::tune) is `off` or a file; else the kernels decide too.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// The data set; see [`crate::data::open`].
    pub data: String,
    /// The network; see [`crate::zoo`]. Where `network` is given, its name.
    pub model: String,
    /// The network's layers, in place of those of the network that `model` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Description>,
    /// Epochs to train.
    pub epochs: u64,
    /// Ends the run after this many steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Ends the run when this many epochs have gone by without a better one; its result is then the
    /// best epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<u64>,
    /// What makes an epoch better than another: the `top1` of the test set, or its `loss`.
    #[serde(skip_serializing_if = "is_top1")]
    pub best_by: Metric,
    /// A file of weights, or a run's folder, to start from; see [`Network::init_from`](super::Network::init_from).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Whether the last layer with parameters starts afresh even where `init` has one that fits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replace_head: bool,
    /// The layers that stay as they are, by path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// The only layers that are trained, by path; where there are none, all but those in `freeze`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze_all_but: Vec<String>,
    /// Images a step.
    pub batch: usize,
    /// Images at a time on the device, where a whole batch does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Which activations are computed again in the backward pass, for less memory.
    #[serde(skip_serializing_if = "is_default")]
    pub recompute: Recompute,
    /// How the values of a step are stored: `f32`, or `f16` with a scaled loss; see [`Precision`].
    #[serde(skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// The learning rate before the schedule.
    pub learning_rate: f32,
    /// The share of the last step that each step keeps, with `sgd`, `rmsprop` and `lars`.
    pub momentum: f64,
    /// Pulls the weights towards zero.
    pub weight_decay: f64,
    /// Limits the norm of all gradients taken together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Limits each element of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// How many times the usual norm of the gradients counts as an explosion, which ends the run; 0 never
    /// does. See [`Options::max_gradient_growth`].
    #[serde(skip_serializing_if = "is_usual_growth")]
    pub max_gradient_growth: f64,
    /// The share of the weights' running averages that each step keeps. Evaluation and the saved
    /// weights are the averages then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Files of a folder that may be left out because they cannot be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_bad: usize,
    /// Height and width that the pictures of a folder are brought to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// The share of the training set that is held back and evaluated in place of the test set; always
    /// the same images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// How many epochs `validation` is held back for, after which it is trained on too and the test set
    /// evaluated; without it to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_epochs: Option<u64>,
    /// Whether images are drawn so that all classes come equally often.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub balance: bool,
    /// Whether the losses of images count so that all classes weigh the same; see [`Loss::class_weights`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub class_weights: bool,
    /// The share of a label that is spread over all classes; see [`Loss::label_smoothing`].
    #[serde(skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// Whether training images are changed at random, by `transforms` or in the way that suits the
    /// data.
    pub augment: bool,
    /// Where training images are changed: on the device, where that pays, or on threads.
    #[serde(skip_serializing_if = "is_default")]
    pub transforms_on: TransformsOn,
    /// Whether the last evaluation averages ten crops of each image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ten_crop: bool,
    /// Whether the run's folder gets event files for TensorBoard.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
    /// Decides initial weights, order, augmentation and dropout.
    pub seed: u64,
    /// The device; see [`crate::device::Device::named`].
    pub device: String,
    /// How the kernels of a GPU are chosen. The folder of a run says `kernels.json` here, where the
    /// kernels that it was run with are listed.
    pub tune: Tuning,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// The optimizer.
    #[serde(deserialize_with = "Method::deserialize_short")]
    pub optimizer: Method,
    /// Parameters with a learning rate or a weight decay of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// From bytes to the network's input, in place of the data set's own mean and deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// What happens to images, in place of what suits the data. Testing takes the still counterparts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_usual_growth(growth: &f64) -> bool {
    *growth == Options::MAX_GRADIENT_GROWTH
}

fn is_top1(metric: &Metric) -> bool {
    *metric == Metric::Top1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for TrainConfig {
    /// The main job: AlexNet's layers on the embedded digits.
    fn default() -> Self {
        TrainConfig {
            data: data::DEFAULT.into(),
            model: zoo::MODELS[0].name.into(),
            network: None,
            epochs: 15,
            max_steps: None,
            early_stop: None,
            best_by: Metric::Top1,
            init: None,
            replace_head: false,
            freeze: vec![],
            freeze_all_but: vec![],
            batch: 64,
            micro_batch: None,
            recompute: Recompute::None,
            precision: Precision::F32,
            learning_rate: 0.02,
            momentum: 0.9,
            weight_decay: 5e-4,
            clip_norm: None,
            clip_value: None,
            max_gradient_growth: Options::MAX_GRADIENT_GROWTH,
            ema: None,
            max_bad: 0,
            image_size: None,
            validation: None,
            validation_epochs: None,
            balance: false,
            class_weights: false,
            label_smoothing: 0.0,
            augment: true,
            transforms_on: TransformsOn::Auto,
            ten_crop: false,
            tensorboard: false,
            seed: 1,
            device: "auto".into(),
            tune: Tuning::Off,
            schedule: Schedule::Cosine { warmup: 1.0 },
            optimizer: Method::default(),
            groups: vec![],
            normalise: None,
            transforms: vec![],
        }
    }
}

impl TrainConfig {
    /// Reads a TOML file. Relative paths of a file of kernels and of
    /// `init` start from the file's folder.
    ///
    /// Errors where it cannot be read, or has a key or value that is not known.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| {
            let known = recipes::names().collect::<Vec<_>>().join(", ");
            Error::io(path, e, format!("give a configuration's file, or a recipe: {known}"))
        })?;
        let config = TrainConfig::parse(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let init = config.init.as_ref().map(|init| folder.join(init));
        Ok(TrainConfig { tune: config.tune.clone().within(folder), init, ..config })
    }

    /// The recipe of this name ([`RECIPES`](super::RECIPES)), or else [`TrainConfig::read`] of the
    /// file.
    ///
    /// Errors as that.
    pub fn open(name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
        match name.to_str().and_then(recipes::find) {
            Some(recipe) => recipe.config(),
            None => TrainConfig::read(name),
        }
    }

    /// A configuration from TOML; `path` is for messages.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self> {
        toml::from_str(text).map_err(|e: toml::de::Error| {
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
        if self.early_stop == Some(0) {
            return Err(Error::setting("early-stop", 0, "must be 1 or more epochs"));
        }
        if self.replace_head && self.init.is_none() {
            return Err(Error::setting(
                "replace-head",
                true,
                "needs weights to start from: --init",
            ));
        }
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "must be 1 or more"));
        }
        if self.network.is_some() && zoo::find(&self.model).is_ok() {
            let remedy = "names a network of the library; give the one in `network` another name";
            return Err(Error::setting("model", &self.model, remedy));
        }
        crate::optim::check_learning_rate(self.learning_rate)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::setting("momentum", self.momentum, "must be in 0..1, as 0.9"));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let remedy = "must be finite and not negative";
            return Err(Error::setting("weight-decay", self.weight_decay, remedy));
        }
        for (name, limit) in [("clip-norm", self.clip_norm), ("clip-value", self.clip_value)] {
            if let Some(limit) = limit.filter(|&limit| limit.is_nan() || limit <= 0.0) {
                return Err(Error::setting(name, limit, "must be positive"));
            }
        }
        check_gradient_growth(self.max_gradient_growth)?;
        check_smoothing(self.label_smoothing)?;
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(Error::setting("ema", decay, "must be in 0..1, as 0.999"));
        }
        if let Some(share) = self.validation.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            return Err(Error::setting("validation", share, "must be between 0 and 1, as 0.1"));
        }
        if let Some(epochs) = self.validation_epochs {
            self.check_validation_epochs(epochs)?;
        }
        let transforms = Transforms::new(self.transforms.clone())?;
        if self.ten_crop {
            transforms.ten_crop()?;
        }
        self.schedule.check()
    }

    /// The network, for images `[channels, height, width]` and this many classes; its layers are frozen
    /// that are to be.
    ///
    /// Errors where its name is not known, a layer does not suit its input, or there is none to freeze.
    pub fn build_model(&self, input: [usize; 3], classes: usize) -> Result<Model> {
        let model = match &self.network {
            Some(network) => network.model(&self.model, input, classes)?,
            None => zoo::build(&self.model, input, classes)?,
        };
        let model = model.freeze(self.freeze.clone());
        match self.freeze_all_but.is_empty() {
            true => Ok(model),
            false => model.freeze_all_but(&self.freeze_all_but),
        }
    }

    /// The network where no data is at hand. What is not given of images and classes is what a network of
    /// the library was made for; a network that is written down has its data opened for it.
    ///
    /// Errors as [`TrainConfig::build_model`], and where the data cannot be read.
    pub fn model_for(&self, input: Option<[usize; 3]>, classes: Option<usize>) -> Result<Model> {
        let (input, classes) = match (input, classes, &self.network) {
            (Some(input), Some(classes), _) => (input, classes),
            (_, _, Some(_)) => {
                let source = self.open_data()?;
                let shape = source.train.shape();
                let own = self.transforms(&source)?.output_shape(shape)?;
                (input.unwrap_or(own), classes.unwrap_or(source.train.classes().len()))
            }
            (_, _, None) => {
                let home = zoo::find(&self.model)?.home;
                (input.unwrap_or(home.0), classes.unwrap_or(home.1))
            }
        };
        self.build_model(input, classes)
    }

    /// What happens to the images of `source`; where nothing is configured, its own augmentation.
    ///
    /// Errors where a setting is out of range, or the training set cannot be read.
    pub fn transforms(&self, source: &Source) -> Result<Transforms> {
        let transforms = match self.transforms.is_empty() {
            true => source.augment.clone().into(),
            false => Transforms::new(self.transforms.clone())?.fit(&*source.train)?,
        };
        Ok(if self.augment { transforms } else { transforms.still() })
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Box<dyn Optimizer> {
        let (rate, momentum, decay) = (self.learning_rate, self.momentum, self.weight_decay);
        let mut optimizer = self.optimizer.optimizer(rate, momentum, decay, &self.groups);
        if let Some(limit) = self.clip_value {
            optimizer = Box::new(Clip::value(limit, optimizer));
        }
        if let Some(limit) = self.clip_norm {
            optimizer = Box::new(Clip::norm(limit, optimizer));
        }
        match self.ema {
            Some(decay) => Box::new(Ema::new(decay, optimizer)),
            None => optimizer,
        }
    }

    /// The options of the training loop.
    pub fn options(&self) -> Options {
        Options {
            batch: self.batch,
            micro_batch: self.micro_batch,
            seed: self.seed,
            schedule: self.schedule.clone(),
            max_steps: self.max_steps,
            recompute: self.recompute,
            precision: self.precision,
            memory: None,
            early_stop: self.early_stop,
            best_by: self.best_by,
            loss: Loss { label_smoothing: self.label_smoothing, ..Loss::default() },
            max_gradient_growth: self.max_gradient_growth,
            ..Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Plateau;

    #[test]
    fn optimizers_have_names_or_tables() {
        let read = |text: &str| toml::from_str::<TrainConfig>(text).map(|config| config.optimizer);
        assert_eq!(read("").unwrap(), Method::default());
        for name in Method::NAMES {
            let method = read(&format!("optimizer = \"{name}\"")).unwrap();
            assert_eq!(method.name(), name);
            assert_eq!(method, Method::named(name).unwrap());
        }
        let table = read("[optimizer]\nname = \"adam\"\nbetas = [0.5, 0.9]").unwrap();
        assert_eq!(table, Method::Adam { betas: [0.5, 0.9], eps: 1e-8, amsgrad: false });
        assert!(read("optimizer = \"nadam\"").is_err());
        assert!(read("[optimizer]\nname = \"lion\"\neps = 1.0").is_err());
    }

    #[test]
    fn everything_that_is_written_can_be_read() {
        let schedules = [
            Schedule::Constant,
            Schedule::Step { epochs: 3.0, gamma: 0.1 },
            Schedule::MultiStep { milestones: vec![2.0, 4.5], gamma: 0.1 },
            Schedule::Exponential { gamma: 0.95 },
            Schedule::Polynomial { power: 0.5, epochs: None },
            Schedule::WarmRestarts { warmup: 1.0, period: 2.0, multiplier: 2.0, minimum: 0.1 },
            Schedule::Plateau(Plateau { metric: Metric::Top1, ..Plateau::default() }),
            Schedule::Dexp { target_factor: 10.0, steps: 4 },
        ];
        for (name, schedule) in Method::NAMES.into_iter().zip(schedules) {
            let group = Group::new("conv1.*").learning_rate_scale(2.0);
            let config = TrainConfig {
                optimizer: Method::named(name).unwrap(),
                schedule,
                groups: vec![group, Group::new("*.bias").weight_decay(0.0)],
                clip_norm: Some(5.0),
                ema: Some(0.99),
                max_gradient_growth: 0.0,
                class_weights: true,
                label_smoothing: 0.1,
                tune: Tuning::File("kernels.json".into()),
                recompute: Recompute::Full,
                ..TrainConfig::default()
            };
            config.check().unwrap();
            let text = config.to_toml().unwrap();
            assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn transforms_are_tables() {
        let text = "max-bad = 3\nvalidation = 0.1\nten-crop = true\nnormalise = { mean = [0.5], \
                    std = [0.25] }\n[[transforms]]\nresize = { size = 256 }\n[[transforms]]\n\
                    crop = { size = 224 }\n[[transforms]]\nflip = {}\n[[transforms]]\n\
                    vary = { max-shift = 2 }";
        let config: TrainConfig = toml::from_str(text).unwrap();
        config.check().unwrap();
        assert_eq!(config.transforms[1], Transform::Crop { size: 224, padding: 0 });
        assert_eq!(config.transforms[2], Transform::Flip { chance: 0.5 });
        assert_eq!(toml::from_str::<TrainConfig>(&config.to_toml().unwrap()).unwrap(), config);
        for faulty in ["flip = { chances = 1.0 }", "flop = {}", "crop = {}"] {
            let text = format!("[[transforms]]\n{faulty}");
            assert!(toml::from_str::<TrainConfig>(&text).is_err(), "{faulty}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let good = TrainConfig::default;
        for faulty in [
            TrainConfig { clip_norm: Some(0.0), ..good() },
            TrainConfig { clip_value: Some(f64::NAN), ..good() },
            TrainConfig { max_gradient_growth: 0.5, ..good() },
            TrainConfig { label_smoothing: 1.0, ..good() },
            TrainConfig { max_gradient_growth: f64::NAN, ..good() },
            TrainConfig { ema: Some(1.0), ..good() },
            TrainConfig { validation: Some(1.0), ..good() },
            TrainConfig { ten_crop: true, ..good() },
            TrainConfig { transforms: vec![Transform::Pad { size: 0 }], ..good() },
            TrainConfig { schedule: Schedule::Exponential { gamma: 0.0 }, ..good() },
        ] {
            assert!(faulty.check().is_err(), "{faulty:?}");
        }
    }
}
