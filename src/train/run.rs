//! A run and the folder that it leaves behind.
//!
//! | file | content | written |
//! |---|---|---|
//! | `config.toml` | the configuration; `gabor train --config` repeats the run | at the start |
//! | `environment.json` | the program's version, the device with its driver, the machine | at the start |
//! | `kernels.json` | the picks that decide a GPU's kernels, where there are any | at the start |
//! | `metrics.jsonl` | a line a step: [`StepMetrics`] | as it goes |
//! | `epochs.jsonl` | a line an epoch: [`EpochMetrics`], with seconds and images a second | as it goes |
//! | `tensorboard/` | event files for TensorBoard, where they are asked for; see [`Board`] | as it goes |
//! | `weights.safetensors` | the parameters, with what is needed to use them | after each epoch |
//! | `best.safetensors` | the same of the best epoch so far | after each such epoch |
//! | `curves.png`, `filters.png` | loss and accuracy; the first layer's filters | at the end |
//! | `summary.json` | what the run came to | last |
//!
//! `gabor train` and `gabor report` add a page, `report.html`. What depends on the clock is in
//! `epochs.jsonl` and `summary.json`; `metrics.jsonl` is the same to the bit when a run is repeated.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{
    Board, Environment, EpochMetrics, Evaluation, Event, Network, Setup, Stage, StepMetrics,
    TrainConfig, Trainer, Transfer, Weights,
};
use crate::data::{LoaderConfig, Source, Transforms};
use crate::error::{Error, Result};
use crate::io::jsonl::JsonLines;
use crate::io::write_atomic;
use crate::tuning::Tuning;

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
    /// Whether no epoch had been better for as many as `early-stop` says; the result is the best one then,
    /// as it is whenever `early-stop` is set.
    pub stopped_early: bool,
    /// The best epoch.
    pub best_epoch: Option<u64>,
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
    stages: Vec<Stage>,
    transforms: Transforms,
    transfer: Option<Transfer>,
    metrics: JsonLines,
    epochs: JsonLines,
    board: Option<Board>,
    #[cfg(feature = "images")]
    film: Option<PathBuf>,
}

/// About how many frames a film has.
#[cfg(feature = "images")]
const FRAMES: u64 = 40;

/// The file of the kernels that it ran with.
const KERNELS: &str = "kernels.json";

impl Run {
    /// Opens data and device, compiles the network, and creates the folder.
    ///
    /// Errors where any of it fails; no folder has been created then, unless only its files cannot
    /// be written. `folder` must be new or empty; without one it is the next free number under
    /// `runs/`.
    pub fn new(config: TrainConfig, folder: Option<PathBuf>) -> Result<Self> {
        let Setup { trainer, source, stages, transforms, transfer } = Setup::new(&config)?;
        let folder = create_folder(folder, &config)?;
        // The cache may be another one by the time that the run is repeated.
        let picks = trainer.network().device().picks();
        let tune = match picks.is_empty() {
            true => Tuning::Off,
            false => {
                picks.write(folder.join(KERNELS))?;
                Tuning::File(KERNELS.into())
            }
        };
        // A path that is relative would start from the run's folder.
        let init =
            config.init.as_ref().map(|init| std::path::absolute(init).unwrap_or(init.clone()));
        let written = TrainConfig { tune, init, ..config.clone() };
        write_atomic(folder.join("config.toml"), written.to_toml()?.as_bytes())?;
        Environment::of(trainer.network().device()).write(folder.join("environment.json"))?;
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
            stages,
            transforms,
            transfer,
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
        let steps = |stage: &Stage| {
            let per_epoch = stage.source.train.len().div_ceil(self.config.batch) as u64;
            per_epoch.saturating_mul(stage.epochs)
        };
        let steps = self.stages.iter().map(steps).fold(0, u64::saturating_add);
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

    /// What was taken over from `init`.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    /// The data, as it is at the end of the run.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What is trained on when.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
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
        let metadata = self.metadata()?;
        let (metrics, epochs, board) = (&mut self.metrics, &mut self.epochs, &mut self.board);
        let folder = &self.folder;
        let mut failure = None;
        let mut saved = None;
        let mut write = |event: &Event, network: &Network| {
            match event {
                Event::Step(step) => {
                    steps.push(*step);
                    metrics.write(step)?;
                }
                Event::Epoch(epoch) => {
                    if epoch.is_best {
                        network.save(folder.join(Weights::Best.file()), &borrowed(&metadata))?;
                    }
                    network.save(folder.join(Weights::Last.file()), &borrowed(&metadata))?;
                    saved = Some(epoch.epoch);
                    epochs.write(epoch)?;
                    epochs.flush()?;
                }
            }
            board.as_mut().map_or(Ok(()), |board| board.write(event, network))
        };
        let outcome = self.trainer.fit_stages(&self.stages, |event, network| {
            if let Err(e) = write(event, network) {
                failure = Some(e);
                return ControlFlow::Break(());
            }
            observe(event)
        });
        self.metrics.flush()?;
        if let Some(error) = failure {
            return Err(error);
        }
        let report = outcome.map_err(|error| with_checkpoint(error, folder, saved))?;
        let mut test = report.test;
        // The result of a run that may stop early is its best epoch.
        if let (Some(best), true) = (report.best, self.config.early_stop.is_some()) {
            self.trainer.network_mut().load(self.folder.join(Weights::Best.file()))?;
            test = best.test;
        }
        if self.config.ten_crop {
            test = self.evaluate_ten_crops()?;
        }
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
            stopped_early: report.is_stopped_early,
            best_epoch: report.best.map(|best| best.epoch),
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

    /// What the files of weights say beside the weights.
    fn metadata(&self) -> Result<Vec<(&'static str, String)>> {
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
        let network = json(serde_json::to_string(&self.config.network))?;
        let result = match self.config.early_stop {
            Some(_) => Weights::Best,
            None => Weights::Last,
        };
        Ok(vec![
            ("network", network),
            ("transforms", transforms),
            ("statistics", statistics),
            ("image", image),
            ("model", self.config.model.clone()),
            ("data", self.config.data.clone()),
            ("input", input),
            ("classes", classes),
            ("normalise", normalise),
            ("result", result.name().to_owned()),
        ])
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

fn borrowed<'a>(metadata: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    metadata.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// A divergence with the name of the last good checkpoint: the weights after epoch `saved`.
fn with_checkpoint(error: Error, folder: &Path, saved: Option<u64>) -> Error {
    let Error::Diverged { step, layer, problem } = error else { return error };
    let checkpoint = match saved {
        Some(epoch) => {
            let path = folder.join(Weights::Last.file());
            format!("the last good weights, after epoch {epoch}, are in {}", path.display())
        }
        None => "no epoch was done, so that there are no good weights".into(),
    };
    Error::Diverged { step, layer, problem: format!("{problem}; {checkpoint}") }
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
