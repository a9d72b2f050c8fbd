//! What a run has come to, as a page; and runs side by side.
//!
//! [`Report::of`] looks at a run's folder, evaluates its network once more and times a step;
//! [`Report::write`] puts `report.html` into the folder: one file that needs nothing else and fetches
//! nothing. `gabor train` writes it at the end, `gabor report` again. [`Comparison`] is what
//! `gabor compare` prints.
//!
//! ```no_run
//! use gabor::report::{self, Report};
//!
//! let run = "runs/digits-alexnet-small-001";
//! let page = Report::of(run, &report::device(run)?)?.write(run)?;
//! println!("{}", page.display());
//! # Ok::<(), gabor::error::Error>(())
//! ```

mod chart;
mod compare;
mod confusion;
mod evaluated;
mod page;
mod record;

use std::path::{Path, PathBuf};

pub use compare::{Comparison, Side};
pub use confusion::{ClassFigures, Confusion};
pub use evaluated::Mistake;
pub use record::{Epoch, Record, Step, Summary};

use crate::bench::profile::{self, LayerTimes};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::explain::Explainer;
use crate::io::write_atomic;
use crate::tensor::Tensor;
use crate::train::{Finished, Precision, TrainConfig};
use crate::tuning::Cache;
use crate::viz;

/// The page's name in a run's folder.
pub const PAGE: &str = "report.html";
/// Precision and recall of each class, for [`Comparison`].
const CLASSES: &str = "classes.json";

/// The most images of a step that is timed, steps, and seconds.
const TIMED_BATCH: usize = 64;
const TIMED_STEPS: usize = 3;
const TIMED_SECONDS: f64 = 1.0;
/// Layers whose feature maps are shown; more are left out evenly.
const MOST_LAYERS: usize = 12;

/// A picture on the page.
#[derive(Clone, PartialEq, Debug)]
pub struct Picture {
    /// What it is called.
    pub heading: String,
    /// A line about it.
    pub text: String,
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
}

/// All that the page says.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The run's folder, as it was given.
    pub run: PathBuf,
    /// What the run has written down.
    pub record: Record,
    /// The images that were evaluated: how often each class was taken for which.
    pub confusion: Confusion,
    /// The mistakes that the network was surest of, the surest first.
    pub mistakes: Vec<Mistake>,
    /// The first layer's filters, where there are any.
    pub filters: Option<Picture>,
    /// An image, and what the layers make of it, in order.
    pub maps: Vec<Picture>,
    /// What the layers take in a step of training.
    pub times: LayerTimes,
}

/// The device that a run's configuration names, with the kernels that the run had.
///
/// Errors where the configuration cannot be read, or there is no such device.
pub fn device(run: impl AsRef<Path>) -> Result<Device> {
    let config = TrainConfig::read(run.as_ref().join("config.toml"))?;
    let device =
        if config.device == "auto" { Device::auto()? } else { Device::named(&config.device)? };
    device.tuned(&config.tune, &Cache::user())
}

impl Report {
    /// Looks at the run in `folder`: reads what it has written, evaluates its network on the set that
    /// it was tested on (one view of each image), and times a few steps of training on `device`.
    ///
    /// Errors where the run has not ended, its data cannot be read, or the device fails.
    pub fn of(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        let record = Record::read(folder)?;
        let config = TrainConfig::read(folder.join("config.toml"))?;
        let mut finished = Finished::open(folder, device)?;
        let source = config.open_data()?;
        let batch = config.micro_batch.unwrap_or(config.batch).min(config.batch).max(1);
        let evaluated = evaluated::evaluate(&mut finished, &source.test, batch)?;
        let maps = feature_maps(&finished, &evaluated)?;
        let parameters = finished.network.parameters()?;
        let filters = parameters.iter().find(|(_, tensor)| tensor.shape().rank() == 4);
        let filters = filters.map(|(name, filters)| {
            Ok::<_, Error>(Picture {
                heading: name.clone(),
                text: "Mid-grey is 0, each filter on its own scale.".into(),
                png: viz::encoded(&viz::filters::sheet(filters)?)?,
            })
        });
        let precision = Precision::F32;
        let batch = batch.min(TIMED_BATCH);
        let options = profile::Options { batch, steps: TIMED_STEPS, precision };
        let (model, optimizer) = (finished.network.model(), config.optimizer());
        let times =
            profile::layer_times(device, model, optimizer.as_ref(), options, TIMED_SECONDS)?;
        Ok(Report {
            run: folder.to_owned(),
            record,
            confusion: evaluated.confusion,
            mistakes: evaluated.mistakes,
            filters: filters.transpose()?,
            maps,
            times,
        })
    }

    /// The page.
    pub fn html(&self) -> String {
        page::html(self)
    }

    /// Writes the page to `folder`, beside it `classes.json` with the figures of each class, and returns
    /// the page's path.
    ///
    /// Errors where a file cannot be written; an older one is left as it was then.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let classes = serde_json::to_string_pretty(&self.confusion.figures())
            .map_err(|e| Error::Usage(format!("the figures of the classes: {e}")))?;
        write_atomic(folder.as_ref().join(CLASSES), classes.as_bytes())?;
        let path = folder.as_ref().join(PAGE);
        write_atomic(&path, self.html().as_bytes())?;
        Ok(path)
    }
}

/// What the layers make of the first image.
fn feature_maps(finished: &Finished, evaluated: &evaluated::Evaluated) -> Result<Vec<Picture>> {
    let [channels, height, width] = finished.network.model().input();
    let image = Tensor::f32([1, channels, height, width], evaluated.first.clone())?;
    let mut explainer = Explainer::new(&finished.network)?;
    let layers = explainer.layers().to_vec();
    let look = explainer.look(&image)?;
    let first = &evaluated.first_shown;
    let mut pictures = vec![Picture {
        heading: "The image".into(),
        text: format!("The first one that was tested on, of class {}.", evaluated.first_class),
        png: first.clone(),
    }];
    let stride = layers.len().div_ceil(MOST_LAYERS).max(1);
    for (layer, maps) in layers.iter().zip(&look.maps).step_by(stride) {
        let [channels, height, width] = layer.shape;
        let shown = channels.min(viz::heat::MOST_MAPS);
        pictures.push(Picture {
            heading: layer.path.clone(),
            text: format!("{shown} of {channels} maps of {height}x{width}."),
            png: viz::encoded(&viz::heat::feature_maps(maps.as_f32()?, layer.shape)?)?,
        });
    }
    Ok(pictures)
}
