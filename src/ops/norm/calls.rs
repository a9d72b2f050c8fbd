//! Normalisation by name.

use serde::{Deserialize, Serialize};

use super::{Norm, Normalise, Over, layer_axes, running_statistics};
use crate::error::Result;
use crate::ops::Value;
use crate::ops::call::{Arguments, Call};
use crate::ops::elementwise::Fill;

pub(super) const CALLS: &[Call] = &[
    Call::new::<BatchNorm>(
        "batch_norm",
        &["input", "weight?", "bias?", "running_mean?", "running_var?"],
        &["output", "running_mean", "running_var"],
        BatchNorm::build,
    ),
    Call::new::<LayerNorm>(
        "layer_norm",
        &["input", "weight?", "bias?"],
        &["output"],
        LayerNorm::build,
    ),
    Call::new::<GroupNorm>(
        "group_norm",
        &["input", "weight?", "bias?"],
        &["output"],
        GroupNorm::build,
    ),
    Call::new::<InstanceNorm>(
        "instance_norm",
        &["input", "weight?", "bias?"],
        &["output"],
        InstanceNorm::build,
    ),
];

/// Attributes of `batch_norm`. In training the outputs `running_mean` and `running_var` are there where
/// the inputs are: `(1 - momentum) * running + momentum * batch`, the batch's variance unbiased.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BatchNorm {
    training: bool,
    momentum: f32,
    eps: f32,
}

/// Attributes of `layer_norm`: the extents of the last axes, which are normalised over; all but the
/// first where none are given.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LayerNorm {
    normalized_shape: Vec<usize>,
    eps: f32,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GroupNorm {
    num_groups: usize,
    eps: f32,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct InstanceNorm {
    eps: f32,
}

impl Default for BatchNorm {
    fn default() -> Self {
        BatchNorm { training: false, momentum: 0.1, eps: 1e-5 }
    }
}

impl Default for LayerNorm {
    fn default() -> Self {
        LayerNorm { normalized_shape: vec![], eps: 1e-5 }
    }
}

impl Default for GroupNorm {
    fn default() -> Self {
        GroupNorm { num_groups: 1, eps: 1e-5 }
    }
}

impl Default for InstanceNorm {
    fn default() -> Self {
        InstanceNorm { eps: 1e-5 }
    }
}

/// `weight` and `bias` of a call, in the order in which ops take them: a bias alone gets a weight of
/// ones.
fn affine(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let (weight, bias) = (arguments.optional("weight"), arguments.optional("bias"));
    match (weight, bias) {
        (None, Some(bias)) => {
            let ty = arguments.ty(bias).clone();
            Ok(vec![arguments.add(Fill { value: 1.0, ty }, &[])?, bias])
        }
        _ => Ok(weight.into_iter().chain(bias).collect()),
    }
}

fn norm(arguments: &mut Arguments<'_>, over: Over, eps: f32) -> Result<Vec<Value>> {
    let mut inputs = vec![arguments.input("input")?];
    inputs.extend(affine(arguments)?);
    arguments.add_all(Norm { over, eps }, &inputs)
}

impl BatchNorm {
    fn build(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
        let attributes: BatchNorm = arguments.attributes()?;
        let BatchNorm { training, momentum, eps } = attributes;
        if training {
            let outputs = norm(arguments, Over::Batch, eps)?;
            let mut results = vec![outputs[0]];
            let (mean, var) =
                (arguments.optional("running_mean"), arguments.optional("running_var"));
            if mean.is_some() || var.is_some() {
                let running = [arguments.input("running_mean")?, arguments.input("running_var")?];
                let input = arguments.input("input")?;
                let statistics = [outputs[1], outputs[2]];
                let graph = arguments.graph();
                let new = running_statistics(graph, input, statistics, running, momentum)?;
                results.extend(new);
            }
            return Ok(results);
        }
        let mut inputs = vec![arguments.input("input")?];
        inputs.push(arguments.input("running_mean")?);
        inputs.push(arguments.input("running_var")?);
        inputs.extend(affine(arguments)?);
        arguments.add_all(Normalise { eps }, &inputs)
    }
}

impl LayerNorm {
    fn build(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
        let attributes: LayerNorm = arguments.attributes()?;
        let input = arguments.input("input")?;
        let shape = &arguments.ty(input).shape;
        let over = layer_axes(shape, &attributes.normalized_shape)?;
        norm(arguments, over, attributes.eps)
    }
}

impl GroupNorm {
    fn build(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
        let attributes: GroupNorm = arguments.attributes()?;
        norm(arguments, Over::Groups(attributes.num_groups), attributes.eps)
    }
}

impl InstanceNorm {
    fn build(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
        let attributes: InstanceNorm = arguments.attributes()?;
        let input = arguments.input("input")?;
        let channels = arguments.ty(input).dims().get(1).copied().unwrap_or(1);
        norm(arguments, Over::Groups(channels), attributes.eps)
    }
}
