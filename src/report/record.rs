//! What a run's folder says, without its network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::jsonl;
use crate::train::Environment;

/// A step of training, as `metrics.jsonl` has it. A number that was not finite is missing.
#[derive(Clone, Copy, PartialEq, Debug, serde::Deserialize)]
pub struct Step {
    /// The step, counted from 1.
    pub step: u64,
    /// Its epoch, counted from 1.
    pub epoch: u64,
    /// The mean cross-entropy of the batch, in nats.
    pub loss: Option<f64>,
    /// The share of the batch that was classified rightly.
    pub top1: Option<f64>,
    /// The learning rate.
    pub learning_rate: Option<f64>,
}

/// An epoch of training, as `epochs.jsonl` has it. What older runs have not written is missing.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Epoch {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The mean cross-entropy over the epoch's images, in nats.
    pub loss: Option<f64>,
    /// The share of the epoch's images that were classified rightly.
    pub train_top1: Option<f64>,
    /// The mean cross-entropy of the test set after the epoch.
    pub test_loss: Option<f64>,
    /// The share of the test set that is classified rightly after the epoch.
    pub test_top1: Option<f64>,
    /// Training images a second.
    pub images_per_second: Option<f64>,
    /// Seconds that its steps took.
    pub seconds: Option<f64>,
}

/// The end of a run, as `summary.json` has it.
#[derive(Clone, PartialEq, Debug, serde::Deserialize)]
pub struct Summary {
    /// The share of the test set that is classified rightly.
    pub test_top1: Option<f64>,
    /// The share of the test set whose label is among the first five.
    pub test_top5: Option<f64>,
    /// The mean cross-entropy of the test set, in nats.
    pub test_loss: Option<f64>,
    /// Seconds spent training, evaluation left out.
    pub train_seconds: f64,
    /// Steps done.
    pub steps: u64,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// Each epoch.
    #[serde(default)]
    pub epochs: Vec<Epoch>,
}

/// What a run has written down. A run that is still under way has a part of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Each key of the configuration, such as `schedule.kind`, with its value as TOML has it.
    pub config: BTreeMap<String, String>,
    /// Where it ran; runs of older versions do not say.
    pub environment: Option<Environment>,
    /// Each step.
    pub steps: Vec<Step>,
    /// Each epoch.
    pub epochs: Vec<Epoch>,
    /// The end.
    pub summary: Option<Summary>,
}

impl Record {
    /// Reads the folder of a run.
    ///
    /// Errors where there is no configuration in it, or a file that cannot be read.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join("config.toml");
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::io(&path, e, "give the folder of a run"))?;
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| Error::data(&path, e.message().replace('\n', " ")))?;
        let mut config = BTreeMap::new();
        flatten("", &toml::Value::Table(table), &mut config);
        let summary: Option<Summary> = json(&folder.join("summary.json"))?;
        let mut epochs = lines(folder.join("epochs.jsonl"))?;
        if let (true, Some(summary)) = (epochs.is_empty(), &summary) {
            epochs = summary.epochs.clone();
        }
        Ok(Record {
            config,
            environment: json(&folder.join("environment.json"))?,
            steps: lines(folder.join("metrics.jsonl"))?,
            epochs,
            summary,
        })
    }

    /// A value of the configuration without quotes, empty where it is not set.
    pub fn setting(&self, key: &str) -> &str {
        self.config.get(key).map_or("", |value| value.trim_matches('"'))
    }

    /// The epoch with the best top-1 on the test set, the first of equals.
    pub fn best(&self) -> Option<&Epoch> {
        let known = self.epochs.iter().filter(|epoch| epoch.test_top1.is_some());
        known.rev().max_by(|a, b| {
            a.test_top1.partial_cmp(&b.test_top1).unwrap_or(std::cmp::Ordering::Equal)
        })
    }

    /// Training images a second over all epochs, where the epochs say how long they took; else the
    /// mean of the epochs' speeds.
    pub fn images_per_second(&self) -> Option<f64> {
        let speeds = || self.epochs.iter().filter_map(|epoch| epoch.images_per_second);
        let seconds: f64 = self.epochs.iter().filter_map(|epoch| epoch.seconds).sum();
        if seconds > 0.0 {
            let images = self.epochs.iter().filter_map(|e| Some(e.images_per_second? * e.seconds?));
            return Some(images.sum::<f64>() / seconds);
        }
        let count = speeds().count();
        (count > 0).then(|| speeds().sum::<f64>() / count as f64)
    }
}

/// The values of a table by their path.
fn flatten(path: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{key}"), value, found);
            }
        }
        value => {
            found.insert(path.to_owned(), value.to_string());
        }
    }
}

/// A JSON file, if it is there.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(e) => Err(Error::data(path, e.to_string())),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e, "give the folder of a run")),
    }
}

/// The lines of a log, none if it is not there.
fn lines<T: serde::de::DeserializeOwned>(path: PathBuf) -> Result<Vec<T>> {
    if path.exists() { jsonl::read(path) } else { Ok(vec![]) }
}
