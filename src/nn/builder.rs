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
    /// Whether training changes it: not where its layer is frozen.
    pub is_trainable: bool,
}

/// A layer as it was built.
#[derive(Clone, Debug)]
pub struct BuiltLayer {
    /// Its path, such as `layer1.0.conv1`.
    pub path: String,
    /// What it was built on.
    pub input: Value,
    /// What it gave.
    pub output: Value,
    /// Whether it consists of other layers.
    pub has_layers: bool,
}

/// An output beside the network's last, whose loss counts in training.
#[derive(Clone, Copy, Debug)]
pub struct Auxiliary {
    /// The logits.
    pub logits: Value,
    /// The weight of its loss.
    pub weight: f32,
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
    auxiliaries: Vec<Auxiliary>,
    layers: Vec<BuiltLayer>,
    frozen: &'a [String],
    shared: bool,
    random_layers: u32,
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
            auxiliaries: vec![],
            layers: vec![],
            frozen: &[],
            shared: false,
            random_layers: 0,
        }
    }

    /// Training leaves the parameters of these layers, given by path, as they are.
    pub fn freezing(mut self, layers: &'a [String]) -> Self {
        self.frozen = layers;
        self
    }

    /// The parameters of all layers built so far.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The auxiliary outputs so far.
    pub fn auxiliaries(&self) -> &[Auxiliary] {
        &self.auxiliaries
    }

    /// The layers so far; one that consists of others comes after them.
    pub fn layers(&self) -> &[BuiltLayer] {
        &self.layers
    }

    /// What the network is built for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether training leaves the layer under construction as it is.
    pub fn is_frozen(&self) -> bool {
        let path = self.graph.layer_path();
        self.frozen.iter().any(|layer| is_inside(&path, layer))
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
        let before = self.layers.len();
        self.graph.enter_layer(&name);
        let path = self.graph.layer_path();
        let built = layer.build(self, input);
        self.graph.leave_layer();
        let output = built?;
        let has_layers = self.layers.len() > before;
        self.layers.push(BuiltLayer { path, input, output, has_layers });
        Ok(output)
    }

    /// Builds `layer` on `input` under the path `name`, wherever it is used. From the second use on
    /// it has the parameters of the first.
    ///
    /// Errors where the input's shape does not suit the layer.
    pub fn shared_layer(&mut self, name: &str, layer: &dyn Layer, input: Value) -> Result<Value> {
        let outer = self.graph.replace_layers(vec![]);
        // Its own layers are numbered anew, so that they find their names again.
        let inside = [format!("{name}/"), format!("{name}.")];
        self.counts.retain(|key, _| inside.iter().all(|prefix| !key.starts_with(prefix)));
        let was_shared = std::mem::replace(&mut self.shared, true);
        let built = self.layer(Some(name), layer, input);
        self.shared = was_shared;
        self.graph.replace_layers(outer);
        built
    }

    /// Makes `logits` an output beside the network's last, whose loss counts `weight` times.
    pub fn auxiliary(&mut self, logits: Value, weight: f32) {
        self.auxiliaries.push(Auxiliary { logits, weight });
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
    /// Errors where the layer has a parameter of that name already and is not shared.
    pub fn parameter(
        &mut self,
        name: &str,
        role: Role,
        shape: impl Into<Shape>,
        init: Init,
    ) -> Result<Value> {
        let shape = shape.into();
        let outputs = shape.dims().first().copied().unwrap_or(1);
        let receptive: usize = shape.dims().iter().skip(2).product();
        let fans = (shape.per_sample(), outputs * receptive);
        self.parameter_of_fans(name, role, shape, init, fans)
    }

    /// A trainable value of the layer under construction, with the numbers of inputs that feed an
    /// output and of outputs that an input feeds, for [`Init`].
    ///
    /// Errors where the layer has a parameter of that name already and is not shared.
    pub fn parameter_of_fans(
        &mut self,
        name: &str,
        role: Role,
        shape: impl Into<Shape>,
        init: Init,
        fans: (usize, usize),
    ) -> Result<Value> {
        let shape = shape.into();
        let (path, name) = (self.graph.layer_path(), self.path_of(name));
        if let (true, Some(value)) = (self.shared, self.graph.find(&name)) {
            return self.known(value, shape);
        }
        init.check().map_err(|e| e.in_layer(&path))?;
        let (seed, drawn) = (self.seed, name.clone());
        let ty = TensorType::f32(shape);
        let initial = Initial::lazy(ty.clone(), move || init.tensor(&ty, fans, seed, &drawn));
        let value = self.graph.state(name.clone(), initial)?;
        let is_trainable = !self.frozen.iter().any(|layer| is_inside(&name, layer));
        self.parameters.push(Parameter { name, value, role, is_trainable });
        Ok(value)
    }

    /// The parameter of a layer that was built before, on an input of the same size.
    fn known(&self, value: Value, shape: Shape) -> Result<Value> {
        let info = self.graph.value(value);
        if info.ty.shape == shape {
            return Ok(value);
        }
        let remedy = format!("the layers that share it need {} and {shape}", info.ty.shape);
        Err(Error::setting("shared parameter", &info.name, remedy))
    }

    /// A value of the layer under construction that is kept from run to run and not trained, such as a
    /// running mean. It is saved and loaded with the parameters where it is there in evaluation too.
    ///
    /// Errors where the layer has a value of that name already.
    pub fn state(&mut self, name: &str, initial: impl Into<Initial>) -> Result<Value> {
        let (name, initial) = (self.path_of(name), initial.into());
        match self.graph.find(&name) {
            Some(value) if self.shared => self.known(value, initial.ty().shape.clone()),
            _ => self.graph.state(name, initial),
        }
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

    /// `error`, with the layer under construction in front.
    pub fn located(&self, error: Error) -> Error {
        error.in_layer(&self.graph.layer_path())
    }

    /// An error about the layer under construction.
    pub fn fault(&self, setting: &'static str, value: impl ToString, remedy: &str) -> Error {
        Error::setting(setting, value, remedy).in_layer(&self.graph.layer_path())
    }
}

/// Whether `path` is that of `layer` or of something in it.
fn is_inside(path: &str, layer: &str) -> bool {
    path.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
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
