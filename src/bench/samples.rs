//! The ops of a network's training step, on the values that the step really computes.

use std::collections::HashMap;

use super::{compute, workload::random_batch};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Origin, fuse};
use crate::nn::Model;
use crate::ops::Value;
use crate::ops::case::Case;
use crate::optim::Optimizer;
use crate::tensor::Tensor;
use crate::train::{Names, training_step};

/// The part of a training step that an op belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// From the images to the loss.
    Forward,
    /// From the loss to the gradients.
    Backward,
    /// From the gradients to the new parameters.
    Update,
    /// All of them, in one run.
    Step,
}

impl Pass {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Backward => "backward",
            Pass::Update => "update",
            Pass::Step => "step",
        }
    }
}

/// An op of a training step.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The layer, or for an update the parameter.
    pub layer: String,
    /// The part of the step.
    pub pass: Pass,
    /// The op on the inputs that it has in the step.
    pub case: Case,
    /// What the CPU engine makes of them.
    pub outputs: Vec<Tensor>,
}

/// Takes the first training step of `model` on a random batch, op by op as plans fuse them, on the CPU engine, and
/// calls `visit` with those ops whose layer, pass and op, parted by blanks, satisfy `wants`. A value
/// is dropped with its last reader, so that no more memory is needed than in training.
///
/// Errors where the network cannot be built, and where `visit` does.
pub fn training_samples(
    model: &Model,
    optimizer: &dyn Optimizer,
    batch: usize,
    wants: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(Sample) -> Result<()>,
) -> Result<()> {
    let graph = fuse(&training_step(model, optimizer, batch, 1)?);
    let places: Vec<_> = graph.nodes().iter().map(|node| place(&graph, node)).collect();
    let is_wanted = |n: usize| {
        let (layer, pass) = &places[n];
        wants(&format!("{layer} {} {}", pass.name(), graph.nodes()[n].op.name()))
    };
    let Some(last_wanted) = (0..places.len()).rfind(|&n| is_wanted(n)) else { return Ok(()) };

    let mut last_use = HashMap::new();
    for (n, node) in graph.nodes().iter().enumerate() {
        last_use.extend(node.inputs.iter().map(|&v| (v, n)));
    }
    let mut given = random_batch(model, batch)?;
    given.push((Names::LEARNING_RATE.into(), Tensor::scalar(optimizer.learning_rate())));
    let mut values: HashMap<Value, Tensor> =
        given.into_iter().filter_map(|(name, tensor)| Some((graph.find(&name)?, tensor))).collect();
    for (n, node) in graph.nodes().iter().enumerate().take(last_wanted + 1) {
        let inputs: Result<Vec<_>> =
            node.inputs.iter().map(|&v| take(&graph, &values, v)).collect();
        let (layer, pass) = places[n].clone();
        let label = format!("{layer} {}", pass.name());
        let case = Case { label, op: node.op.clone(), inputs: inputs?, differentiable: vec![] };
        let outputs = compute(&Device::Cpu, &case, None)?;
        values.extend(node.outputs.iter().copied().zip(outputs.iter().cloned()));
        values.retain(|value, _| last_use.get(value).is_some_and(|&last| last > n));
        if is_wanted(n) {
            visit(Sample { layer, pass, case, outputs })?;
        }
    }
    Ok(())
}

/// A value that no node before computes is a state at its start.
fn take(graph: &Graph, values: &HashMap<Value, Tensor>, value: Value) -> Result<Tensor> {
    if let Some(tensor) = values.get(&value) {
        return Ok(tensor.clone());
    }
    let info = graph.value(value);
    match &info.origin {
        Origin::State(initial) => Ok(initial.tensor()),
        _ => Err(Error::Usage(format!("`{}` is needed, but was not given", info.name))),
    }
}

fn place(graph: &Graph, node: &Node) -> (String, Pass) {
    let updated = graph.updates().iter().find(|(_, new)| node.outputs.contains(new));
    match updated {
        Some(&(state, _)) => (graph.value(state).name.clone(), Pass::Update),
        // The gradient of the loss with respect to itself, from which the backward pass starts,
        // belongs to no layer.
        None if node.layer.is_empty() => ("loss".into(), Pass::Backward),
        None if node.is_backward => (node.layer.clone(), Pass::Backward),
        None => (node.layer.clone(), Pass::Forward),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Sgd;
    use crate::zoo;

    #[test]
    fn samples_are_the_steps_ops_with_their_values() {
        let model = zoo::build("lenet", [1, 28, 28], 10).unwrap();
        let mut samples = vec![];
        let sgd = Sgd::new(0.1).momentum(0.9);
        training_samples(&model, &sgd, 2, &|_| true, &mut |sample| {
            samples.push(sample);
            Ok(())
        })
        .unwrap();
        let count = |pass| samples.iter().filter(|s| s.pass == pass).count();
        assert_eq!(count(Pass::Update), 10, "five layers with weight and bias");
        assert_eq!(count(Pass::Forward), 5 + 2 + 1, "layers with their ReLUs, pools, loss");
        // The pool reads what the convolution wrote.
        let find = |layer: &str, pass| {
            samples.iter().find(|s| s.layer == layer && s.pass == pass).unwrap()
        };
        let conv = find("conv1", Pass::Forward);
        assert_eq!(conv.outputs[0], find("pool1", Pass::Forward).case.inputs[0]);
        assert!(conv.outputs[0].as_f32().unwrap().iter().any(|&x| x != 0.0));
    }
}
