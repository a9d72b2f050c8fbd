//! Training: the graphs of a step, the loop over epochs, and what a run leaves behind.

mod board;
mod config;
mod divergence;
mod environment;
mod explosion;
mod finished;
mod fit;
mod graphs;
mod input;
mod loss;
mod lr_find;
mod memory;
mod network;
mod options;
mod precision;
mod recipes;
mod recording;
mod run;
mod setup;
mod step;
mod trainer;
mod transfer;
mod views;

pub use board::Board;
pub use config::TrainConfig;
pub use environment::Environment;
pub use finished::{Finished, Weights};
pub use graphs::{
    Names, accumulation, application, evaluation, prediction, training_step, training_step_with,
};
pub use input::{ImageInput, TransformsOn};
pub use loss::Loss;
pub use lr_find::{LrFound, LrPoint, LrRange};
pub use network::{Evaluation, Network};
pub use options::{Best, EpochMetrics, Event, Options, Report, Stage, StepMetrics};
pub use precision::Precision;
pub use recipes::{RECIPES, Recipe};
pub use run::{Run, RunSummary};
pub use setup::Setup;
pub use trainer::Trainer;
pub use transfer::Transfer;
