//! Models: an input size and the layers that follow.

use super::{Builder, Layer, Mode, Parameter, Sequential};
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
}

/// A network in a graph.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The output of the last layer.
    pub logits: Value,
    /// The trainable values, in the order of the layers.
    pub parameters: Vec<Parameter>,
}

/// What a network consists of.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The model's name.
    pub model: String,
    /// The input's shape.
    pub input: Shape,
    /// Its layers, in order.
    pub layers: Vec<LayerSummary>,
    /// The number of trainable values.
    pub parameters: usize,
}

/// What a layer consists of.
#[derive(Clone, Debug)]
pub struct LayerSummary {
    /// The layer's name.
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
        Model { name: name.into(), input, layers: Sequential::new() }
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
    /// Errors where a layer does not suit its input; the message names the layer.
    pub fn forward(
        &self,
        graph: &mut Graph,
        images: Value,
        mode: Mode,
        seed: u64,
    ) -> Result<Forward> {
        let mut builder = Builder::new(graph, mode, seed);
        let logits = self.layers.build(&mut builder, images)?;
        Ok(Forward { logits, parameters: builder.into_parameters() })
    }

    /// The number of classes: the elements that the last layer gives for an image.
    ///
    /// Errors where the network cannot be built.
    pub fn classes(&self) -> Result<usize> {
        let summary = self.summary(1)?;
        Ok(summary.layers.last().map_or(0, |layer| layer.output.per_sample()))
    }

    /// Lists the layers with shapes and costs for a batch of this size.
    ///
    /// Errors where the network cannot be built.
    pub fn summary(&self, batch: usize) -> Result<Summary> {
        let mut graph = Graph::new();
        let ty = self.input_type(batch)?;
        let mut x = graph.input("images", ty.clone())?;
        let mut builder = Builder::new(&mut graph, Mode::Evaluate, 0);
        let mut names = vec![];
        let mut layers = vec![];
        for (name, layer) in self.layers.layers() {
            let inputs = builder.ty(x).shape.per_sample();
            let known = builder.parameters().len();
            x = builder.layer(name, layer, x)?;
            let output = builder.ty(x).shape.clone();
            let weights = builder.parameters()[known..].to_vec();
            let connects = weights.iter().any(|p| {
                // Weights that are a part of the output's shape, such as a scale for each channel,
                // connect nothing.
                let ty = builder.ty(p.value);
                ty.dims().len() > 1 && !output.dims().ends_with(ty.dims())
            });
            names.push(builder.last_layer().to_owned());
            layers.push((
                weights,
                output.clone(),
                connects.then(|| inputs as u128 * output.per_sample() as u128),
            ));
        }
        let mut total = 0;
        let layers = layers.into_iter().zip(names).map(|((weights, output, dense), name)| {
            let parameters = weights.iter().map(|p| graph.value(p.value).ty.elements()).sum();
            total += parameters;
            let belongs = |path: &str| path == name || path.starts_with(&format!("{name}."));
            let nodes = graph.nodes().iter().filter(|node| belongs(&node.layer));
            let flops: u64 = nodes.map(|node| node.op.cost(&node.types).flops).sum();
            let locally_connected = dense.map(|_| u128::from(flops / 2 / batch as u64));
            let fully_connected = dense;
            LayerSummary { name, output, parameters, flops, fully_connected, locally_connected }
        });
        let layers = layers.collect();
        Ok(Summary { model: self.name.clone(), input: ty.shape, layers, parameters: total })
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
