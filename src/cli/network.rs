//! Which network a subcommand works on where there is no run.

use std::path::PathBuf;

use clap::Args;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::Model;
use crate::optim::Optimizer;
use crate::train::{Options, Precision, TrainConfig, training_step_with};

/// A configuration in place of the name of a network of the library, and what it is for.
#[derive(Debug, Args)]
pub(super) struct NetworkOf {
    /// The network, optimizer and batch of a configuration, a file or the name of a recipe; for its data
    /// unless input and classes are given.
    #[arg(long, value_name = "FILE|RECIPE", conflicts_with = "model")]
    config: Option<PathBuf>,
    /// Channels, height and width of the images, as 3,227,227.
    #[arg(long, value_name = "C,H,W")]
    input: Option<String>,
    /// The number of classes.
    #[arg(long)]
    classes: Option<usize>,
    /// How the values of a training step are stored: f32 or f16. Without it as the configuration says.
    #[arg(long, value_name = "TYPE")]
    precision: Option<String>,
}

/// A network and how it would be trained.
pub(super) struct Chosen {
    pub(super) model: Model,
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) precision: Precision,
    /// Images at a time on the device, where a configuration says.
    pub(super) batch: Option<usize>,
}

impl NetworkOf {
    /// Whether a configuration is given.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some()
    }

    /// The network of the configuration, or the one of this name with SGD.
    ///
    /// Errors where there is no such network, or it does not suit its images.
    pub(super) fn choose(&self, name: &str) -> Result<Chosen> {
        let input = self.input.as_deref().map(parse_input).transpose()?;
        let config = match &self.config {
            Some(path) => TrainConfig::open(path)?,
            None => TrainConfig { model: name.to_owned(), ..TrainConfig::default() },
        };
        let model = config.model_for(input, self.classes)?;
        let precision = self.precision.as_deref().map(Precision::named).transpose()?;
        let precision = precision.unwrap_or(config.precision);
        let batch = config.micro_batch.unwrap_or(config.batch).min(config.batch);
        let batch = self.config.is_some().then_some(batch);
        Ok(Chosen { model, optimizer: config.optimizer(), precision, batch })
    }
}

impl Chosen {
    /// A training step on a batch.
    ///
    /// Errors where the network cannot be built for it.
    pub(super) fn training_step(&self, batch: usize) -> Result<Graph> {
        let options = Options { precision: self.precision, ..Options::default() };
        training_step_with(&self.model, self.optimizer.as_ref(), &options, batch)
    }

    /// The batch to time a step with: the one that is asked for, or the configuration's; else 64, or 4 for
    /// images larger than 64x64.
    pub(super) fn batch(&self, asked: Option<usize>) -> usize {
        let usual = if self.model.input()[1] > 64 { 4 } else { 64 };
        asked.or(self.batch).unwrap_or(usual)
    }
}

fn parse_input(text: &str) -> Result<[usize; 3]> {
    let extents: Option<Vec<usize>> =
        text.split(',').map(|n| n.trim().parse().ok().filter(|&n| n > 0)).collect();
    extents
        .and_then(|e| <[usize; 3]>::try_from(e).ok())
        .ok_or_else(|| Error::setting("input", text, "give channels, height and width, as 3,32,32"))
}
