//! Values in half precision between ops: half the memory and half the traffic.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Graph, Node, Origin};
use crate::error::Result;
use crate::ops::elementwise::Cast;
use crate::ops::optim::Overflows;
use crate::ops::{Op, Types, Value};
use crate::tensor::{DType, TensorType};

/// `graph` with values in half precision wherever [`Op::half`](crate::ops::Op::half) allows it: an op that is
/// worth it has its inputs converted, others take half precision where all of their inputs come so, and the
/// rest compute in single precision as before. Inputs and states, and so the parameters, stay in single
/// precision, as do outputs; a parameter is converted once a run.
///
/// With it comes the number of elements `[1]` of the backward pass that are too large for half precision,
/// or none where nothing of the backward pass is in half precision.
///
/// Errors where an op refuses the types.
pub fn halve(graph: &Graph) -> Result<(Graph, Option<Value>)> {
    let mut new = graph.clone();
    new.nodes.clear();
    let mut halved = Halved { graph: new, casts: HashMap::new(), overflows: None };
    for node in &graph.nodes {
        halved.place(node)?;
    }
    for i in 0..graph.outputs.len() {
        let value = halved.single(graph.outputs[i].1)?;
        halved.graph.outputs[i].1 = value;
    }
    for i in 0..graph.updates.len() {
        let value = halved.single(graph.updates[i].1)?;
        halved.graph.updates[i].1 = value;
    }
    Ok((halved.graph, halved.overflows))
}

struct Halved {
    graph: Graph,
    /// Values in another precision.
    casts: HashMap<(Value, DType), Value>,
    overflows: Option<Value>,
}

impl Halved {
    fn dtype(&self, value: Value) -> DType {
        self.graph.values[value.0].ty.dtype
    }

    /// Appends a node of the original graph.
    fn place(&mut self, node: &Node) -> Result<()> {
        let half = node.op.half();
        let is_float = |v: &Value| self.dtype(*v) != DType::U32;
        let halves = node.inputs.iter().enumerate().filter(|(i, v)| half.takes(*i) && is_float(v));
        let come_half = halves.clone().all(|(_, &v)| self.dtype(v) == DType::F16);
        let takes_half = half.is_wanted() || come_half;
        let inputs = node.inputs.iter().enumerate().map(|(i, &value)| {
            let to = if takes_half && half.takes(i) { DType::F16 } else { DType::F32 };
            self.cast(value, to, node)
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let types = inputs.iter().map(|v| self.graph.values[v.0].ty.clone()).collect();
        let types = Types::infer(node.op.as_ref(), types).map_err(|e| e.in_layer(&node.layer))?;
        for (value, ty) in node.outputs.iter().zip(&types.outputs) {
            self.graph.values[value.0].ty = ty.clone();
        }
        self.graph.place(Node { inputs, types, ..node.clone() });
        for &value in &node.outputs {
            self.watch(value, node)?;
        }
        Ok(())
    }

    /// The value in this precision, converted once for all who need it; unsigned ones as they are.
    fn cast(&mut self, value: Value, to: DType, reader: &Node) -> Result<Value> {
        let is_same = matches!(self.dtype(value), dtype if dtype == to || dtype == DType::U32);
        if is_same {
            return Ok(value);
        }
        if let Some(&cast) = self.casts.get(&(value, to)) {
            return Ok(cast);
        }
        let cast = self.add(Cast { to }, vec![value], reader)?;
        self.casts.insert((value, to), cast);
        self.watch(cast, reader)?;
        Ok(cast)
    }

    /// Counts what is too large in a value of the backward pass.
    fn watch(&mut self, value: Value, node: &Node) -> Result<()> {
        if node.is_backward && self.dtype(value) == DType::F16 {
            let inputs: Vec<_> = std::iter::once(value).chain(self.overflows).collect();
            let op = Overflows { running: self.overflows.is_some() };
            self.overflows = Some(self.add(op, inputs, node)?);
        }
        Ok(())
    }

    fn single(&mut self, value: Value) -> Result<Value> {
        let Origin::Node { node, .. } = self.graph.values[value.0].origin else { return Ok(value) };
        let node = self.graph.nodes[node].clone();
        self.cast(value, DType::F32, &node)
    }

    /// Appends an op with one output, in the layer and the pass of `node`.
    fn add(&mut self, op: impl Op + 'static, inputs: Vec<Value>, node: &Node) -> Result<Value> {
        let types = inputs.iter().map(|v| self.graph.values[v.0].ty.clone()).collect();
        let types = Types::infer(&op, types).map_err(|e| e.in_layer(&node.layer))?;
        let ty: TensorType = types.outputs[0].clone();
        let name = format!("{}.{}", node.layer, op.name());
        let output = self.graph.push(ty, name, Origin::Input);
        let (op, outputs) = (Arc::new(op), vec![output]);
        self.graph.place(Node { op, inputs, types, outputs, ..node.clone() });
        Ok(output)
    }
}
