//! Runs side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{CLASSES, ClassFigures, Record};
use crate::error::{Error, Result};

/// A run of a comparison.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Side {
    /// The run's folder, as it was given.
    pub run: PathBuf,
    /// Epochs done.
    pub epochs: usize,
    /// The share of the test set that is classified rightly at the end; of a run that is under way,
    /// after its last epoch.
    pub final_top1: Option<f64>,
    /// The mean cross-entropy of the test set then, in nats.
    pub final_loss: Option<f64>,
    /// The best top-1 after any epoch.
    pub best_top1: Option<f64>,
    /// That epoch, the first of equals.
    pub best_epoch: Option<u64>,
    /// Training images a second, evaluation left out.
    pub images_per_second: Option<f64>,
    /// Seconds of training, evaluation left out.
    pub train_seconds: Option<f64>,
    /// Whether it has ended.
    pub has_ended: bool,
    /// Precision and recall of each class, where a report has been written.
    pub classes: Vec<ClassFigures>,
}

/// Runs, and in what they differ.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Comparison {
    /// The runs, in the order in which they were given.
    pub runs: Vec<Side>,
    /// The keys of the configuration that are not the same in all runs, each with its value in each
    /// run; `None` where it is not set. The path of the kernels is no setting, and left out.
    pub settings: BTreeMap<String, Vec<Option<String>>>,
    /// The recall of each class in each run, the greatest difference first; only classes that all
    /// runs know, where all have a report.
    pub recall: Vec<(String, Vec<Option<f64>>)>,
}

impl Comparison {
    /// Compares the runs in these folders, of which some may be under way.
    ///
    /// Errors where there are fewer than two, or a folder is not that of a run.
    pub fn of<P: AsRef<Path>>(folders: &[P]) -> Result<Self> {
        if folders.len() < 2 {
            return Err(Error::Usage("give two runs or more to compare".into()));
        }
        let (mut runs, mut records) = (vec![], vec![]);
        for folder in folders {
            let record = Record::read(folder)?;
            runs.push(Side::of(folder.as_ref(), &record)?);
            records.push(record);
        }
        let keys: BTreeSet<&String> =
            records.iter().flat_map(|record| record.config.keys()).collect();
        let mut settings = BTreeMap::new();
        for key in keys.into_iter().filter(|key| *key != "tune") {
            let values: Vec<_> = records.iter().map(|r| r.config.get(key).cloned()).collect();
            if values.iter().any(|value| *value != values[0]) {
                settings.insert(key.clone(), values);
            }
        }
        let recall = recall(&runs);
        Ok(Comparison { runs, settings, recall })
    }
}

impl Side {
    fn of(folder: &Path, record: &Record) -> Result<Self> {
        let (summary, last, best) = (record.summary.as_ref(), record.epochs.last(), record.best());
        let seconds = record.epochs.iter().filter_map(|epoch| epoch.seconds).sum::<f64>();
        let path = folder.join(CLASSES);
        let classes = match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| Error::data(&path, e.to_string()))?
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(e) => return Err(Error::io(path, e, "give the folder of a run")),
        };
        Ok(Side {
            run: folder.to_owned(),
            epochs: record.epochs.len(),
            final_top1: summary.map_or_else(|| last?.test_top1, |s| s.test_top1),
            final_loss: summary.map_or_else(|| last?.test_loss, |s| s.test_loss),
            best_top1: best.and_then(|epoch| epoch.test_top1),
            best_epoch: best.map(|epoch| epoch.epoch),
            images_per_second: record.images_per_second(),
            train_seconds: summary.map(|s| s.train_seconds).or((seconds > 0.0).then_some(seconds)),
            has_ended: summary.is_some(),
            classes,
        })
    }
}

/// The recall of the classes that all runs know.
fn recall(runs: &[Side]) -> Vec<(String, Vec<Option<f64>>)> {
    let of =
        |side: &Side, class: &str| side.classes.iter().find(|c| c.class == class).map(|c| c.recall);
    let classes = runs.first().map_or(&[][..], |side| &side.classes);
    let rows = classes.iter().filter_map(|ClassFigures { class, .. }| {
        let recall: Option<Vec<_>> = runs.iter().map(|side| of(side, class)).collect();
        Some((class.clone(), recall?))
    });
    let spread = |values: &[Option<f64>]| {
        let known = || values.iter().flatten().copied();
        known().fold(f64::NEG_INFINITY, f64::max) - known().fold(f64::INFINITY, f64::min)
    };
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| spread(&b.1).total_cmp(&spread(&a.1)));
    rows
}
