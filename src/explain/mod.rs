//! A look inside a trained network: what its layers make of a picture, and what in the picture decides.
//!
//! Everything is computed by the engine, as graphs made of the network and its gradients. [`Explainer`] has
//! the methods one by one; `report` writes them all as pictures with a page that shows them, which
//! on the command line is `gabor explain`.

mod deconvnet;
mod field;
mod occlusion;
mod patches;
#[cfg(feature = "images")]
mod report;

use std::collections::{HashMap, HashSet};

pub use deconvnet::Projection;
pub use field::Field;
pub use occlusion::{Occluder, Occlusion};
pub use patches::{Patch, Sampled};
#[cfg(feature = "images")]
pub use report::{Guess, Report, Settings, report};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Origin};
use crate::nn::{Forward, Mode, Model};
use crate::ops::pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
use crate::ops::softmax::Softmax;
use crate::ops::{Op, Value};
use crate::session::{Outputs, Program, Session};
use crate::tensor::Tensor;
use crate::train::Network;

/// The names of the graphs' inputs and outputs.
const IMAGES: &str = "images";
const SEED: &str = "seed";
const LOGITS: &str = "logits";
const PROBABILITIES: &str = "probabilities";
const GRADIENT: &str = "gradient";
const MAPS: &str = "maps";

/// A layer whose output has places: feature maps `[channels, height, width]`.
#[derive(Clone, PartialEq, Debug)]
pub struct MapLayer {
    /// Its path, such as `conv2`.
    pub path: String,
    /// Channels, height and width of what it gives for an image.
    pub shape: [usize; 3],
    /// What its places see of the picture; `None` where each sees all of it.
    pub field: Option<Field>,
    /// Whether it pools.
    pub is_pool: bool,
}

/// What a network makes of a picture.
#[derive(Clone, Debug)]
pub struct Look {
    /// The outputs of the last layer, one a class.
    pub logits: Vec<f32>,
    /// The classes' probabilities.
    pub probabilities: Vec<f32>,
    /// What each of [`Explainer::layers`] gives, `[channels, height, width]`.
    pub maps: Vec<Tensor>,
}

/// A number for each place of a layer or pixel of a picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Map {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Row-major.
    pub values: Vec<f32>,
}

/// Asks a network about pictures. Images are normalised, `[1, channels, height, width]`, as the
/// network takes them.
#[derive(Debug)]
pub struct Explainer<'a> {
    model: &'a Model,
    parameters: Vec<(String, Tensor)>,
    session: Session,
    /// The states that have their parameter.
    set: HashSet<String>,
    programs: HashMap<String, Program>,
    layers: Vec<MapLayer>,
    classes: usize,
}

/// A network in a graph, on a batch of images.
struct Built {
    graph: Graph,
    images: Value,
    forward: Forward,
}

impl Built {
    fn new(model: &Model, batch: usize) -> Result<Self> {
        let mut graph = Graph::new();
        let images = graph.input(IMAGES, model.input_type(batch)?)?;
        let forward = model.forward(&mut graph, images, Mode::Evaluate, 0)?;
        Ok(Built { graph, images, forward })
    }

    /// The layers with feature maps that the logits depend on, each output once: that of the innermost layer.
    fn layers(&self) -> Vec<(Value, MapLayer)> {
        let mut needed = HashSet::from([self.forward.logits]);
        for node in self.graph.nodes().iter().rev() {
            if node.outputs.iter().any(|output| needed.contains(output)) {
                needed.extend(&node.inputs);
            }
        }
        let fields = field::fields(&self.graph, self.images);
        let mut seen = HashSet::from([self.images]);
        let mut layers = vec![];
        for layer in &self.forward.layers {
            let info = self.graph.value(layer.output);
            let &[_, channels, height, width] = info.ty.dims() else { continue };
            if !needed.contains(&layer.output) || !seen.insert(layer.output) {
                continue;
            }
            let is_pool = match info.origin {
                Origin::Node { node, .. } => pools(self.graph.nodes()[node].op.as_ref()),
                _ => false,
            };
            let field = fields.get(&layer.output).copied().flatten();
            let (path, shape) = (layer.path.clone(), [channels, height, width]);
            layers.push((layer.output, MapLayer { path, shape, field, is_pool }));
        }
        layers
    }

    /// The output of one of [`Built::layers`].
    fn output(&self, layer: &str) -> Result<Value> {
        let layers = self.layers();
        let found = layers.iter().find(|(_, l)| l.path == layer).map(|&(value, _)| value);
        found.ok_or_else(|| unknown_layer(layer, layers.iter().map(|(_, l)| l)))
    }

    /// Adds an input as large as `value`, which arrives there on the way back.
    fn seed(&mut self, value: Value) -> Result<(Value, Value)> {
        let ty = self.graph.value(value).ty.clone();
        Ok((value, self.graph.input(SEED, ty)?))
    }
}

fn pools(op: &dyn Op) -> bool {
    op.downcast_ref::<MaxPool2d>().is_some()
        || op.downcast_ref::<AvgPool2d>().is_some()
        || op.downcast_ref::<AdaptiveAvgPool2d>().is_some()
        || op.downcast_ref::<AdaptiveMaxPool2d>().is_some()
}

fn unknown_layer<'a>(name: &str, layers: impl Iterator<Item = &'a MapLayer>) -> Error {
    Error::unknown("layer with feature maps", name, layers.map(|layer| layer.path.as_str()))
}

impl<'a> Explainer<'a> {
    /// Of a network with its present parameters, on its device.
    ///
    /// Errors where the network has no parameters yet, or the device fails.
    pub fn new(network: &'a Network) -> Result<Self> {
        Explainer::with_parameters(network.model(), network.device(), network.parameters()?)
    }

    /// Of a model with these parameters; those that are not given have their initial values.
    ///
    /// Errors where the network cannot be built.
    pub fn with_parameters(
        model: &'a Model,
        device: &Device,
        parameters: Vec<(String, Tensor)>,
    ) -> Result<Self> {
        let built = Built::new(model, 1)?;
        let layers = built.layers().into_iter().map(|(_, layer)| layer).collect();
        Ok(Explainer {
            model,
            parameters,
            session: Session::new(device),
            set: HashSet::new(),
            programs: HashMap::new(),
            layers,
            classes: built.graph.value(built.forward.logits).ty.shape.per_sample(),
        })
    }

    /// The network.
    pub fn model(&self) -> &Model {
        self.model
    }

    /// The layers with feature maps, in order.
    pub fn layers(&self) -> &[MapLayer] {
        &self.layers
    }

    /// The layer of this path.
    ///
    /// Errors where there is none with feature maps; the message lists those that there are.
    pub fn layer(&self, path: &str) -> Result<&MapLayer> {
        let found = self.layers.iter().find(|layer| layer.path == path);
        found.ok_or_else(|| unknown_layer(path, self.layers.iter()))
    }

    /// The last layer that has more than one place and does not pool: the deepest of which it can be said
    /// where it found something. Grad-CAM is usually taken there.
    ///
    /// Errors where there is none.
    pub fn last_layer(&self) -> Result<&MapLayer> {
        let has_places = |layer: &&MapLayer| layer.shape[1] * layer.shape[2] > 1 && !layer.is_pool;
        self.layers.iter().rev().find(has_places).ok_or_else(|| {
            let name = self.model.name();
            Error::Usage(format!("{name} has no layer with feature maps to look at"))
        })
    }

    /// Logits, probabilities and the feature maps of all layers.
    ///
    /// Errors where the image does not fit the network, or the device fails.
    pub fn look(&mut self, image: &Tensor) -> Result<Look> {
        let outputs = self.run("look", &[(IMAGES, image)], |built| {
            let logits = built.forward.logits;
            let probabilities = built.graph.add(Softmax { log: false }, &[logits])?;
            for (value, layer) in built.layers() {
                built.graph.output(format!("layer.{}", layer.path), value)?;
            }
            built.graph.output(LOGITS, logits)?;
            built.graph.output(PROBABILITIES, probabilities)
        })?;
        let maps = self.layers.iter().map(|layer| {
            let maps = outputs.get(&format!("layer.{}", layer.path))?;
            Tensor::f32(layer.shape, maps.as_f32()?.to_vec())
        });
        Ok(Look {
            logits: outputs.get(LOGITS)?.as_f32()?.to_vec(),
            probabilities: outputs.get(PROBABILITIES)?.as_f32()?.to_vec(),
            maps: maps.collect::<Result<_>>()?,
        })
    }

    /// The gradient of a class's logit with respect to the image's values, of the image's shape
    /// (Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", 2014).
    /// [`Map::magnitude`] makes a map of it.
    ///
    /// Errors where there is no such class, the image does not fit, or the device fails.
    pub fn saliency(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        let seed = self.class_seed(class)?;
        let outputs = self.run("saliency", &[(IMAGES, image), (SEED, &seed)], |built| {
            let seed = built.seed(built.forward.logits)?;
            let gradient = built.graph.gradients_from(&[seed], &[built.images])?[0];
            built.graph.output(GRADIENT, gradient)
        })?;
        Ok(outputs.get(GRADIENT)?.clone())
    }

    /// Where a layer's maps speak for a class (Grad-CAM; Selvaraju et al. 2017): `max(0, sum over k of a[k] A[k])`,
    /// where `A[k]` is map `k` and `a[k]` the mean over its places of the gradient of the class's logit.
    ///
    /// Errors where there is no such class or layer, the image does not fit, or the device fails.
    pub fn grad_cam(&mut self, image: &Tensor, class: usize, layer: &str) -> Result<Map> {
        let [channels, rows, columns] = self.layer(layer)?.shape;
        let seed = self.class_seed(class)?;
        let inputs = [(IMAGES, image), (SEED, &seed)];
        let outputs = self.run(&format!("grad-cam {layer}"), &inputs, |built| {
            let maps = built.output(layer)?;
            let seed = built.seed(built.forward.logits)?;
            let gradient = built.graph.gradients_from(&[seed], &[maps])?[0];
            built.graph.output(MAPS, maps)?;
            built.graph.output(GRADIENT, gradient)
        })?;
        let (maps, gradients) = (outputs.get(MAPS)?.as_f32()?, outputs.get(GRADIENT)?.as_f32()?);
        let places = rows * columns;
        let mut sums = vec![0.0; places];
        for channel in 0..channels {
            let of_channel = channel * places..(channel + 1) * places;
            let total: f64 = gradients[of_channel.clone()].iter().map(|&g| f64::from(g)).sum();
            let weight = total / places as f64;
            for (sum, &value) in sums.iter_mut().zip(&maps[of_channel]) {
                *sum += weight * f64::from(value);
            }
        }
        let values = sums.into_iter().map(|sum: f64| sum.max(0.0) as f32).collect();
        Ok(Map { shape: [rows, columns], values })
    }

    /// 1 for a class and 0 for the others.
    fn class_seed(&self, class: usize) -> Result<Tensor> {
        if class >= self.classes {
            let last = self.classes.saturating_sub(1);
            return Err(Error::setting("class", class, format!("the network has 0 to {last}")));
        }
        let mut seed = vec![0.0; self.classes];
        seed[class] = 1.0;
        Tensor::f32([1, self.classes], seed)
    }

    /// Runs the program of this name for a single image, made by `build` at the first call.
    fn run(
        &mut self,
        name: &str,
        inputs: &[(&str, &Tensor)],
        build: impl FnOnce(&mut Built) -> Result<()>,
    ) -> Result<Outputs> {
        self.run_batch(name, 1, inputs, build)
    }

    /// [`Explainer::run`] for a batch.
    fn run_batch(
        &mut self,
        name: &str,
        batch: usize,
        inputs: &[(&str, &Tensor)],
        build: impl FnOnce(&mut Built) -> Result<()>,
    ) -> Result<Outputs> {
        let key = format!("{name} {batch}");
        if !self.programs.contains_key(&key) {
            let mut built = Built::new(self.model, batch)?;
            build(&mut built)?;
            let program = self.session.compile(&built.graph)?;
            // A program brings those states into being that it needs.
            let known: HashSet<_> = self.session.state_names().into_iter().collect();
            for (name, tensor) in &self.parameters {
                if known.contains(name) && self.set.insert(name.clone()) {
                    self.session.set_state(name, tensor)?;
                }
            }
            self.programs.insert(key.clone(), program);
        }
        let program = self.programs.get_mut(&key);
        let program = program.ok_or_else(|| Error::Usage(format!("there is no program {key}")))?;
        // A signal that goes back through linear layers alone does not depend on the image.
        let plan = program.plan();
        let has = |name: &str| plan.inputs.iter().any(|input| input.name == name);
        let inputs: Vec<_> = inputs.iter().copied().filter(|&(name, _)| has(name)).collect();
        self.session.run(program, &inputs)
    }
}

impl Map {
    /// The largest size among the channels of each pixel of `[1, channels, height, width]` or
    /// `[channels, height, width]`.
    ///
    /// Errors where the tensor has another rank, or is not `f32`.
    pub fn magnitude(gradient: &Tensor) -> Result<Self> {
        let (&[.., rows, columns], 3 | 4) = (gradient.shape().dims(), gradient.shape().rank())
        else {
            return Err(Error::Usage(format!("{} is no image", gradient.ty())));
        };
        let mut values = vec![0.0f32; rows * columns];
        for channel in gradient.as_f32()?.chunks(values.len().max(1)) {
            for (value, gradient) in values.iter_mut().zip(channel) {
                *value = value.max(gradient.abs());
            }
        }
        Ok(Map { shape: [rows, columns], values })
    }
}
