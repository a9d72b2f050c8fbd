//! What training minimises.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Value;
use crate::ops::elementwise::Fill;
use crate::ops::loss::{NllLoss, Reduction};
use crate::ops::optim::ScaleBy;
use crate::ops::softmax::{Softmax, SoftmaxCrossEntropyStep, TopK};
use crate::tensor::{Tensor, TensorType};

/// The cross-entropy, with what training may change about it; evaluation takes it plain.
///
/// Of `N` images with labels `l` and log-probabilities `x` it is `-1/N sum over n, c of w[c] t[n, c] x[n, c]`,
/// where `t[n, c]` is `1 - s` at the label, and everywhere `s / classes` on top of that.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loss {
    /// `s`, the share of a label that is spread over all classes (Szegedy et al. 2016, section 7).
    pub label_smoothing: f64,
    /// `w`, a weight for each class, against imbalance; none is 1 for each. See
    /// [`class_weights`](crate::data::split::class_weights), whose mean over the images is 1.
    pub class_weights: Vec<f32>,
}

/// What a loss adds to a graph.
pub(super) struct Added {
    /// `[1]`, the loss.
    pub value: Value,
    /// `[1]`, how many images have their label first.
    pub hits: Value,
    /// Where the gradients start, and the gradient that arrives there.
    pub seed: (Value, Value),
}

/// The state that holds the weights.
const CLASS_WEIGHTS: &str = "class_weights";

impl Loss {
    /// Errors where a setting is out of range for this many classes.
    pub(super) fn check(&self, classes: usize) -> Result<()> {
        check_smoothing(self.label_smoothing)?;
        let weights = &self.class_weights;
        let are_good = weights.iter().all(|&weight| weight >= 0.0 && weight.is_finite());
        if weights.is_empty() || (are_good && weights.len() == classes) {
            return Ok(());
        }
        let remedy = format!("give {classes} finite numbers, none negative");
        Err(Error::setting("class-weights", format!("{weights:?}"), remedy))
    }

    /// Adds the loss of `logits` `[batch, classes]`, of which `weight` times is minimised.
    pub(super) fn add(
        &self,
        graph: &mut Graph,
        logits: Value,
        labels: Value,
        weight: f32,
    ) -> Result<Added> {
        if *self == Loss::default() {
            let op = SoftmaxCrossEntropyStep { weight, k: 1 };
            let outputs = graph.add_all(op, &[logits, labels])?;
            let &[value, hits, gradient] = &outputs[..] else {
                return Err(Error::Usage("the loss has three outputs".into()));
            };
            return Ok(Added { value, hits, seed: (logits, gradient) });
        }
        let mut inputs = vec![graph.add(Softmax { log: true }, &[logits])?, labels];
        if !self.class_weights.is_empty() {
            inputs.push(match graph.find(CLASS_WEIGHTS) {
                Some(weights) => weights,
                None => {
                    let weights = self.class_weights.clone();
                    graph.state(CLASS_WEIGHTS, Tensor::f32([weights.len()], weights)?)?
                }
            });
        }
        // A mean would be divided by the weights of its own images, so that those of micro-batches would
        // not add up to that of the batch.
        let op = NllLoss {
            label_smoothing: self.label_smoothing,
            reduction: Reduction::Sum,
            ..NllLoss::default()
        };
        let sum = graph.add_all(op, &inputs)?[0];
        let share = 1.0 / graph.value(labels).ty.elements() as f32;
        let mut fill = |value: f32| graph.add(Fill { value, ty: TensorType::f32([1]) }, &[]);
        let (factor, gradient) = (fill(share)?, fill(weight * share)?);
        let value = graph.add(ScaleBy, &[sum, factor])?;
        let hits = graph.add(TopK { k: 1 }, &[logits, labels])?;
        Ok(Added { value, hits, seed: (sum, gradient) })
    }
}

/// Errors unless labels can be smoothed by this share.
pub(super) fn check_smoothing(share: f64) -> Result<()> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::setting("label-smoothing", share, "must be in 0..1, as 0.1"))
}
