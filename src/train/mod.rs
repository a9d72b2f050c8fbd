//! Training: the graphs of a step, the loop over epochs, and what a run leaves behind.

mod board;
mod config;
mod environment;
mod graphs;
mod memory;
mod network;
mod recording;
mod run;
mod trainer;
mod views;

pub use board::Board;
pub use config::TrainConfig;
pub use environment::Environment;
pub use graphs::{Names, accumulation, application, evaluation, prediction, training_step};
pub use network::{Evaluation, Network};
pub use run::{Finished, Run, RunSummary};
pub use trainer::{EpochMetrics, Event, Options, Report, StepMetrics, Trainer};
