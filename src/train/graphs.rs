//! The graphs that training, evaluation and prediction run.
//!
//! One step of training is one graph: forward, loss, backward and update. Where a batch does not fit
//! the device it is two: one that adds up the gradients of a micro-batch, and one that applies the
//! sum. All share their states by name.

use std::collections::HashMap;

use super::precision::Scaled;
use super::{ImageInput, Loss, Options, Precision};
use crate::error::Result;
use crate::graph::{Graph, Initial, Origin};
use crate::nn::builder::COUNTER;
use crate::nn::{Forward, Mode, Model};
use crate::ops::Value;
use crate::ops::elementwise::{Add, AddScaled, Fill};
use crate::ops::optim::ScaleBy;
use crate::ops::softmax::{Softmax, SoftmaxCrossEntropy, TopK};
use crate::optim::Optimizer;
use crate::tensor::TensorType;

/// The names of the graphs' inputs and outputs.
pub struct Names;

impl Names {
    /// Input: `[batch, channels, height, width]`, normalised.
    pub const IMAGES: &str = "images";
    /// Input in place of the images: `u32` `[batch, words]`, their bytes; see
    /// [`PrepareImages`](crate::ops::images::PrepareImages).
    pub const PIXELS: &str = "pixels";
    /// Input: `[batch, draws]`, what is to become of each image's bytes.
    pub const DRAWS: &str = "draws";
    /// Input: `[channels, height, width]`, what is subtracted from all images' bytes.
    pub const MEAN: &str = "mean_image";
    /// Input: `[batch]`, class indices.
    pub const LABELS: &str = "labels";
    /// Input: `u32[4]`: seed (low, high word), step, index of the first sample in the batch.
    pub const COUNTER: &str = COUNTER;
    /// Input: `[1]`.
    pub const LEARNING_RATE: &str = "learning_rate";
    /// Input: `[1]`, the micro-batch's share of the batch.
    pub const SHARE: &str = "share";
    /// Output: `[1]`, the mean cross-entropy of the batch; see [`Loss`].
    pub const LOSS: &str = "loss";
    /// Output: `[1]`, how many samples of the batch have their label first.
    pub const TOP1: &str = "top1";
    /// Output: `[1]`, how many samples of the batch have their label among the first five.
    pub const TOP5: &str = "top5";
    /// Output: `[1]`, what the next step's loss is multiplied with, in half precision.
    pub const LOSS_SCALE: &str = "loss_scale";
    /// Output: `[batch, classes]`.
    pub const PROBABILITIES: &str = "probabilities";
}

/// Adds the inputs and the network, and returns it with the labels.
fn with_inputs(
    graph: &mut Graph,
    model: &Model,
    input: &ImageInput,
    batch: usize,
    mode: Mode,
    seed: u64,
) -> Result<(Forward, Value)> {
    let images = input.add(graph, model, batch)?;
    let labels = graph.input(Names::LABELS, TensorType::u32([batch]))?;
    Ok((model.forward(graph, images, mode, seed)?, labels))
}

/// Adds inputs, network and losses, with the outputs `loss` and `top1`. What training minimises is the
/// loss plus the auxiliary ones with their weights; returned are the values that gradients start from,
/// with the gradients that arrive there.
fn with_loss(
    graph: &mut Graph,
    model: &Model,
    input: &ImageInput,
    batch: usize,
    mode: Mode,
    seed: u64,
    loss: &Loss,
) -> Result<(Forward, Vec<(Value, Value)>)> {
    let (forward, labels) = with_inputs(graph, model, input, batch, mode, seed)?;
    let auxiliaries = forward.auxiliaries.iter().map(|aux| (aux.logits, aux.weight));
    let mut seeds = vec![];
    for (logits, weight) in std::iter::once((forward.logits, 1.0)).chain(auxiliaries) {
        let added = graph.in_layer("loss", |g| loss.add(g, logits, labels, weight))?;
        if seeds.is_empty() {
            graph.output(Names::LOSS, added.value)?;
            graph.output(Names::TOP1, added.hits)?;
        }
        seeds.push(added.seed);
    }
    Ok((forward, seeds))
}

/// The gradients with respect to the trainable parameters.
fn gradients(graph: &mut Graph, forward: &Forward, seeds: &[(Value, Value)]) -> Result<Vec<Value>> {
    let values: Vec<_> = forward.parameters.iter().map(|p| p.value).collect();
    graph.gradients_from(seeds, &values)
}

/// Forward, loss and backward, in the precision that is asked for.
struct Differentiated {
    forward: Forward,
    /// Of the loss times its scale.
    gradients: Vec<Value>,
    /// The scale, and how many gradients are too large, in half precision.
    scaled: Option<(Scaled, Value)>,
}

fn differentiated(
    graph: &mut Graph,
    model: &Model,
    options: &Options,
    batch: usize,
) -> Result<Differentiated> {
    let (seed, loss) = (options.seed, &options.loss);
    let input = &options.input;
    let (forward, mut seeds) = with_loss(graph, model, input, batch, Mode::Train, seed, loss)?;
    let scaled = match options.precision {
        Precision::F32 => None,
        Precision::F16 => Some(Scaled::new(graph)?),
    };
    if let Some(scaled) = scaled {
        seeds = scaled.seeds(graph, seeds)?;
    }
    let gradients = gradients(graph, &forward, &seeds)?;
    let scaled = scaled.map(|scaled| Ok((scaled, Scaled::halve(graph)?))).transpose()?;
    Ok(Differentiated { forward, gradients, scaled })
}

/// One step on a whole batch: forward, loss, backward, update. The loss is the plain one, in single
/// precision.
///
/// Errors where the network cannot be built for this batch.
pub fn training_step(
    model: &Model,
    optimizer: &dyn Optimizer,
    batch: usize,
    seed: u64,
) -> Result<Graph> {
    let options = Options { seed, ..Options::default() };
    training_step_with(model, optimizer, &options, batch)
}

/// [`training_step`] with the loss, the precision and the seed of `options`.
///
/// Errors as that.
pub fn training_step_with(
    model: &Model,
    optimizer: &dyn Optimizer,
    options: &Options,
    batch: usize,
) -> Result<Graph> {
    let mut graph = Graph::new();
    let mut step = differentiated(&mut graph, model, options, batch)?;
    let mut learning_rate = graph.input(Names::LEARNING_RATE, TensorType::f32([1]))?;
    if let Some((scaled, overflows)) = step.scaled {
        learning_rate =
            unscale(&mut graph, &scaled, overflows, learning_rate, |graph, inverse| {
                for gradient in &mut step.gradients {
                    *gradient = graph.add(ScaleBy, &[*gradient, inverse])?;
                }
                Ok(())
            })?;
    }
    let parameters: Vec<_> = step.forward.parameters.into_iter().zip(step.gradients).collect();
    graph.in_layer("update", |g| optimizer.updates(g, &parameters, learning_rate))?;
    Ok(graph)
}

/// Has `divide` multiply gradients by the inverse of the scale, and returns the learning rate of the step,
/// negative where it does not count.
fn unscale(
    graph: &mut Graph,
    scaled: &Scaled,
    overflows: Value,
    learning_rate: Value,
    divide: impl FnOnce(&mut Graph, Value) -> Result<()>,
) -> Result<Value> {
    graph.in_layer("update", |graph| {
        let inverse = scaled.inverse(graph)?;
        divide(graph, inverse)?;
        let judged = scaled.judge(graph, overflows, learning_rate)?;
        graph.output(Names::LOSS_SCALE, judged.scale)?;
        Ok(judged.learning_rate)
    })
}

/// The state that adds up what is too large in the micro-batches of a batch.
const OVERFLOWS: &str = "overflows";

fn overflow_state(graph: &mut Graph) -> Result<Value> {
    graph.state(OVERFLOWS, Initial::zeros(TensorType::f32([1])))
}

/// Forward, loss and backward on a micro-batch; its gradients, times its share of the batch, are
/// added to the states `gradient.NAME`.
///
/// Errors where the network cannot be built for this micro-batch.
pub fn accumulation(model: &Model, options: &Options, micro_batch: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let step = differentiated(&mut graph, model, options, micro_batch)?;
    let mut share = graph.input(Names::SHARE, TensorType::f32([1]))?;
    if let Some((scaled, overflows)) = step.scaled {
        let inverse = scaled.inverse(&mut graph)?;
        share = graph.add(ScaleBy, &[share, inverse])?;
        let sum = overflow_state(&mut graph)?;
        let new = graph.add(Add, &[sum, overflows])?;
        graph.update(sum, new)?;
    }
    for (parameter, gradient) in step.forward.parameters.iter().zip(step.gradients) {
        let sum = gradient_state(&mut graph, &parameter.name, parameter.value)?;
        let new = graph.add(AddScaled, &[sum, gradient, share])?;
        graph.update(sum, new)?;
    }
    Ok(graph)
}

/// Where a [`probe`] hands out what layers compute.
pub(super) struct Places {
    /// The layers in forward order, each with the graph's output that its own output is.
    pub layers: Vec<(String, String)>,
    /// The gradients, from the last layer to the first.
    pub gradients: Vec<GradientPlace>,
}

/// A gradient among the outputs of a [`probe`].
pub(super) struct GradientPlace {
    /// The layer that computed it.
    pub layer: String,
    pub output: String,
    pub is_of_parameter: bool,
}

/// Forward, loss and backward of a micro-batch as in training, with what every layer gives, forward
/// and backward, as outputs.
///
/// Errors where the network cannot be built for this micro-batch.
pub(super) fn probe(
    model: &Model,
    input: &ImageInput,
    loss: &Loss,
    batch: usize,
    seed: u64,
) -> Result<(Graph, Places)> {
    let mut graph = Graph::new();
    let (forward, seeds) = with_loss(&mut graph, model, input, batch, Mode::Train, seed, loss)?;
    let mut named: HashMap<Value, String> = HashMap::new();
    let mut name = |graph: &mut Graph, value: Value| -> Result<String> {
        if let Some(name) = named.get(&value) {
            return Ok(name.clone());
        }
        let name = format!("probe.{}", named.len());
        graph.output(name.clone(), value)?;
        named.insert(value, name.clone());
        Ok(name)
    };
    let mut places = Places { layers: vec![], gradients: vec![] };
    for layer in &forward.layers {
        places.layers.push((layer.path.clone(), name(&mut graph, layer.output)?));
    }
    let is_own = |path: &str, parameter: &str| {
        parameter.rsplit_once('.').is_some_and(|(layer, _)| layer == path)
    };
    // Below the first layer that is trained nothing goes back.
    let trains = |path: &str| forward.parameters.iter().any(|p| is_own(path, &p.name));
    let lowest = forward.layers.iter().position(|layer| trains(&layer.path)).unwrap_or(0);
    let mut asked = vec![];
    for (i, layer) in forward.layers.iter().enumerate().skip(lowest).rev() {
        let own = forward.parameters.iter().filter(|p| is_own(&layer.path, &p.name));
        asked.extend(own.map(|p| (p.value, layer.path.clone(), true)));
        if i > lowest && matches!(graph.value(layer.input).origin, Origin::Node { .. }) {
            asked.push((layer.input, layer.path.clone(), false));
        }
    }
    let values: Vec<_> = asked.iter().map(|&(value, ..)| value).collect();
    let gradients = graph.gradients_that_exist(&seeds, &values)?;
    for ((_, layer, is_of_parameter), gradient) in asked.into_iter().zip(gradients) {
        if let Some(gradient) = gradient {
            let output = name(&mut graph, gradient)?;
            places.gradients.push(GradientPlace { layer, output, is_of_parameter });
        }
    }
    Ok((graph, places))
}

/// Updates the parameters from the states `gradient.NAME` and sets those to zero.
///
/// Errors where the network cannot be built.
pub fn application(model: &Model, optimizer: &dyn Optimizer, options: &Options) -> Result<Graph> {
    let mut graph = Graph::new();
    let images = graph.input(Names::IMAGES, model.input_type(1)?)?;
    // Only for its parameters: nothing of it runs, and running statistics are not updated.
    let forward = model.forward(&mut graph, images, Mode::Evaluate, options.seed)?;
    let mut learning_rate = graph.input(Names::LEARNING_RATE, TensorType::f32([1]))?;
    let mut sums = vec![];
    if options.precision == Precision::F16 {
        let scaled = Scaled::new(&mut graph)?;
        let overflows = overflow_state(&mut graph)?;
        // Each micro-batch has divided its own gradients.
        let divide = |_: &mut Graph, _| Ok(());
        learning_rate = unscale(&mut graph, &scaled, overflows, learning_rate, divide)?;
        sums.push(overflows);
    }
    let mut parameters = vec![];
    for parameter in forward.parameters {
        let sum = gradient_state(&mut graph, &parameter.name, parameter.value)?;
        parameters.push((parameter, sum));
        sums.push(sum);
    }
    optimizer.updates(&mut graph, &parameters, learning_rate)?;
    for sum in sums {
        let ty = graph.value(sum).ty.clone();
        let zero = graph.add(Fill { value: 0.0, ty }, &[])?;
        graph.update(sum, zero)?;
    }
    Ok(graph)
}

fn gradient_state(graph: &mut Graph, name: &str, parameter: Value) -> Result<Value> {
    let ty = graph.value(parameter).ty.clone();
    graph.state(format!("gradient.{name}"), Initial::zeros(ty))
}

/// Loss, top-1 and top-5 of a batch, without dropout.
///
/// Errors where the network cannot be built for this batch.
pub fn evaluation(model: &Model, batch: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let input = &ImageInput::Values;
    let (forward, labels) = with_inputs(&mut graph, model, input, batch, Mode::Evaluate, 0)?;
    let inputs = [forward.logits, labels];
    let loss = graph.in_layer("loss", |g| g.add_all(SoftmaxCrossEntropy, &inputs))?[0];
    graph.output(Names::LOSS, loss)?;
    let five = 5.min(graph.value(forward.logits).ty.shape.per_sample());
    for (name, k) in [(Names::TOP1, 1), (Names::TOP5, five)] {
        let hits = graph.in_layer(name, |g| g.add(TopK { k }, &inputs))?;
        graph.output(name, hits)?;
    }
    Ok(graph)
}

/// The gradients of a batch's loss, without dropout: an output `gradient.NAME` for each trainable
/// parameter.
///
/// Errors where the network cannot be built for this batch.
pub(super) fn loss_gradients(model: &Model, batch: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let input = &ImageInput::Values;
    let (forward, seeds) =
        with_loss(&mut graph, model, input, batch, Mode::Evaluate, 0, &Loss::default())?;
    let gradients = gradients(&mut graph, &forward, &seeds)?;
    for (parameter, gradient) in forward.parameters.iter().zip(gradients) {
        graph.output(format!("gradient.{}", parameter.name), gradient)?;
    }
    Ok(graph)
}

/// The class probabilities of a batch.
///
/// Errors where the network cannot be built for this batch.
pub fn prediction(model: &Model, batch: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let images = graph.input(Names::IMAGES, model.input_type(batch)?)?;
    let forward = model.forward(&mut graph, images, Mode::Evaluate, 0)?;
    let probabilities = graph.add(Softmax { log: false }, &[forward.logits])?;
    graph.output(Names::PROBABILITIES, probabilities)?;
    Ok(graph)
}
