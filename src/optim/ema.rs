//! Running averages of the parameters.

use super::{Optimizer, step};
use crate::error::{Error, Result};
use crate::graph::{Graph, Origin};
use crate::nn::Parameter;
use crate::ops::{self, Value};

/// Keeps an exponential moving average of each parameter `NAME` in the state `ema.NAME`, which
/// evaluation uses in its place (Polyak & Juditsky, 1992).
///
/// The averages start from the parameters after the first step, as those of PyTorch's
/// `AveragedModel`.
#[derive(Clone, Debug)]
pub struct Ema<O> {
    decay: f64,
    inner: O,
}

/// The prefix of the averages' names.
const PREFIX: &str = "ema";

impl<O: Optimizer> Ema<O> {
    /// Averages what `inner` does; each step keeps the share `decay` of the averages.
    pub fn new(decay: f64, inner: O) -> Self {
        Ema { decay, inner }
    }
}

impl<O: Optimizer> Optimizer for Ema<O> {
    fn updates(
        &self,
        graph: &mut Graph,
        parameters: &[(Parameter, Value)],
        learning_rate: Value,
    ) -> Result<()> {
        self.inner.updates(graph, parameters, learning_rate)?;
        let step = step(graph, learning_rate)?;
        for (parameter, _) in parameters {
            let info = graph.value(parameter.value);
            let Origin::State(initial) = info.origin.clone() else {
                return Err(Error::Usage(format!("`{}` is no parameter", parameter.name)));
            };
            let average = graph.state(format!("{PREFIX}.{}", parameter.name), initial)?;
            let updated = graph.updates().iter().find(|&&(state, _)| state == parameter.value);
            let weight = updated.map_or(parameter.value, |&(_, new)| new);
            let op = ops::optim::Ema { decay: self.decay };
            let new = graph.add(op, &[average, weight, step])?;
            graph.update(average, new)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f32 {
        self.inner.learning_rate()
    }

    fn evaluated(&self) -> Option<&str> {
        Some(PREFIX)
    }

    fn clips_norm(&self) -> bool {
        self.inner.clips_norm()
    }
}
