//! Training: the graphs of a step, the loop over epochs, and what a run leaves behind.

mod config;
mod divergence;
mod fit;
mod graphs;
mod memory;
mod network;
mod options;
mod recording;
mod run;
mod step;
mod trainer;
mod views;

pub use config::TrainConfig;
pub use graphs::{Names, accumulation, application, evaluation, prediction, training_step};
pub use network::{Evaluation, Network};
pub use options::{Best, EpochMetrics, Event, Options, Report, StepMetrics};
pub use run::{Finished, Run, RunSummary};
pub use trainer::Trainer;
