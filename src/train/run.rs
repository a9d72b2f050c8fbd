//! A run and the folder that it leaves behind.
//!
//! | file | content | written |
//! |---|---|---|
//! | `config.toml` | the configuration; `gabor train --config` repeats the run | at the start |
//! | `environment.json` | the program's version, the device with its driver, the machine | at the start |
//! | `kernels.json` | the picks that decide a GPU's kernels, where there are any | at the start |
//! | `metrics.jsonl` | a line a step: `step`, `epoch`, `loss`, `top1`, `learning_rate`, `images` | as it goes |
//! | `epochs.jsonl` | a line an epoch: [`EpochMetrics`], with seconds and images a second | as it goes |
//! | `tensorboard/` | event files for TensorBoard, where they are asked for; see [`Board`] | as it goes |
//! | `weights.safetensors` | the parameters, with what is needed to use them | at the end |
//! | `curves.png`, `filters.png` | loss and accuracy; the first layer's filters | at the end |
//! | `summary.json` | what the run came to | last |
//!
//! `gabor train` and `gabor report` add a page, `report.html`. What depends on the clock is in
//! `epochs.jsonl` and `summary.json`; `metrics.jsonl` is the same to the bit when a run is repeated.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{
    Board, Environment, EpochMetrics, Evaluation, Event, Network, StepMetrics, TrainConfig, Trainer,
};
use crate::data::{self, LoaderConfig, Normalise, Picture, Source, Transforms};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::jsonl::JsonLines;
use crate::io::{safetensors, write_atomic};
use crate::nn::Model;
use crate::tuning::{Cache, Tuning};
use crate::zoo;

/// What a run came to: the content of `summary.json`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RunSummary {
    /// The share of the test set that is classified rightly.
    pub test_top1: f32,
    /// The share of the test set whose label is among the first five.
    pub test_top5: f32,
    /// The mean cross-entropy of the test set, in nats.
    pub test_loss: f32,
    /// Seconds spent training, evaluation left out.
    pub train_seconds: f64,
    /// Steps done.
    pub steps: u64,
    /// The device's name.
    pub device: String,
    /// The run's folder.
    pub run: PathBuf,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// Each epoch.
    pub epochs: Vec<EpochMetrics>,
}

/// A run that is about to start.
#[derive(Debug)]
pub struct Run {
    config: TrainConfig,
    folder: PathBuf,
    trainer: Trainer,
    source: Source,
    transforms: Transforms,
    metrics: JsonLines,
    epochs: JsonLines,
    board: Option<Board>,
    #[cfg(feature = "images")]
    film: Option<PathBuf>,
}

/// About how many frames a film has.
#[cfg(feature = "images")]
const FRAMES: u64 = 40;

/// The file of a run's parameters.
const WEIGHTS: &str = "weights.safetensors";
/// The file of the kernels that it ran with.
const KERNELS: &str = "kernels.json";

impl Run {
    /// Opens data and device, compiles the network, and creates the folder.
    ///
    /// Errors where any of it fails; no folder has been created then, unless only its files cannot
    /// be written. `folder` must be new or empty; without one it is the next free number under
    /// `runs/`.
    pub fn new(config: TrainConfig, folder: Option<PathBuf>) -> Result<Self> {
        config.check()?;
        let source = config.open_data()?;
        let transforms = config.transforms(&source)?;
        let classes = source.train.classes().len();
        let input = transforms.output_shape(source.train.shape())?;
        let model = zoo::build(&config.model, input, classes)?;
        let mut options = config.options();
        if config.balance {
            let labels = data::split::labels(&*source.train)?;
            options.weights = data::split::balanced(&labels, classes);
        }
        options.transforms = Some(transforms.clone());
        let device =
            if config.device == "auto" { Device::auto()? } else { Device::named(&config.device)? };
        let device = device.tuned(&config.tune, &Cache::user())?;
        let trainer = Trainer::new(&device, model, config.optimizer(), options)?;
        let folder = create_folder(folder, &config)?;
        // The cache may be another one by the time that the run is repeated.
        let picks = device.picks();
        let tune = match picks.is_empty() {
            true => Tuning::Off,
            false => {
                picks.write(folder.join(KERNELS))?;
                Tuning::File(KERNELS.into())
            }
        };
        let written = TrainConfig { tune, ..config.clone() };
        write_atomic(folder.join("config.toml"), written.to_toml()?.as_bytes())?;
        Environment::of(&device).write(folder.join("environment.json"))?;
        let metrics = JsonLines::create(folder.join("metrics.jsonl"))?;
        let epochs = JsonLines::create(folder.join("epochs.jsonl"))?;
        let board = match config.tensorboard {
            true => {
                let batch = config.micro_batch.unwrap_or(config.batch).min(config.batch);
                Some(Board::create(folder.join("tensorboard"), &source, &transforms, batch)?)
            }
            false => None,
        };
        Ok(Run {
            config,
            folder,
            trainer,
            source,
            transforms,
            metrics,
            epochs,
            board,
            #[cfg(feature = "images")]
            film: None,
        })
    }

    /// Also writes a film of the first layer's filters, an animated PNG file. See [`crate::viz::film`].
    ///
    /// Errors where `path` does not end in `.png`, or the network has no filters.
    #[cfg(feature = "images")]
    pub fn film(mut self, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        crate::viz::film::check_name(&path)?;
        let types = self.trainer.network().model().parameter_types()?;
        let Some((name, _)) = types.iter().find(|(_, ty)| ty.shape.rank() == 4) else {
            let model = &self.config.model;
            return Err(Error::Usage(format!("{model} has no filters to make a film of")));
        };
        let per_epoch = self.source.train.len().div_ceil(self.config.batch) as u64;
        let steps = per_epoch.saturating_mul(self.config.epochs);
        let steps = self.config.max_steps.map_or(steps, |most| most.min(steps));
        self.trainer.record(name, steps.div_ceil(FRAMES))?;
        self.film = Some(path);
        Ok(self)
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The network in training.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The data.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Trains, evaluates, and writes the results. `observe` sees every step and epoch and may end
    /// the run early by breaking; what was learned by then is saved.
    ///
    /// Errors where training fails or a file cannot be written.
    pub fn execute(
        mut self,
        mut observe: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<RunSummary> {
        let mut steps: Vec<StepMetrics> = vec![];
        let (metrics, epochs) = (&mut self.metrics, &mut self.epochs);
        let board = &mut self.board;
        let mut failure = None;
        let report =
            self.trainer.fit_with(&self.source, self.config.epochs, |event, network| {
                let written = match event {
                    Event::Step(step) => {
                        steps.push(*step);
                        metrics.write(step)
                    }
                    Event::Epoch(epoch) => epochs.write(epoch).and_then(|()| epochs.flush()),
                };
                let written = written.and_then(|()| match board {
                    Some(board) => board.write(event, network),
                    None => Ok(()),
                });
                if let Err(e) = written {
                    failure = Some(e);
                    return ControlFlow::Break(());
                }
                observe(event)
            })?;
        if let Some(error) = failure {
            return Err(error);
        }
        self.metrics.flush()?;
        self.save_weights()?;
        let test = if self.config.ten_crop { self.evaluate_ten_crops()? } else { report.test };
        self.draw(&steps, &report.epochs)?;
        let summary = RunSummary {
            test_top1: test.top1,
            test_top5: test.top5,
            test_loss: test.loss,
            train_seconds: report.train_time.as_secs_f64(),
            steps: report.steps,
            device: self.trainer.network().device().name(),
            run: self.folder.clone(),
            interrupted: report.is_interrupted,
            epochs: report.epochs,
        };
        let text = serde_json::to_string_pretty(&summary)
            .map_err(|e| Error::Usage(format!("the summary: {e}")))?;
        write_atomic(self.folder.join("summary.json"), text.as_bytes())?;
        Ok(summary)
    }

    fn evaluate_ten_crops(&mut self) -> Result<Evaluation> {
        let normalise = self.source.normalise.clone();
        let config = LoaderConfig {
            transforms: self.transforms.ten_crop()?,
            // As many images at a time for the network as in training.
            ..LoaderConfig::new(self.config.batch.div_ceil(10), normalise)
        };
        self.trainer.network_mut().evaluate_with(&self.source.test, config)
    }

    fn save_weights(&self) -> Result<()> {
        let json = |value: Result<String, serde_json::Error>| {
            value.map_err(|e| Error::Usage(format!("the weights' metadata: {e}")))
        };
        let model = self.trainer.network().model();
        let input = json(serde_json::to_string(&model.input()))?;
        let classes = json(serde_json::to_string(self.source.train.classes()))?;
        let normalise = json(serde_json::to_string(&self.source.normalise))?;
        let still = self.transforms.still();
        let transforms = json(serde_json::to_string(still.list()))?;
        let statistics = json(serde_json::to_string(still.statistics()))?;
        let image = json(serde_json::to_string(&self.source.train.shape()))?;
        let metadata = [
            ("transforms", transforms.as_str()),
            ("statistics", statistics.as_str()),
            ("image", image.as_str()),
            ("model", self.config.model.as_str()),
            ("data", self.config.data.as_str()),
            ("input", input.as_str()),
            ("classes", classes.as_str()),
            ("normalise", normalise.as_str()),
        ];
        self.trainer.network().save(self.folder.join(WEIGHTS), &metadata)
    }

    #[cfg(feature = "images")]
    fn draw(&self, steps: &[StepMetrics], epochs: &[EpochMetrics]) -> Result<()> {
        use crate::viz;
        let title = format!("{} on {}", self.config.model, self.config.data);
        let curves = viz::Curves {
            title: &title,
            steps: &steps.iter().map(|s| s.step).collect::<Vec<_>>(),
            losses: &steps.iter().map(|s| s.loss).collect::<Vec<_>>(),
            epochs: &epochs.iter().map(|e| e.epoch).collect::<Vec<_>>(),
            train_top1: &epochs.iter().map(|e| e.train_top1).collect::<Vec<_>>(),
            test_top1: &epochs.iter().map(|e| e.test_top1).collect::<Vec<_>>(),
        };
        curves.save(self.folder.join("curves.png"))?;
        if let Some(path) = &self.film {
            viz::film::save(self.trainer.recorded(), path)?;
        }
        let parameters = self.trainer.network().parameters()?;
        match parameters.iter().find(|(_, t)| t.shape().rank() == 4) {
            Some((_, filters)) => {
                viz::filters::save_sheet(filters, self.folder.join("filters.png"))
            }
            None => Ok(()),
        }
    }

    #[cfg(not(feature = "images"))]
    fn draw(&self, _: &[StepMetrics], _: &[EpochMetrics]) -> Result<()> {
        Ok(())
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
    /// Opens a run's folder.
    ///
    /// Errors where it holds no weights, or weights that do not fit.
    pub fn open(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(WEIGHTS);
        if !path.exists() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            let remedy = "give the folder of a run that has ended";
            return Err(Error::io(path, missing, remedy));
        }
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
        let model: Model = zoo::build(&parse("model")?, input, classes.len())?;
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
}

impl Finished {
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

/// Creates the run's folder.
fn create_folder(folder: Option<PathBuf>, config: &TrainConfig) -> Result<PathBuf> {
    let remedy = "choose a folder that can be written with --out";
    if let Some(folder) = folder {
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e, remedy))?;
        let mut entries = std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, e, remedy))?;
        if entries.next().is_some() {
            return Err(Error::data(
                folder,
                "the folder is not empty; choose a new one with --out",
            ));
        }
        return Ok(folder);
    }
    let stem = config.data.split(':').next().unwrap_or_default();
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).map_err(|e| Error::io(runs, e, remedy))?;
    for number in 1.. {
        let folder = runs.join(format!("{stem}-{}-{number:03}", config.model));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(folder, e, remedy)),
        }
    }
    Err(Error::Usage("there are too many runs under runs/".into()))
}
