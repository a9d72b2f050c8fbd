//! How images come to a network: as values, or as bytes that the device prepares.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::graphs::Names;
use crate::data::{Batch, Dataset, Normalise, Preparation, Transforms};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Target};
use crate::nn::Model;
use crate::ops::Value;
use crate::tensor::{Data, Tensor, TensorType};

/// Where training images are cut, turned, coloured and normalised. Testing images always are on threads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransformsOn {
    /// On a GPU that is one, where it can do them, else on threads.
    #[default]
    Auto,
    /// On the loader's threads.
    Threads,
    /// On the device. Settings that it cannot do are refused.
    Device,
}

impl TransformsOn {
    /// All, by their names.
    pub const ALL: [(&str, TransformsOn); 3] = [
        ("auto", TransformsOn::Auto),
        ("threads", TransformsOn::Threads),
        ("device", TransformsOn::Device),
    ];

    /// The one of this name.
    ///
    /// Errors where there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = TransformsOn::ALL.into_iter().find(|(n, _)| *n == name);
        let names = TransformsOn::ALL.map(|(name, _)| name);
        found.map(|(_, found)| found).ok_or_else(|| Error::unknown("transforms-on", name, names))
    }

    /// How images of `dataset` come to a network on `device`.
    ///
    /// A GPU takes a quarter of the bytes so, and the threads little more than a copy. An engine that
    /// runs on the processor itself gains nothing, and neither does a set that must be decoded, next
    /// to which all else is little.
    ///
    /// Errors where the device is asked for what it cannot do.
    pub fn input(
        self,
        device: &Device,
        dataset: &dyn Dataset,
        transforms: &Transforms,
        normalise: &Normalise,
    ) -> Result<ImageInput> {
        let on_device = || transforms.on_device(dataset.shape(), normalise).map(Arc::new);
        let is_hardware = matches!(device.target(), Target::Gpu(adapter) if !adapter.is_software());
        let pays = is_hardware && !dataset.is_decoding();
        match self {
            TransformsOn::Auto if pays => {
                Ok(on_device().map_or(ImageInput::Values, ImageInput::Bytes))
            }
            TransformsOn::Auto | TransformsOn::Threads => Ok(ImageInput::Values),
            TransformsOn::Device => on_device().map(ImageInput::Bytes).ok_or_else(|| {
                let remedy = "these transforms are for threads: pictures are scaled, images are \
                              mixed, or the order is not: mean, cuts, colours, cutout";
                Error::setting("transforms-on", "device", remedy)
            }),
        }
    }
}

/// How the images of a batch come to a training step.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ImageInput {
    /// As normalised values, one tensor.
    #[default]
    Values,
    /// As bytes and draws.
    Bytes(Arc<Preparation>),
}

impl ImageInput {
    /// Adds the inputs for a batch to the graph, and what makes the network's input of them.
    pub(super) fn add(&self, graph: &mut Graph, model: &Model, batch: usize) -> Result<Value> {
        let types = self.types(model, batch)?;
        let add = |graph: &mut Graph, (name, ty)| graph.input(name, ty);
        let ImageInput::Bytes(preparation) = self else {
            let [images] = types.try_into().map_err(|_| Error::Usage("no images".into()))?;
            return add(graph, images);
        };
        let mut inputs = types.into_iter().map(|ty| add(graph, ty)).collect::<Result<Vec<_>>>()?;
        let op = preparation.op();
        if preparation.mean().is_some() {
            inputs.push(graph.input(Names::MEAN, TensorType::f32(op.image))?);
        }
        graph.in_layer("images", |graph| graph.add(op, &inputs))
    }

    /// The inputs that come with each batch.
    pub(super) fn types(
        &self,
        model: &Model,
        batch: usize,
    ) -> Result<Vec<(&'static str, TensorType)>> {
        let values = model.input_type(batch)?;
        let ImageInput::Bytes(preparation) = self else { return Ok(vec![(Names::IMAGES, values)]) };
        let names = [Names::PIXELS, Names::DRAWS];
        Ok(names.into_iter().zip(preparation.op().inputs(batch)).collect())
    }

    /// The mean image, which is the same for each batch.
    pub(super) fn mean(&self) -> Result<Option<Tensor>> {
        let ImageInput::Bytes(preparation) = self else { return Ok(None) };
        let mean = preparation.mean().map(<[f32]>::to_vec);
        mean.map(|mean| Tensor::f32(preparation.op().image, mean)).transpose()
    }
}

/// The images of a batch, as they come to a step, and their labels.
pub(super) struct Feed<'a> {
    pub images: Vec<(&'static str, Cow<'a, Tensor>)>,
    pub labels: Cow<'a, Tensor>,
}

impl<'a> Feed<'a> {
    /// Values and labels.
    pub fn values(images: &'a Tensor, labels: &'a Tensor) -> Self {
        let images = vec![(Names::IMAGES, Cow::Borrowed(images))];
        Feed { images, labels: Cow::Borrowed(labels) }
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.labels.shape().elements()
    }

    /// The images `range` of the batch.
    pub fn part(&self, range: &Range<usize>) -> Result<Feed<'static>> {
        let part = |tensor: &Tensor| -> Result<Cow<'static, Tensor>> {
            let size = tensor.shape().per_sample();
            let elements = range.start * size..range.end * size;
            let mut dims = tensor.shape().dims().to_vec();
            dims[0] = range.len();
            Ok(Cow::Owned(match tensor.data() {
                Data::F32(v) => Tensor::f32(dims, v[elements].to_vec())?,
                Data::U32(v) => Tensor::u32(dims, v[elements].to_vec())?,
            }))
        };
        let images = self.images.iter().map(|(name, tensor)| Ok((*name, part(tensor)?)));
        Ok(Feed { images: images.collect::<Result<_>>()?, labels: part(&self.labels)? })
    }

    /// The inputs, by their names.
    pub fn inputs(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        let images = self.images.iter().map(|(name, tensor)| (*name, tensor.as_ref()));
        images.chain([(Names::LABELS, self.labels.as_ref())])
    }
}

/// Lends a batch's buffers as tensors, the images as these [types](ImageInput::types).
pub(super) fn lend<T>(
    batch: &mut Batch,
    types: Vec<(&'static str, TensorType)>,
    run: impl FnOnce(&Feed) -> Result<T>,
) -> Result<T> {
    let mut images = vec![];
    for (name, ty) in types {
        let tensor = match name {
            Names::PIXELS => Tensor::u32(ty.shape, std::mem::take(&mut batch.pixels))?,
            Names::DRAWS => Tensor::f32(ty.shape, std::mem::take(&mut batch.draws))?,
            _ => Tensor::f32(ty.shape, std::mem::take(&mut batch.images))?,
        };
        images.push((name, Cow::Owned(tensor)));
    }
    let labels = Cow::Owned(Tensor::u32([batch.len], std::mem::take(&mut batch.labels))?);
    let feed = Feed { images, labels };
    let outcome = run(&feed);
    for (name, tensor) in feed.images {
        let tensor = tensor.into_owned();
        match name {
            Names::PIXELS => batch.pixels = tensor.into_u32(),
            Names::DRAWS => batch.draws = tensor.into_f32(),
            _ => batch.images = tensor.into_f32(),
        }
    }
    batch.labels = feed.labels.into_owned().into_u32();
    outcome
}
