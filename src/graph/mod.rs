//! Graphs of operations, their gradients, and the plans they are compiled to.
//!
//! A [`Graph`] is a list of ops in the order in which they may run. [`Graph::gradients`] appends
//! the ops of the backward pass, [`Plan::new`] turns the whole into steps and buffers for a device.

mod autodiff;
mod footprint;
mod fusion;
mod half;
mod initial;
mod interpret;
mod liveness;
mod plan;
mod planner;
mod recompute;
mod schedule;
mod timeline;

use std::collections::HashMap;
use std::sync::Arc;

pub use autodiff::Rule;
pub use footprint::Footprint;
pub use fusion::fuse;
pub use half::halve;
pub use initial::Initial;
pub use interpret::{Bindings, interpret};
pub use plan::{Choose, Home, Kind, Plan, PlanStep, PlanValue, Slot, Target};
pub use recompute::{Recompute, recompute};
pub use timeline::{Clock, HostSpan, Span, Timeline};

use crate::error::{Error, Result};
use crate::ops::{Emit, Op, Types, Value};
use crate::tensor::{DType, TensorType};

/// Where a value of a graph comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Written before each run, by name.
    Input,
    /// Kept from run to run under its name.
    State(Initial),
    /// Output `output` of node `node`.
    Node {
        /// The index of the node.
        node: usize,
        /// The index among its outputs.
        output: usize,
    },
}

/// A value: its type, its name and where it comes from.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Shape and element type.
    pub ty: TensorType,
    /// The name; for a computed value, that of its layer and op.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// An op in its place in a graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Arc<dyn Op>,
    /// What it reads.
    pub inputs: Vec<Value>,
    /// What it computes.
    pub outputs: Vec<Value>,
    /// The path of the layer it belongs to, such as `conv2`.
    pub layer: String,
    /// The shapes, as the op wants them.
    pub types: Types,
    /// Whether the node belongs to the backward pass.
    pub is_backward: bool,
}

/// A directed acyclic graph of operations.
///
/// ```
/// use gabor::graph::Graph;
/// use gabor::ops::elementwise::Unary;
/// use gabor::tensor::TensorType;
///
/// let mut graph = Graph::new();
/// let x = graph.input("x", TensorType::f32([2, 3]))?;
/// let y = graph.add(Unary::Relu, &[x])?;
/// graph.output("y", y)?;
/// # Ok::<(), gabor::error::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<ValueInfo>,
    nodes: Vec<Node>,
    named: HashMap<String, Value>,
    outputs: Vec<(String, Value)>,
    updates: Vec<(Value, Value)>,
    layer: Vec<String>,
    backward: bool,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Graph::default()
    }

    /// Adds a value that is written before each run.
    ///
    /// Errors where the name is taken.
    pub fn input(&mut self, name: impl Into<String>, ty: TensorType) -> Result<Value> {
        let name = name.into();
        let value = self.push(ty, name.clone(), Origin::Input);
        self.claim(name, value)
    }

    /// Adds a value that is kept from run to run: a parameter, a momentum, a running statistic.
    ///
    /// Errors where the name is taken.
    pub fn state(&mut self, name: impl Into<String>, initial: impl Into<Initial>) -> Result<Value> {
        let (name, initial) = (name.into(), initial.into());
        let value = self.push(initial.ty().clone(), name.clone(), Origin::State(initial));
        self.claim(name, value)
    }

    /// Adds an op with one output. See [`Graph::add_all`].
    pub fn add(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Value> {
        Ok(self.add_all(op, inputs)?[0])
    }

    /// Adds an op and returns its outputs.
    ///
    /// Errors where the op cannot take inputs of these shapes; the message names the layer.
    pub fn add_all(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Vec<Value>> {
        self.emit(Arc::new(op), inputs)
    }

    /// Makes `value` readable after each run under this name.
    ///
    /// Errors where another output has the name.
    pub fn output(&mut self, name: impl Into<String>, value: Value) -> Result<()> {
        let name = name.into();
        if self.outputs.iter().any(|(n, _)| *n == name) {
            return Err(Error::Usage(format!("the graph already has an output `{name}`")));
        }
        self.outputs.push((name, value));
        Ok(())
    }

    /// At the end of each run `state` takes the value `new`.
    ///
    /// Errors where `state` is not a state, has an update already, or is of another type, or where `new` is not
    /// computed by an op.
    pub fn update(&mut self, state: Value, new: Value) -> Result<()> {
        if !matches!(self.values[new.0].origin, Origin::Node { .. }) {
            return Err(Error::Usage("a state's new value must be computed by an op".into()));
        }
        let (old_ty, new_ty) = (&self.values[state.0].ty, &self.values[new.0].ty);
        let name = &self.values[state.0].name;
        if !matches!(self.values[state.0].origin, Origin::State(_)) {
            return Err(Error::Usage(format!("`{name}` is not a state and cannot be updated")));
        }
        if old_ty != new_ty {
            return Err(Error::Usage(format!("state `{name}` is {old_ty}, its update {new_ty}")));
        }
        if self.updates.iter().any(|&(s, _)| s == state) {
            return Err(Error::Usage(format!("state `{name}` is updated twice in one step")));
        }
        self.updates.push((state, new));
        Ok(())
    }

    /// Gives an input or a state another name; a state is shared with other graphs by its name.
    ///
    /// Errors where the name is taken, or the value is computed.
    pub fn rename(&mut self, value: Value, name: impl Into<String>) -> Result<()> {
        let info = &mut self.values[value.0];
        if matches!(info.origin, Origin::Node { .. }) {
            return Err(Error::Usage(format!("`{}` is computed and has no name", info.name)));
        }
        let name = name.into();
        let old = std::mem::replace(&mut info.name, name.clone());
        self.named.remove(&old);
        self.claim(name, value)?;
        Ok(())
    }

    /// Builds under the layer `name`: nodes and errors carry its path.
    pub fn in_layer<T>(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Graph) -> Result<T>,
    ) -> Result<T> {
        self.enter_layer(name);
        let built = build(self);
        self.leave_layer();
        built
    }

    /// Until the matching [`Graph::leave_layer`], nodes and errors carry the layer `name`.
    pub fn enter_layer(&mut self, name: &str) {
        self.layer.push(name.to_owned());
    }

    /// Ends what the last [`Graph::enter_layer`] began.
    pub fn leave_layer(&mut self) {
        self.layer.pop();
    }

    /// Goes to another path and returns the present one, for a layer that is built in several places.
    pub fn replace_layers(&mut self, path: Vec<String>) -> Vec<String> {
        std::mem::replace(&mut self.layer, path)
    }

    /// The path of the layer under construction.
    pub fn layer_path(&self) -> String {
        self.layer.join(".")
    }

    /// What is known about a value.
    pub fn value(&self, value: Value) -> &ValueInfo {
        &self.values[value.0]
    }

    /// The input or state of this name.
    pub fn find(&self, name: &str) -> Option<Value> {
        self.named.get(name).copied()
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = (Value, &ValueInfo)> {
        self.values.iter().enumerate().map(|(i, info)| (Value(i), info))
    }

    /// The nodes, in an order in which they may run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The named outputs.
    pub fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// The states with their new values.
    pub fn updates(&self) -> &[(Value, Value)] {
        &self.updates
    }

    /// Appends a node whose outputs exist already.
    fn place(&mut self, node: Node) {
        let index = self.nodes.len();
        for (output, value) in node.outputs.iter().enumerate() {
            self.values[value.0].origin = Origin::Node { node: index, output };
        }
        self.nodes.push(node);
    }

    fn push(&mut self, ty: TensorType, name: String, origin: Origin) -> Value {
        self.values.push(ValueInfo { ty, name, origin });
        Value(self.values.len() - 1)
    }

    fn claim(&mut self, name: String, value: Value) -> Result<Value> {
        match self.named.insert(name.clone(), value) {
            None => Ok(value),
            Some(_) => Err(Error::Usage(format!(
                "the graph already has an input or state `{name}`; give the layer another name"
            ))),
        }
    }
}

impl Emit for Graph {
    fn emit(&mut self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>> {
        let layer = self.layer_path();
        if let Some(stranger) = inputs.iter().find(|v| v.0 >= self.values.len()) {
            return Err(Error::Usage(format!("value {} is not of this graph", stranger.0)));
        }
        let types: Vec<_> = inputs.iter().map(|v| self.values[v.0].ty.clone()).collect();
        let types = Types::infer(op.as_ref(), types).map_err(|e| e.in_layer(&layer))?;
        let node = self.nodes.len();
        let name =
            if layer.is_empty() { op.name().into() } else { format!("{layer}.{}", op.name()) };
        let outputs: Vec<_> = types
            .outputs
            .iter()
            .enumerate()
            .map(|(output, ty)| self.push(ty.clone(), name.clone(), Origin::Node { node, output }))
            .collect();
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            layer,
            types,
            is_backward: self.backward,
        });
        Ok(outputs)
    }

    fn value_type(&self, value: Value) -> &TensorType {
        &self.values[value.0].ty
    }
}

impl Graph {
    /// Whether gradients can flow to this value: unsigned ones have none.
    fn is_differentiable(&self, value: Value) -> bool {
        self.values[value.0].ty.dtype != DType::U32
    }
}
