//! In which precision a network is trained, and how gradients are kept within half precision's range.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Graph, Initial, halve};
use crate::ops::Value;
use crate::ops::elementwise::{Fill, Unary};
use crate::ops::optim::{LossScale, ScaleBy};
use crate::tensor::{Tensor, TensorType};

/// In which precision the values of a training step are stored. Parameters and their updates are in single
/// precision in any case, and so are sums and all other arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Half precision between operations, with [dynamic loss scaling](LossScale): gradients are computed of a
    /// loss that is some thousand times as large, so that small ones do not vanish. A step in which one
    /// became too large changes nothing but that factor.
    F16,
}

impl Precision {
    /// All, by their names.
    pub const ALL: [(&str, Precision); 2] = [("f32", Precision::F32), ("f16", Precision::F16)];

    /// The one of this name.
    ///
    /// Errors where there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = Precision::ALL.into_iter().find(|(n, _)| *n == name);
        let names = Precision::ALL.map(|(name, _)| name);
        found.map(|(_, found)| found).ok_or_else(|| Error::unknown("precision", name, names))
    }
}

/// The scale of a loss in a graph.
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    scale: Value,
    steps: Value,
}

impl Scaled {
    /// The scale that training starts with. It is halved until nothing overflows any more.
    const FIRST: f32 = 65536.0;
    /// The states' names.
    const SCALE: &str = "loss_scale";
    const STEPS: &str = "loss_scale.steps";

    pub(super) fn new(graph: &mut Graph) -> Result<Self> {
        let scale = graph.state(Self::SCALE, Tensor::scalar(Self::FIRST))?;
        let steps = graph.state(Self::STEPS, Initial::zeros(TensorType::f32([1])))?;
        Ok(Scaled { scale, steps })
    }

    /// The values that gradients start from, with gradients that are as many times as large.
    pub(super) fn seeds(
        &self,
        graph: &mut Graph,
        seeds: Vec<(Value, Value)>,
    ) -> Result<Vec<(Value, Value)>> {
        let scaled = seeds.into_iter().map(|(value, gradient)| {
            Ok((value, graph.in_layer("loss", |g| g.add(ScaleBy, &[gradient, self.scale]))?))
        });
        scaled.collect()
    }

    /// The graph so far in half precision, and how many gradients are too large for it.
    pub(super) fn halve(graph: &mut Graph) -> Result<Value> {
        let (halved, overflows) = halve(graph)?;
        *graph = halved;
        match overflows {
            Some(overflows) => Ok(overflows),
            None => graph.add(Fill { value: 0.0, ty: TensorType::f32([1]) }, &[]),
        }
    }

    /// What gradients are multiplied with to be those of the loss itself.
    pub(super) fn inverse(&self, graph: &mut Graph) -> Result<Value> {
        graph.add(Unary::Reciprocal, &[self.scale])
    }

    /// The learning rate of a step with so many overflows, and the scale of the next one.
    pub(super) fn judge(
        &self,
        graph: &mut Graph,
        overflows: Value,
        learning_rate: Value,
    ) -> Result<Judged> {
        let inputs = [self.scale, self.steps, overflows, learning_rate];
        let outputs = graph.add_all(LossScale::default(), &inputs)?;
        let &[scale, steps, learning_rate] = &outputs[..] else {
            return Err(Error::Usage("the scale of a loss has three outputs".into()));
        };
        graph.update(self.scale, scale)?;
        graph.update(self.steps, steps)?;
        Ok(Judged { scale, learning_rate })
    }
}

/// What comes of a step with a scaled loss.
pub(super) struct Judged {
    /// The scale of the next step.
    pub scale: Value,
    /// The learning rate, negative where the step does not count.
    pub learning_rate: Value,
}
