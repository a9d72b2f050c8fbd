//! What a run has left behind, ready for use.

use std::path::{Path, PathBuf};

use super::{Network, TrainConfig};
use crate::data::{Normalise, Picture, Transforms};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::safetensors;
use crate::nn::Description;

/// Which weights of a run.
///
/// A run's result is the best epoch where the run had `early-stop`, and else the last one: who picks the
/// best epoch by the test set flatters the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weights {
    /// Those after the best epoch, `best.safetensors`.
    Best,
    /// Those after the last epoch, `weights.safetensors`.
    Last,
}

impl Weights {
    /// `best` or `last`.
    pub fn name(self) -> &'static str {
        match self {
            Weights::Best => "best",
            Weights::Last => "last",
        }
    }

    /// The name of the file in a run's folder.
    pub fn file(self) -> &'static str {
        match self {
            Weights::Best => "best.safetensors",
            Weights::Last => "weights.safetensors",
        }
    }

    /// The file of these weights in a run's folder; without a choice those of the run's result.
    ///
    /// Errors where the folder does not hold them.
    pub fn of_run(folder: &Path, choice: Option<Weights>) -> Result<PathBuf> {
        let existing = |weights: Weights| {
            let path = folder.join(weights.file());
            if path.exists() {
                return Ok(path);
            }
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            Err(Error::io(path, missing, "give the folder of a run that has ended an epoch"))
        };
        if let Some(weights) = choice {
            return existing(weights);
        }
        let last = existing(Weights::Last)?;
        match safetensors::load(&last)?.meta("result") {
            Ok("best") => existing(Weights::Best),
            _ => Ok(last),
        }
    }
}

impl std::str::FromStr for Weights {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Weights::Best, Weights::Last];
        let found = all.into_iter().find(|weights| weights.name() == name);
        found.ok_or_else(|| Error::unknown("weights", name, all.map(Weights::name)))
    }
}

/// A network that a run has left behind, ready for use.
#[derive(Debug)]
pub struct Finished {
    /// The network with its parameters.
    pub network: Network,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// From bytes to the network's input.
    pub normalise: Normalise,
    /// The data set that it was trained on.
    pub data: String,
    /// The shape of its images as they are loaded.
    pub image: [usize; 3],
    /// What happens to an image before it is normalised, without chance.
    pub transforms: Transforms,
}

impl Finished {
    /// Opens a run's folder with the weights that are the run's result; see [`Weights`].
    ///
    /// Errors where it holds no weights, or weights that do not fit.
    pub fn open(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Finished::open_with(folder, None, device)
    }

    /// [`Finished::open`], with these weights.
    ///
    /// Errors as [`Finished::open`].
    pub fn open_with(
        folder: impl AsRef<Path>,
        weights: Option<Weights>,
        device: &Device,
    ) -> Result<Self> {
        let path = Weights::of_run(folder.as_ref(), weights)?;
        let file = safetensors::load(&path)?;
        let parse = |key: &str| -> Result<String> { Ok(file.meta(key)?.to_owned()) };
        let faulty = |key: &str, e: &dyn std::fmt::Display| {
            Error::data(&path, format!("its metadata `{key}` cannot be read ({e})"))
        };
        let input: [usize; 3] =
            serde_json::from_str(&parse("input")?).map_err(|e| faulty("input", &e))?;
        let classes: Vec<String> =
            serde_json::from_str(&parse("classes")?).map_err(|e| faulty("classes", &e))?;
        let normalise: Normalise =
            serde_json::from_str(&parse("normalise")?).map_err(|e| faulty("normalise", &e))?;
        // Runs before networks could be written down have the library's.
        let network = file.meta("network").map_or(Ok(None), serde_json::from_str);
        let network: Option<Description> = network.map_err(|e| faulty("network", &e))?;
        let named = TrainConfig { model: parse("model")?, network, ..TrainConfig::default() };
        let model = named.build_model(input, classes.len())?;
        // Runs before there were transforms have none.
        let (mut image, mut transforms) = (input, Transforms::none());
        if let Ok(list) = parse("transforms") {
            let list = serde_json::from_str(&list).map_err(|e| faulty("transforms", &e))?;
            let statistics = serde_json::from_str(&parse("statistics")?)
                .map_err(|e| faulty("statistics", &e))?;
            transforms = Transforms::new(list)?.with_statistics(statistics);
            image = serde_json::from_str(&parse("image")?).map_err(|e| faulty("image", &e))?;
        }
        let mut network = Network::new(device, model)?;
        network.load(&path)?;
        Ok(Finished { network, classes, normalise, data: parse("data")?, image, transforms })
    }

    /// The network's input for a picture: what a data set does when it loads it (the middle at the
    /// size of its images, in their channels), the transforms without chance, and normalisation.
    ///
    /// Errors where the network takes images of neither 1 nor 3 channels, or a transform does not fit.
    pub fn prepare(&self, picture: &Picture) -> Result<Vec<f32>> {
        let [channels, height, width] = self.image;
        let picture = picture.with_channels(channels)?;
        self.transforms.prepare(&picture, [height, width], &self.normalise)
    }
}
