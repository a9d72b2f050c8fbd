//! The norm of the gradients, for those who watch it.

use super::{Optimizer, square_sum};
use crate::error::Result;
use crate::graph::Graph;
use crate::nn::Parameter;
use crate::ops::Value;

/// Hands out the square of the norm of all gradients taken together, as `inner` gets them, as the
/// graph's output [`GradientNorm::SQUARE`]. It changes nothing about the updates.
#[derive(Clone, Debug)]
pub struct GradientNorm<O> {
    inner: O,
}

impl GradientNorm<()> {
    /// Output: `[1]`, the sum of the squares of all gradients.
    pub const SQUARE: &str = "gradient_square";
}

impl<O: Optimizer> GradientNorm<O> {
    /// Watches the gradients that `inner` works with.
    pub fn new(inner: O) -> Self {
        GradientNorm { inner }
    }
}

impl<O: Optimizer> Optimizer for GradientNorm<O> {
    fn updates(
        &self,
        graph: &mut Graph,
        parameters: &[(Parameter, Value)],
        learning_rate: Value,
    ) -> Result<()> {
        let square = square_sum(graph, parameters.iter().map(|&(_, gradient)| gradient))?;
        graph.output(GradientNorm::SQUARE, square)?;
        self.inner.updates(graph, parameters, learning_rate)
    }

    fn learning_rate(&self) -> f32 {
        self.inner.learning_rate()
    }

    fn evaluated(&self) -> Option<&str> {
        self.inner.evaluated()
    }

    fn clips_norm(&self) -> bool {
        self.inner.clips_norm()
    }
}
