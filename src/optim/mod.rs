//! Optimizers, which turn gradients into updates, and schedules of the learning rate.

mod schedule;
mod sgd;

pub use schedule::Schedule;
pub use sgd::Sgd;
pub(crate) use sgd::check_learning_rate;

use crate::error::Result;
use crate::graph::Graph;
use crate::nn::Parameter;
use crate::ops::Value;

/// A rule that updates parameters from their gradients.
pub trait Optimizer: std::fmt::Debug + Send + Sync {
    /// Adds the ops that update `parameter`, with whatever states they need. `learning_rate` is a
    /// graph input `[1]`, written in each step.
    ///
    /// Errors where a hyper-parameter is out of range.
    fn update(
        &self,
        graph: &mut Graph,
        parameter: &Parameter,
        gradient: Value,
        learning_rate: Value,
    ) -> Result<()>;

    /// The learning rate before any schedule.
    fn learning_rate(&self) -> f32;
}
