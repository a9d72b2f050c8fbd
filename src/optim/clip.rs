//! Clipping of gradients before another optimizer sees them.

use super::{Optimizer, square_sum};
use crate::error::Result;
use crate::graph::Graph;
use crate::nn::Parameter;
use crate::ops::Value;
use crate::ops::optim::{ClipFactor, ClipValue, ScaleBy};

/// Limits the gradients that `inner` works with.
#[derive(Clone, Debug)]
pub struct Clip<O> {
    limit: Limit,
    inner: O,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    Norm(f64),
    Value(f64),
}

impl<O: Optimizer> Clip<O> {
    /// Scales all gradients by one factor where the norm of all of them taken together is above
    /// `max_norm` (Pascanu et al., 2013), as PyTorch's `clip_grad_norm_`.
    pub fn norm(max_norm: f64, inner: O) -> Self {
        Clip { limit: Limit::Norm(max_norm), inner }
    }

    /// Limits each element of a gradient to plus or minus `limit`, as PyTorch's `clip_grad_value_`.
    pub fn value(limit: f64, inner: O) -> Self {
        Clip { limit: Limit::Value(limit), inner }
    }
}

impl<O: Optimizer> Optimizer for Clip<O> {
    fn updates(
        &self,
        graph: &mut Graph,
        parameters: &[(Parameter, Value)],
        learning_rate: Value,
    ) -> Result<()> {
        let gradients = parameters.iter().map(|&(_, gradient)| gradient);
        let clipped: Result<Vec<_>> = match self.limit {
            Limit::Value(limit) => {
                gradients.map(|gradient| graph.add(ClipValue { limit }, &[gradient])).collect()
            }
            Limit::Norm(max_norm) => {
                let square = square_sum(graph, gradients.clone())?;
                let factor = graph.add_all(ClipFactor { max_norm }, &[square])?[0];
                gradients.map(|gradient| graph.add(ScaleBy, &[gradient, factor])).collect()
            }
        };
        let parameters = parameters.iter().map(|(parameter, _)| parameter.clone());
        let clipped: Vec<_> = parameters.zip(clipped?).collect();
        self.inner.updates(graph, &clipped, learning_rate)
    }

    fn learning_rate(&self) -> f32 {
        self.inner.learning_rate()
    }

    fn evaluated(&self) -> Option<&str> {
        self.inner.evaluated()
    }

    fn clips_norm(&self) -> bool {
        matches!(self.limit, Limit::Norm(_)) || self.inner.clips_norm()
    }
}
