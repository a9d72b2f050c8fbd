//! Runs any operation by name: named tensors in, outputs and gradients out.
//!
//! It is how a fault is reported and how other test-suites are run against gabor; on the command line
//! it is `gabor op`.

use std::collections::HashMap;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Value;
use crate::ops::call::{Arguments, Call};
use crate::ops::registry;
use crate::session::Session;
use crate::tensor::{DType, Tensor};

/// The names of a call's graph: its inputs as they are, `grad.NAME` for a gradient that arrives at
/// an output, and as outputs `NAME` and `grad_NAME`.
#[derive(Clone, Debug)]
pub struct Built {
    /// The graph.
    pub graph: Graph,
    /// The outputs and the gradients of the inputs, by name.
    pub outputs: Vec<(String, Value)>,
}

/// The call of this name.
///
/// Errors where there is none.
pub fn find(name: &str) -> Result<&'static Call> {
    registry::calls().find(|call| call.name == name).ok_or_else(|| Error::Unknown {
        kind: "operation",
        name: name.to_owned(),
        known: registry::calls().map(|call| call.name.to_owned()).collect(),
    })
}

/// The graph of the operation `name` on inputs of these types, with the gradients of its `f32` inputs
/// where `grad_outputs` has the gradients that arrive at its outputs.
///
/// Errors where name, attributes or tensors do not fit.
pub fn build(
    name: &str,
    attributes: &serde_json::Value,
    inputs: &[(String, Tensor)],
    grad_outputs: &[(String, Tensor)],
) -> Result<Built> {
    let call = find(name)?;
    check_labels(name, attributes, inputs)?;
    let mut graph = Graph::new();
    let mut values = HashMap::new();
    for (input, tensor) in inputs {
        if !call.takes(input) {
            let known = call.inputs.iter().map(|&n| n.to_owned()).collect();
            return Err(Error::Unknown { kind: "input", name: input.clone(), known });
        }
        values.insert(input.clone(), graph.input(input.as_str(), tensor.ty())?);
    }
    let mut arguments = Arguments { call, graph: &mut graph, attributes, values: values.clone() };
    let results = (call.build)(&mut arguments)?;
    let mut outputs: Vec<_> =
        call.outputs.iter().map(|&n| n.to_owned()).zip(results.iter().copied()).collect();
    if !grad_outputs.is_empty() {
        let gradients = gradients(&mut graph, &outputs, grad_outputs, inputs, &values)?;
        outputs.extend(gradients);
    }
    Ok(Built { graph, outputs })
}

/// Errors unless every label in `target` is a class of `input`, or the one that is ignored.
fn check_labels(
    name: &str,
    attributes: &serde_json::Value,
    inputs: &[(String, Tensor)],
) -> Result<()> {
    let tensor = |wanted: &str| inputs.iter().find(|(n, _)| n == wanted).map(|(_, t)| t);
    let (Some(input), Some(target)) = (tensor("input"), tensor("target")) else { return Ok(()) };
    let (Ok(labels), Some(&classes)) = (target.as_u32(), input.shape().dims().get(1)) else {
        return Ok(());
    };
    // Negative numbers come as their two's complement.
    let ignored = attributes.get("ignore_index").and_then(serde_json::Value::as_i64);
    let ignored = ignored.unwrap_or(-100) as u32;
    let stray = labels.iter().find(|&&label| label as usize >= classes && label != ignored);
    let Some(&stray) = stray else { return Ok(()) };
    let shapes = [input, target].map(|t| t.shape().to_string()).join(", ");
    Err(Error::Usage(format!(
        "{name}: label {} is out of range; there are classes 0 to {} (inputs: {shapes})",
        stray as i32,
        classes.saturating_sub(1)
    )))
}

fn gradients(
    graph: &mut Graph,
    outputs: &[(String, Value)],
    grad_outputs: &[(String, Tensor)],
    inputs: &[(String, Tensor)],
    values: &HashMap<String, Value>,
) -> Result<Vec<(String, Value)>> {
    let mut seeds = vec![];
    for (name, tensor) in grad_outputs {
        let plain = name.strip_prefix("grad_").unwrap_or(name);
        let Some((_, value)) = outputs.iter().find(|(n, _)| n == plain) else {
            let known = outputs.iter().map(|(n, _)| n.clone()).collect();
            return Err(Error::Unknown { kind: "output", name: name.clone(), known });
        };
        let mut ty = tensor.ty();
        // A single value may come without axes, or with axes of 1.
        if ty.elements() == 1 && graph.value(*value).ty.elements() == 1 {
            ty.shape = graph.value(*value).ty.shape.clone();
        }
        seeds.push((*value, graph.input(format!("grad.{plain}"), ty)?));
    }
    let wanted: Vec<_> = inputs.iter().filter(|(_, t)| t.dtype() == DType::F32).collect();
    let mut gradients = vec![];
    let with_respect_to: Vec<_> = wanted.iter().map(|(name, _)| values[name]).collect();
    let found = graph.gradients_that_exist(&seeds, &with_respect_to)?;
    for ((name, _), gradient) in wanted.into_iter().zip(found) {
        if let Some(gradient) = gradient {
            gradients.push((format!("grad_{name}"), gradient));
        }
    }
    Ok(gradients)
}

/// Runs the operation `name` on `device`. `grad_outputs` may hold the gradients that arrive at the
/// outputs, as `NAME` or `grad_NAME`; then the result holds `grad_INPUT` of every `f32` input that
/// the outputs depend on.
///
/// ```
/// use gabor::device::Device;
/// use gabor::tensor::Tensor;
///
/// let x = Tensor::f32([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
/// let w = Tensor::f32([1, 1, 2, 2], vec![1.0, 0.0, 0.0, -1.0])?;
/// let inputs = [("input".to_owned(), x), ("weight".to_owned(), w)];
/// let attributes = serde_json::json!({ "stride": 1 });
/// let outputs = gabor::call::run("conv2d", &attributes, &inputs, &[], &Device::cpu())?;
/// assert_eq!(outputs[0].1.as_f32()?, [-3.0]);
/// # Ok::<(), gabor::error::Error>(())
/// ```
///
/// Errors where name, attributes or tensors do not fit, or the device fails.
pub fn run(
    name: &str,
    attributes: &serde_json::Value,
    inputs: &[(String, Tensor)],
    grad_outputs: &[(String, Tensor)],
    device: &Device,
) -> Result<Vec<(String, Tensor)>> {
    let Built { mut graph, outputs } = build(name, attributes, inputs, grad_outputs)?;
    for (name, value) in &outputs {
        graph.output(name.as_str(), *value)?;
    }
    let mut session = Session::new(device);
    let mut program = session.compile(&graph)?;
    let mut named: Vec<(String, Tensor)> = inputs.to_vec();
    for (name, tensor) in grad_outputs {
        let name = format!("grad.{}", name.strip_prefix("grad_").unwrap_or(name));
        let shape = graph.find(&name).map(|value| graph.value(value).ty.shape.clone());
        let shape = shape.unwrap_or_else(|| tensor.shape().clone());
        named.push((name, Tensor::f32(shape, tensor.as_f32()?.to_vec())?));
    }
    let named: Vec<_> = named.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let results = session.run(&mut program, &named)?;
    outputs.into_iter().map(|(name, _)| Ok((name.clone(), results.get(&name)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_out_of_range_are_named() {
        let logits = Tensor::f32([2, 3], vec![0.5, 1.0, -1.0, 2.0, 0.0, 1.0]).unwrap();
        let with = |labels: [u32; 2], attributes| {
            let target = Tensor::u32([2], labels.to_vec()).unwrap();
            let inputs = [("input".to_owned(), logits.clone()), ("target".to_owned(), target)];
            run("cross_entropy", &attributes, &inputs, &[], &Device::cpu())
        };
        let message = with([1, 3], serde_json::json!({})).unwrap_err().to_string();
        assert!(
            message.contains("label 3 is out of range") && message.contains("[2, 3]"),
            "{message}"
        );
        assert!(with([1, 2], serde_json::json!({})).is_ok());
        assert!(with([1, -100i32 as u32], serde_json::json!({})).is_ok());
        assert!(with([1, 7], serde_json::json!({ "ignore_index": 7 })).is_ok());
        assert!(with([1, -1i32 as u32], serde_json::json!({})).is_err());
    }
}
