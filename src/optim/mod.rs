//! Optimizers, which turn gradients into updates, and schedules of the learning rate.
//!
//! An [`Optimizer`] sees all parameters with their gradients at once. [`Clip`], [`Ema`] and
//! [`GradientNorm`] wrap another one: `Ema::new(0.999, Clip::norm(5.0, Adam::new(1e-3)))`.

mod clip;
mod descent;
mod ema;
mod gradient_norm;
mod group;
mod method;
mod plateau;
mod schedule;

pub use clip::Clip;
pub use descent::{Adadelta, Adagrad, Adam, AdamW, Descent, Lars, Lion, RmsProp, Sgd};
pub use ema::Ema;
pub use gradient_norm::GradientNorm;
pub use group::Group;
pub use method::Method;
pub use plateau::{Metric, Plateau, Reduction};
pub use schedule::{Anneal, Schedule, Scheduler};

use crate::error::{Error, Result};
use crate::graph::{Graph, Initial};
use crate::nn::Parameter;
use crate::ops::Value;
use crate::ops::optim::{Count, SquareSum};
use crate::tensor::TensorType;

/// A rule that updates parameters from their gradients.
pub trait Optimizer: std::fmt::Debug + Send + Sync {
    /// Adds the ops that update all parameters, each of which comes with its gradient, with whatever
    /// states they need. `learning_rate` is `[1]`, another one in each step; where it is negative, nothing
    /// is to change.
    ///
    /// Errors where a setting is out of range.
    fn updates(
        &self,
        graph: &mut Graph,
        parameters: &[(Parameter, Value)],
        learning_rate: Value,
    ) -> Result<()>;

    /// The learning rate before any schedule.
    fn learning_rate(&self) -> f32;

    /// Where evaluation is to use other values than the parameters `NAME` themselves, such as their
    /// averages: the prefix of the states `PREFIX.NAME` that hold them.
    fn evaluated(&self) -> Option<&str> {
        None
    }

    /// Whether the norm of all gradients taken together is limited, so that they cannot explode.
    fn clips_norm(&self) -> bool {
        false
    }
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn updates(
        &self,
        graph: &mut Graph,
        parameters: &[(Parameter, Value)],
        learning_rate: Value,
    ) -> Result<()> {
        (**self).updates(graph, parameters, learning_rate)
    }

    fn learning_rate(&self) -> f32 {
        (**self).learning_rate()
    }

    fn evaluated(&self) -> Option<&str> {
        (**self).evaluated()
    }

    fn clips_norm(&self) -> bool {
        (**self).clips_norm()
    }
}

/// The name of the state that counts steps.
const STEP: &str = "step";

/// The number of this step, `[1]`, counted from 1: the state `step`, which each run of the graph
/// raises by one, but where its learning rate is negative. All that ask for it share it.
fn step(graph: &mut Graph, learning_rate: Value) -> Result<Value> {
    if let Some(state) = graph.find(STEP) {
        let counted = graph.updates().iter().find(|&&(s, _)| s == state).map(|&(_, new)| new);
        return counted.ok_or_else(|| Error::Usage(format!("`{STEP}` is not counted")));
    }
    let state = graph.state(STEP, Initial::zeros(TensorType::f32([1])))?;
    let new = graph.add(Count, &[state, learning_rate])?;
    graph.update(state, new)?;
    Ok(new)
}

/// The sum of the squares of all `gradients`, `[1]`. They are taken from the last to the first, which is
/// how the backward pass brings them, so that none of them has to wait for another.
fn square_sum(
    graph: &mut Graph,
    gradients: impl DoubleEndedIterator<Item = Value>,
) -> Result<Value> {
    let mut sum = None;
    for gradient in gradients.rev() {
        sum = Some(match sum {
            None => graph.add(SquareSum { running: false }, &[gradient])?,
            Some(sum) => graph.add(SquareSum { running: true }, &[gradient, sum])?,
        });
    }
    sum.ok_or_else(|| Error::Usage("there are no gradients to take the norm of".into()))
}

/// Errors unless this is a learning rate that can be stepped by.
pub(crate) fn check_learning_rate(learning_rate: f32) -> Result<()> {
    if learning_rate > 0.0 && learning_rate.is_finite() {
        return Ok(());
    }
    Err(Error::setting("learning-rate", learning_rate, "must be positive and finite, as 0.01"))
}
