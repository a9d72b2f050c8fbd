//! What layers build with: the graph, the parameters, and what they need to know of the run.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Init, Layer};
use crate::error::{Error, Result};
use crate::graph::{Graph, Initial};
use crate::ops::{Emit, Op, Value};
use crate::tensor::{Shape, TensorType};

/// What a network is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Training: dropout is on, batch normalisation goes by the batch.
    Train,
    /// Evaluation and prediction.
    Evaluate,
}

/// What a parameter is to its layer. Optimizers treat the two apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Multiplied with the input.
    Weight,
    /// Added to the output.
    Bias,
}

/// A trainable value.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name, such as `conv1.weight`.
    pub name: String,
    /// Its place in the graph.
    pub value: Value,
    /// What it is to its layer.
    pub role: Role,
}

/// Builds a network into a graph.
#[derive(Debug)]
pub struct Builder<'a> {
    graph: &'a mut Graph,
    mode: Mode,
    seed: u64,
    counter: Option<Value>,
    counts: HashMap<String, usize>,
    parameters: Vec<Parameter>,
    random_layers: u32,
    last_layer: String,
}

impl<'a> Builder<'a> {
    /// Starts to build into `graph`. `seed` decides the parameters' initial values.
    pub fn new(graph: &'a mut Graph, mode: Mode, seed: u64) -> Self {
        Builder {
            graph,
            mode,
            seed,
            counter: None,
            counts: HashMap::new(),
            parameters: vec![],
            random_layers: 0,
            last_layer: String::new(),
        }
    }

    /// The parameters of all layers built so far.
    pub fn into_parameters(self) -> Vec<Parameter> {
        self.parameters
    }

    /// What the network is built for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        &self.graph.value(value).ty
    }

    /// Adds an op with one output.
    ///
    /// Errors where the op refuses the inputs; the message names the layer.
    pub fn add(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Value> {
        self.graph.add(op, inputs)
    }

    /// Adds an op and returns all its outputs.
    ///
    /// Errors where the op refuses the inputs; the message names the layer.
    pub fn add_all(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Vec<Value>> {
        self.graph.add_all(op, inputs)
    }

    /// Builds `layer` on `input` under `name`, or under its kind and a number.
    ///
    /// Errors where the input's shape does not suit the layer.
    pub fn layer(&mut self, name: Option<&str>, layer: &dyn Layer, input: Value) -> Result<Value> {
        let name = name.map_or_else(|| self.next_name(layer.kind()), str::to_owned);
        self.graph.enter_layer(&name);
        let built = layer.build(self, input);
        self.graph.leave_layer();
        self.last_layer = name;
        built
    }

    /// The name under which the last layer was built.
    pub(super) fn last_layer(&self) -> &str {
        &self.last_layer
    }

    /// The parameters so far.
    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn next_name(&mut self, kind: &str) -> String {
        let key = format!("{}/{kind}", self.graph.layer_path());
        let count = self.counts.entry(key).or_default();
        *count += 1;
        format!("{kind}{count}")
    }

    /// A trainable value of the layer under construction. Its first extent counts its outputs and
    /// the others its inputs, which is what [`Init`]'s fans go by.
    ///
    /// Errors where the layer has a parameter of that name already.
    pub fn parameter(
        &mut self,
        name: &str,
        role: Role,
        shape: impl Into<Shape>,
        init: Init,
    ) -> Result<Value> {
        let shape = shape.into();
        let (path, name) = (self.graph.layer_path(), self.path_of(name));
        let outputs = shape.dims().first().copied().unwrap_or(1);
        let receptive: usize = shape.dims().iter().skip(2).product();
        let fans = (shape.per_sample(), outputs * receptive);
        init.check().map_err(|e| e.in_layer(&path))?;
        let (seed, drawn) = (self.seed, name.clone());
        let ty = TensorType::f32(shape);
        let initial = Initial::lazy(ty.clone(), move || init.tensor(&ty, fans, seed, &drawn));
        let value = self.graph.state(name.clone(), initial)?;
        self.parameters.push(Parameter { name, value, role });
        Ok(value)
    }

    /// A value of the layer under construction that is kept from run to run and not trained, such as a
    /// running mean. It is saved and loaded with the parameters where it is there in evaluation too.
    ///
    /// Errors where the layer has a value of that name already.
    pub fn state(&mut self, name: &str, initial: impl Into<Initial>) -> Result<Value> {
        let name = self.path_of(name);
        self.graph.state(name, initial)
    }

    /// At the end of each run `state` takes the value `new`. A layer does this in training only.
    ///
    /// Errors where `state` is not a state, has an update already, or is of another type.
    pub fn update(&mut self, state: Value, new: Value) -> Result<()> {
        self.graph.update(state, new)
    }

    /// `name` within the layer under construction.
    fn path_of(&self, name: &str) -> String {
        let path = self.graph.layer_path();
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    }

    /// The source of random numbers for ops like dropout: the value of the counter, which the
    /// training loop sets in each step, and a number of the layer's own.
    ///
    /// Errors where the counter's name is taken.
    pub fn random(&mut self) -> Result<(Value, u32)> {
        let counter = match self.counter {
            Some(counter) => counter,
            None => self.graph.input(COUNTER, TensorType::u32([4]))?,
        };
        self.counter = Some(counter);
        self.random_layers += 1;
        Ok((counter, self.random_layers))
    }

    /// An error about the layer under construction.
    pub fn fault(&self, setting: &'static str, value: impl ToString, remedy: &str) -> Error {
        Error::setting(setting, value, remedy).in_layer(&self.graph.layer_path())
    }
}

impl Emit for Builder<'_> {
    fn emit(&mut self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>> {
        self.graph.emit(op, inputs)
    }

    fn value_type(&self, value: Value) -> &TensorType {
        self.ty(value)
    }
}

/// The name of the graph's input `[seed low, seed high, step, first sample]` for random numbers.
pub const COUNTER: &str = "counter";
