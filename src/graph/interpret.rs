//! Runs a graph with every op's oracle, in f64: the yardstick for whole networks.

use std::collections::HashMap;

use super::{Graph, Origin};
use crate::error::{Error, Result};
use crate::ops::{Array, Arrays, Value};

/// Values for a graph's inputs, or in place of its states' initial values, by name.
pub type Bindings = HashMap<String, Array>;

/// Computes every value of `graph` with the oracles. States not in `bindings` have their initial
/// values; updates are not applied (read the value of the update instead).
///
/// Errors where an input is missing or has the wrong number of elements.
pub fn interpret(graph: &Graph, bindings: &Bindings) -> Result<HashMap<Value, Array>> {
    let mut computed: HashMap<Value, Array> = HashMap::new();
    for (value, info) in graph.values() {
        let array = match (&info.origin, bindings.get(&info.name)) {
            (Origin::Node { .. }, _) => continue,
            (_, Some(array)) if array.shape == info.ty.shape => array.clone(),
            (_, Some(array)) => {
                let (name, given, wanted) = (&info.name, &array.shape, &info.ty);
                return Err(Error::Usage(format!("`{name}` is {wanted}, was given {given}")));
            }
            (Origin::State(initial), None) => Array::from(&initial.tensor()),
            (Origin::Input, None) => {
                return Err(Error::Usage(format!("input `{}` was not given", info.name)));
            }
        };
        computed.insert(value, array);
    }
    for node in graph.nodes() {
        let inputs: Vec<Array> = node.inputs.iter().map(|v| computed[v].clone()).collect();
        let mut outputs: Vec<Array> =
            node.types.outputs.iter().map(|t| Array::zeros(t.shape.clone())).collect();
        node.op.reference(&mut Arrays { inputs: &inputs, outputs: &mut outputs });
        computed.extend(node.outputs.iter().copied().zip(outputs));
    }
    Ok(computed)
}
