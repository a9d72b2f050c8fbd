//! What the training loop is told, and what it tells.

use std::time::Duration;

use super::network::Evaluation;
use super::{ImageInput, Loss, Precision};
use crate::data::{Source, Transforms};
use crate::graph::Recompute;
use crate::optim::{Metric, Schedule};

/// How to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// Images a step.
    pub batch: usize,
    /// Images at a time on the device, where a whole batch does not fit. The gradients are those of
    /// the whole batch.
    pub micro_batch: Option<usize>,
    /// Decides initial weights, order, augmentation and dropout.
    pub seed: u64,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// Ends the run after this many steps.
    pub max_steps: Option<u64>,
    /// Which activations are computed again in the backward pass, for less memory.
    pub recompute: Recompute,
    /// The most bytes that a step may take; without it what the device is known to offer.
    pub memory: Option<u64>,
    /// What happens to training images, in place of the source's own augmentation. Testing takes the
    /// still counterparts.
    pub transforms: Option<Transforms>,
    /// Whether training images come to a step as values or as bytes that the device prepares, which is
    /// then for the transforms, the data and the normalisation that it is trained with. See
    /// [`TransformsOn::input`](super::TransformsOn::input).
    pub input: ImageInput,
    /// The chances of the training images to be drawn, the same in each [stage](Stage); see
    /// [`LoaderConfig::weights`](crate::data::LoaderConfig::weights).
    pub weights: Vec<f32>,
    /// Ends the run when this many epochs have gone by without a better one.
    pub early_stop: Option<u64>,
    /// What makes an epoch better than another: the test set's top-1, or its loss.
    pub best_by: Metric,
    /// What is minimised.
    pub loss: Loss,
    /// How the values of a step are stored.
    pub precision: Precision,
    /// Gradients have exploded where their norm is more than this many times the usual one, the highest
    /// that the median of 32 steps has been. 0 never looks; nor is there a look where the optimizer
    /// [limits the norm](crate::optim::Optimizer::clips_norm).
    pub max_gradient_growth: f64,
}

impl Options {
    /// The usual [`Options::max_gradient_growth`].
    pub const MAX_GRADIENT_GROWTH: f64 = 1000.0;
}

impl Default for Options {
    /// Batch 64, seed 0, a constant learning rate.
    fn default() -> Self {
        Options {
            batch: 64,
            micro_batch: None,
            seed: 0,
            schedule: Schedule::Constant,
            max_steps: None,
            recompute: Recompute::None,
            memory: None,
            transforms: None,
            input: ImageInput::Values,
            weights: vec![],
            early_stop: None,
            best_by: Metric::Top1,
            loss: Loss::default(),
            precision: Precision::F32,
            max_gradient_growth: Options::MAX_GRADIENT_GROWTH,
        }
    }
}

/// A part of a run, with data of its own. From one to the next go on the parameters, the optimizer's
/// state, the count of the epochs and the schedule.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What it trains on and is tested on.
    pub source: Source,
    /// How many epochs it takes.
    pub epochs: u64,
}

/// One step of training.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct StepMetrics {
    /// The step, counted from 1.
    pub step: u64,
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The mean cross-entropy of the batch, in nats.
    pub loss: f32,
    /// The share of the batch that was classified rightly.
    pub top1: f32,
    /// The learning rate.
    pub learning_rate: f32,
    /// Images in the batch.
    pub images: usize,
    /// The norm of all gradients taken together, where [`Options::max_gradient_growth`] has it watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f32>,
    /// What the next step multiplies its loss with, in half precision: half of what it was where a gradient
    /// of this step was too large, so that the step did not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f32>,
}

/// One epoch of training.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct EpochMetrics {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The mean cross-entropy over the epoch's images, in nats, each at its step.
    pub loss: f32,
    /// The share of the epoch's images that were classified rightly, each at its step.
    pub train_top1: f32,
    /// The mean cross-entropy of the test set after the epoch.
    pub test_loss: f32,
    /// The share of the test set that is classified rightly after the epoch.
    pub test_top1: f32,
    /// Training images a second.
    pub images_per_second: f64,
    /// The learning rate of its last step.
    pub learning_rate: f32,
    /// Seconds that its steps took, evaluation left out.
    pub seconds: f64,
    /// Whether it is the best epoch of its [stage](Stage) so far, by [`Options::best_by`]; of equals
    /// the first.
    pub is_best: bool,
}

/// The best epoch of a run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Best {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The test set after it.
    pub test: Evaluation,
}

/// What [`Trainer::fit`](super::Trainer::fit) tells its observer.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A step is done.
    Step(StepMetrics),
    /// An epoch is done and the test set evaluated.
    Epoch(EpochMetrics),
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each epoch.
    pub epochs: Vec<EpochMetrics>,
    /// The test set after the last step.
    pub test: Evaluation,
    /// The best epoch of the last [stage](Stage), once there is one.
    pub best: Option<Best>,
    /// Time spent training, evaluation left out.
    pub train_time: Duration,
    /// Steps done.
    pub steps: u64,
    /// Whether the observer ended the run early.
    pub is_interrupted: bool,
    /// Whether it ended because no epoch was better for [`Options::early_stop`] epochs.
    pub is_stopped_early: bool,
}

impl Report {
    /// Compares the last evaluation with the best so far and tells whether it is better.
    pub(super) fn note_best(&mut self, epoch: u64, by: Metric) -> bool {
        let test = self.test;
        let is_best = self.best.is_none_or(|best| match by {
            Metric::Top1 => test.top1 > best.test.top1,
            Metric::Loss => test.loss < best.test.loss,
        });
        if is_best {
            self.best = Some(Best { epoch, test });
        }
        is_best
    }
}
