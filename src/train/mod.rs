//! Training: the graphs of a step, the loop over epochs, and what a run leaves behind.

mod config;
mod graphs;
mod memory;
mod network;
mod recipes;
mod recording;
mod run;
mod trainer;
mod views;

pub use config::TrainConfig;
pub use graphs::{Names, accumulation, application, evaluation, prediction, training_step};
pub use network::{Evaluation, Network};
pub use recipes::{RECIPES, Recipe};
pub use run::{Finished, Run, RunSummary};
pub use trainer::{EpochMetrics, Event, Options, Report, StepMetrics, Trainer};
