//! Models: an input size and the layers that follow.

use std::collections::HashSet;

use super::{Auxiliary, Builder, BuiltLayer, Layer, Mode, Parameter, Sequential};
use crate::error::{Error, Result};
use crate::graph::{Graph, Origin};
use crate::ops::Value;
use crate::tensor::{Shape, TensorType};

/// A network for images of one size.
///
/// ```
/// use gabor::nn::{Conv2d, Linear, MaxPool2d, Model, Relu};
///
/// let model = Model::new("tiny", [1, 28, 28])
///     .with(Conv2d::new(8, 5).padding(2))
///     .with(Relu)
///     .with(MaxPool2d::new(3).stride(2))
///     .with(Linear::new(10));
/// assert_eq!(model.summary(1)?.parameters, 8 * 25 + 8 + 10 * 8 * 13 * 13 + 10);
/// # Ok::<(), gabor::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Model {
    name: String,
    input: [usize; 3],
    layers: Sequential,
    frozen: Vec<String>,
}

/// A network in a graph.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The output of the last layer.
    pub logits: Value,
    /// The trainable values, in the order of the layers, without those of frozen layers.
    pub parameters: Vec<Parameter>,
    /// Outputs whose losses count in training beside that of the last layer.
    pub auxiliaries: Vec<Auxiliary>,
    /// The layers as they were built; one that consists of others comes after them.
    pub layers: Vec<BuiltLayer>,
}

/// What a network consists of.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The model's name.
    pub model: String,
    /// The input's shape.
    pub input: Shape,
    /// Its layers, in order; of those that consist of others only the ones that also compute something
    /// themselves, such as the sum of a residual block.
    pub layers: Vec<LayerSummary>,
    /// The number of trainable values.
    pub parameters: usize,
}

/// What a layer consists of.
#[derive(Clone, Debug)]
pub struct LayerSummary {
    /// The layer's path.
    pub name: String,
    /// Its output's shape.
    pub output: Shape,
    /// Its number of trainable values.
    pub parameters: usize,
    /// Floating-point operations of the forward pass; a multiply-add counts two.
    pub flops: u64,
    /// The weights that a layer with the same inputs and outputs would have if each output were
    /// connected to each input; `None` where the layer has no weights that connect them.
    pub fully_connected: Option<u128>,
    /// The weights that it would have if each output had its own for the inputs that it sees, not
    /// shared with its neighbours: the multiply-adds for one image.
    pub locally_connected: Option<u128>,
}

impl Model {
    /// A network without layers for images `[channels, height, width]`.
    pub fn new(name: impl Into<String>, input: [usize; 3]) -> Self {
        Model { name: name.into(), input, layers: Sequential::new(), frozen: vec![] }
    }

    /// Followed by `layer`, which is named after its kind and number.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.layers = self.layers.with(layer);
        self
    }

    /// Followed by `layer` under this name.
    pub fn with_named(mut self, name: &str, layer: impl Layer + 'static) -> Self {
        self.layers = self.layers.with_named(name, layer);
        self
    }

    /// Training leaves the parameters of these layers, given by path, as they are.
    pub fn freeze<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.frozen.extend(layers.into_iter().map(Into::into));
        self
    }

    /// Training leaves the parameters of all layers but these, given by path, as they are.
    ///
    /// Errors where one of them does not exist or has no parameters, or the network cannot be built.
    pub fn freeze_all_but<S: AsRef<str>>(self, layers: &[S]) -> Result<Self> {
        let mut owners: Vec<String> = vec![];
        for name in self.trainable_names()? {
            let owner = name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned();
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        let is_in = |owner: &str, layer: &str| {
            owner.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let layers: Vec<&str> = layers.iter().map(AsRef::as_ref).collect();
        if let Some(stray) = layers.iter().find(|l| !owners.iter().any(|owner| is_in(owner, l))) {
            return Err(Error::unknown("layer to train", *stray, owners));
        }
        owners.retain(|owner| !layers.iter().any(|layer| is_in(owner, layer)));
        Ok(self.freeze(owners))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[channels, height, width]` of the images.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// The type of a batch of images.
    ///
    /// Errors where the batch is zero.
    pub fn input_type(&self, batch: usize) -> Result<TensorType> {
        if batch == 0 {
            return Err(Error::setting("batch", 0, "must be 1 or more"));
        }
        let [channels, height, width] = self.input;
        Ok(TensorType::f32([batch, channels, height, width]))
    }

    /// Builds the network on `images`; `seed` decides its parameters' initial values.
    ///
    /// Errors where a layer does not suit its input (the message names the layer), and where a layer
    /// that is to be frozen does not exist.
    pub fn forward(
        &self,
        graph: &mut Graph,
        images: Value,
        mode: Mode,
        seed: u64,
    ) -> Result<Forward> {
        let mut builder = Builder::new(graph, mode, seed).freezing(&self.frozen);
        let logits = self.layers.build(&mut builder, images)?;
        let layers = builder.layers();
        if let Some(stray) = self.frozen.iter().find(|f| layers.iter().all(|l| l.path != **f)) {
            let known = layers.iter().map(|layer| layer.path.as_str());
            return Err(Error::unknown("layer to freeze", stray, known));
        }
        let trainable = builder.parameters().iter().filter(|p| p.is_trainable);
        Ok(Forward {
            logits,
            parameters: trainable.cloned().collect(),
            auxiliaries: builder.auxiliaries().to_vec(),
            layers: layers.to_vec(),
        })
    }

    /// The number of classes: the elements that the last layer gives for an image.
    ///
    /// Errors where the network cannot be built.
    pub fn classes(&self) -> Result<usize> {
        let mut graph = Graph::new();
        let images = graph.input("images", self.input_type(1)?)?;
        let logits = self.forward(&mut graph, images, Mode::Evaluate, 0)?.logits;
        Ok(graph.value(logits).ty.shape.per_sample())
    }

    /// Lists the layers with shapes and costs for a batch of this size.
    ///
    /// Errors where the network cannot be built.
    pub fn summary(&self, batch: usize) -> Result<Summary> {
        let mut graph = Graph::new();
        let ty = self.input_type(batch)?;
        let images = graph.input("images", ty.clone())?;
        let mut builder = Builder::new(&mut graph, Mode::Evaluate, 0);
        self.layers.build(&mut builder, images)?;
        let (built, parameters) = (builder.layers().to_vec(), builder.parameters().to_vec());
        let elements = |value: Value| graph.value(value).ty.shape.per_sample() as u128;
        let mut listed = HashSet::new();
        let layers = built.into_iter().filter_map(|layer| {
            if !listed.insert(layer.path.clone()) {
                return None;
            }
            let is_own = |path: &str| path == layer.path;
            let own_parameters = parameters
                .iter()
                .filter(|p| p.name.rsplit_once('.').is_some_and(|(path, _)| is_own(path)))
                .map(|p| &graph.value(p.value).ty);
            let output = graph.value(layer.output).ty.shape.clone();
            // Weights that are a part of the output's shape, such as a scale for each channel, connect
            // nothing.
            let connects = own_parameters
                .clone()
                .any(|ty| ty.dims().len() > 1 && !output.dims().ends_with(ty.dims()));
            let parameters = own_parameters.map(TensorType::elements).sum();
            let nodes: Vec<_> = graph.nodes().iter().filter(|n| is_own(&n.layer)).collect();
            if layer.has_layers && nodes.is_empty() {
                return None;
            }
            let flops: u64 = nodes.iter().map(|node| node.op.cost(&node.types).flops).sum();
            Some(LayerSummary {
                output,
                parameters,
                flops,
                fully_connected: connects.then(|| elements(layer.input) * elements(layer.output)),
                locally_connected: connects.then(|| u128::from(flops / 2 / batch as u64)),
                name: layer.path,
            })
        });
        let layers: Vec<_> = layers.collect();
        let total = parameters.iter().map(|p| graph.value(p.value).ty.elements()).sum();
        Ok(Summary { model: self.name.clone(), input: ty.shape, layers, parameters: total })
    }

    /// The names of the parameters that are trained.
    ///
    /// Errors where the network cannot be built.
    pub fn trainable_names(&self) -> Result<Vec<String>> {
        let mut graph = Graph::new();
        let images = graph.input("images", self.input_type(1)?)?;
        let forward = self.forward(&mut graph, images, Mode::Evaluate, 0)?;
        Ok(forward.parameters.into_iter().map(|parameter| parameter.name).collect())
    }

    /// The names and types of the parameters and of other states that are kept with them, such as running
    /// statistics.
    ///
    /// Errors where the network cannot be built.
    pub fn parameter_types(&self) -> Result<Vec<(String, TensorType)>> {
        let mut graph = Graph::new();
        let images = graph.input("images", self.input_type(1)?)?;
        self.forward(&mut graph, images, Mode::Evaluate, 0)?;
        let states = graph.values().filter(|(_, info)| matches!(info.origin, Origin::State(_)));
        Ok(states.map(|(_, info)| (info.name.clone(), info.ty.clone())).collect())
    }
}
