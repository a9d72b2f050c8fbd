//! A network with parameters on a device: evaluated, used, saved and loaded.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::ImageInput;
use super::graphs::{self, Names};
use super::input::lend;
use crate::data::{Dataset, Loader, LoaderConfig, Normalise};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::io::safetensors;
use crate::nn::Model;
use crate::session::{Program, Session};
use crate::tensor::Tensor;

/// How a network does on a data set.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Evaluation {
    /// The mean cross-entropy, in nats.
    pub loss: f32,
    /// The share whose label comes first.
    pub top1: f32,
    /// The share whose label is among the first five.
    pub top5: f32,
    /// Images evaluated.
    pub images: usize,
}

/// A network with parameters on a device.
#[derive(Debug)]
pub struct Network {
    pub(super) device: Device,
    pub(super) session: Session,
    pub(super) model: Model,
    pub(super) classes: usize,
    /// The prefix of the states that evaluation, prediction and saving use in place of the parameters,
    /// where there are such.
    pub(super) evaluated: Option<String>,
    /// One program for each batch size.
    evaluating: HashMap<usize, Program>,
    predicting: HashMap<usize, Program>,
}

impl Network {
    /// `model` on `device`. Its parameters come into being with the first program: a
    /// [`Trainer`](super::Trainer)'s, or that of [`Network::load`].
    ///
    /// Errors where the network cannot be built.
    pub fn new(device: &Device, model: Model) -> Result<Self> {
        Ok(Network {
            device: device.clone(),
            session: Session::new(device),
            classes: model.classes()?,
            model,
            evaluated: None,
            evaluating: HashMap::new(),
            predicting: HashMap::new(),
        })
    }

    /// The layers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Measures the kernels of an evaluation, `batch` images at a time, where the device is
    /// [tuned](Device::tuned) by measuring.
    ///
    /// Errors where the network cannot be built for that batch.
    pub fn tune(&self, batch: usize) -> Result<()> {
        self.device.tune(&graphs::evaluation(&self.model, batch)?);
        Ok(())
    }

    /// Loss, top-1 and top-5 on a data set, `batch` images at a time, without dropout and augmentation.
    ///
    /// Errors where data or device fail, or a label is not one of the network's classes.
    pub fn evaluate(
        &mut self,
        dataset: &Arc<dyn Dataset>,
        normalise: &Normalise,
        batch: usize,
    ) -> Result<Evaluation> {
        self.evaluate_with(dataset, LoaderConfig::new(batch, normalise.clone()))
    }

    /// Loss, top-1 and top-5 on the batches that a loader with `config` makes of a data set. Where an
    /// image becomes several ([`Transform::TenCrop`](crate::data::Transform::TenCrop)), the mean of
    /// their class probabilities is taken.
    ///
    /// Errors where data or device fail, the images do not fit the network, or a label is not one of
    /// its classes.
    pub fn evaluate_with(
        &mut self,
        dataset: &Arc<dyn Dataset>,
        config: LoaderConfig,
    ) -> Result<Evaluation> {
        let loader = Loader::new(dataset.clone(), config)?;
        if loader.shape() != self.model.input() {
            return Err(Error::Usage(format!(
                "data set {} gives images of {:?}, the network takes {:?}",
                dataset.name(),
                loader.shape(),
                self.model.input()
            )));
        }
        let views = loader.config().transforms.views();
        if views > 1 {
            return self.evaluate_views(&loader, views);
        }
        let (mut loss, mut top1, mut top5, mut images) = (0.0, 0.0, 0.0, 0);
        for batch in loader.epoch(0) {
            let mut batch = batch?;
            let size = batch.len;
            let types = ImageInput::Values.types(&self.model, size)?;
            let outputs = lend(&mut batch, types, |feed| {
                check_labels(&feed.labels, self.classes)?;
                let program = compiled(&mut self.evaluating, size, &mut self.session, || {
                    let graph = graphs::evaluation(&self.model, size)?;
                    with_evaluated(graph, &self.model, self.evaluated.as_deref())
                })?;
                self.session.run(program, &feed.inputs().collect::<Vec<_>>())
            })?;
            loss += f64::from(outputs.scalar(Names::LOSS)?) * batch.len as f64;
            top1 += f64::from(outputs.scalar(Names::TOP1)?);
            top5 += f64::from(outputs.scalar(Names::TOP5)?);
            images += batch.len;
        }
        let share = |sum: f64| (sum / images.max(1) as f64) as f32;
        Ok(Evaluation { loss: share(loss), top1: share(top1), top5: share(top5), images })
    }

    /// The class probabilities `[batch, classes]` of normalised images `[batch, channels, height,
    /// width]`.
    ///
    /// Errors where the images do not fit the network, or the device fails.
    pub fn predict(&mut self, images: &Tensor) -> Result<Tensor> {
        let batch = images.shape().dims().first().copied().unwrap_or(0);
        let program = compiled(&mut self.predicting, batch, &mut self.session, || {
            let graph = graphs::prediction(&self.model, batch)?;
            with_evaluated(graph, &self.model, self.evaluated.as_deref())
        })?;
        let outputs = self.session.run(program, &[(Names::IMAGES, images)])?;
        Ok(outputs.get(Names::PROBABILITIES)?.clone())
    }

    /// The present value of a parameter or another state, such as `conv1.weight`.
    ///
    /// Errors where there is none of that name.
    pub fn state(&self, name: &str) -> Result<Tensor> {
        self.session.state(name)
    }

    /// The parameters, by name; their averages, where the optimizer keeps any.
    ///
    /// Errors where the device fails.
    pub fn parameters(&self) -> Result<Vec<(String, Tensor)>> {
        let known = self.session.state_names();
        let read = |name: String| {
            let average = self.evaluated.as_ref().map(|prefix| format!("{prefix}.{name}"));
            let state = average.filter(|state| known.contains(state));
            let tensor = self.session.state(state.as_ref().unwrap_or(&name))?;
            Ok((name, tensor))
        };
        self.model.parameter_types()?.into_iter().map(|(name, _)| read(name)).collect()
    }

    /// Writes the parameters to a `.safetensors` file with these words of metadata.
    ///
    /// Errors where the file cannot be written; an older one is left as it was then.
    pub fn save(&self, path: impl AsRef<Path>, metadata: &[(&str, &str)]) -> Result<()> {
        let tensors = self.parameters()?;
        let metadata = metadata.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        safetensors::save(path, tensors, &metadata)
    }

    /// Reads the parameters from a `.safetensors` file.
    ///
    /// Errors where one is missing or has another shape; nothing is changed then.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let file = safetensors::load(path)?;
        let types = self.model.parameter_types()?;
        let tensors: Result<Vec<_>> =
            types.iter().map(|(name, ty)| Ok((name, file.get_as(name, ty)?))).collect();
        let tensors = tensors?;
        let tensors: Vec<_> = tensors.into_iter().map(|(name, t)| (name.clone(), t)).collect();
        self.set_parameters(&tensors)
    }

    /// Writes parameters, and their averages where the optimizer keeps any.
    pub(super) fn set_parameters<T: Borrow<Tensor>>(
        &mut self,
        tensors: &[(String, T)],
    ) -> Result<()> {
        // A program brings the states into being.
        compiled(&mut self.predicting, 1, &mut self.session, || {
            graphs::prediction(&self.model, 1)
        })?;
        let known = self.session.state_names();
        for (name, tensor) in tensors {
            let average = self.evaluated.as_ref().map(|prefix| format!("{prefix}.{name}"));
            for state in [Some(name.clone()), average].into_iter().flatten() {
                if known.contains(&state) {
                    self.session.set_state(&state, tensor.borrow())?;
                }
            }
        }
        Ok(())
    }
}

/// `graph` with the states `PREFIX.NAME` in place of the model's trainable parameters `NAME`.
fn with_evaluated(mut graph: Graph, model: &Model, prefix: Option<&str>) -> Result<Graph> {
    let Some(prefix) = prefix else { return Ok(graph) };
    for name in model.trainable_names()? {
        if let Some(parameter) = graph.find(&name) {
            graph.rename(parameter, format!("{prefix}.{name}"))?;
        }
    }
    Ok(graph)
}

/// The program for this batch size, compiled at the first call.
fn compiled<'a>(
    programs: &'a mut HashMap<usize, Program>,
    batch: usize,
    session: &mut Session,
    graph: impl FnOnce() -> Result<Graph>,
) -> Result<&'a mut Program> {
    use std::collections::hash_map::Entry;
    match programs.entry(batch) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            let plan = session.device().plan(&graph()?)?;
            Ok(entry.insert(session.load(plan)?))
        }
    }
}

/// Errors unless every label is one of `classes`.
pub(super) fn check_labels(labels: &Tensor, classes: usize) -> Result<()> {
    let stray = labels.as_u32()?.iter().enumerate().find(|&(_, &label)| label as usize >= classes);
    match stray {
        None => Ok(()),
        Some((i, label)) => Err(Error::Usage(format!(
            "label {label} of sample {i} is out of range; the network has classes 0 to {}",
            classes.saturating_sub(1)
        ))),
    }
}
