//! A network on its test set, image by image.

use std::sync::Arc;

use image::RgbImage;

use super::Confusion;
use crate::data::{Dataset, Loader, LoaderConfig};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::train::Finished;
use crate::viz::{self, tiles};

/// Mistakes that are kept.
const MOST_MISTAKES: usize = 24;
/// Small pictures are enlarged to this side.
const SIDE: u32 = 96;

/// An image that was taken for another class.
#[derive(Clone, PartialEq, Debug)]
pub struct Mistake {
    /// Its class.
    pub label: String,
    /// The class that it was taken for.
    pub prediction: String,
    /// The probability of that class.
    pub probability: f32,
    /// The probability of its own class.
    pub own: f32,
    /// The image as the network sees it: the bytes of a PNG file.
    pub png: Vec<u8>,
}

/// What came out.
pub(super) struct Evaluated {
    pub confusion: Confusion,
    pub mistakes: Vec<Mistake>,
    /// The first image as the network takes it, as it is shown, and its class.
    pub first: Vec<f32>,
    pub first_shown: Vec<u8>,
    pub first_class: String,
}

/// A mistake before it is known whether it is among the worst.
struct Wrong {
    label: usize,
    prediction: usize,
    probability: f32,
    own: f32,
    image: Vec<f32>,
}

/// Evaluates all images of `dataset`.
///
/// Errors where the data cannot be read or does not fit, or the device fails.
pub(super) fn evaluate(
    finished: &mut Finished,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
) -> Result<Evaluated> {
    let config = LoaderConfig {
        transforms: finished.transforms.clone(),
        ..LoaderConfig::new(batch, finished.normalise.clone())
    };
    let loader = Loader::new(dataset.clone(), config)?;
    let classes = finished.classes.len().max(1);
    let mut confusion = Confusion::new(finished.classes.clone());
    let mut worst: Vec<Wrong> = vec![];
    let mut first: Option<(Vec<f32>, usize)> = None;
    for batch in loader.epoch(0) {
        let mut batch = batch?;
        let shape = finished.network.model().input_type(batch.len)?.shape;
        let images = Tensor::f32(shape, std::mem::take(&mut batch.images))?;
        let output = finished.network.predict(&images)?;
        let size = images.shape().per_sample();
        let pixels = images.as_f32()?;
        let rows = output.as_f32()?.chunks_exact(classes).zip(pixels.chunks_exact(size.max(1)));
        for ((row, pixels), &label) in rows.zip(&batch.labels) {
            let label = label as usize;
            first.get_or_insert_with(|| (pixels.to_vec(), label));
            let prediction = highest(row);
            confusion.count(label, prediction);
            let (probability, own) = (row[prediction], row.get(label).copied().unwrap_or(0.0));
            let is_worse = worst.len() < MOST_MISTAKES
                || worst.last().is_some_and(|last| probability > last.probability);
            if prediction != label && is_worse {
                // After those that are as sure: the order of the data set decides.
                let at = worst.partition_point(|wrong| wrong.probability >= probability);
                let image = pixels.to_vec();
                worst.insert(at, Wrong { label, prediction, probability, own, image });
                worst.truncate(MOST_MISTAKES);
            }
        }
        batch.images = images.into_f32();
    }
    let name =
        |class: usize| finished.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
    let mistakes = worst.iter().map(|wrong| {
        Ok::<_, Error>(Mistake {
            label: name(wrong.label),
            prediction: name(wrong.prediction),
            probability: wrong.probability,
            own: wrong.own,
            png: viz::encoded(&shown(finished, &wrong.image)?)?,
        })
    });
    let mistakes = mistakes.collect::<Result<_>>()?;
    let Some((first, class)) = first else {
        return Err(Error::Usage(format!("data set {} has no image to test on", dataset.name())));
    };
    let first_shown = viz::encoded(&shown(finished, &first)?)?;
    Ok(Evaluated { confusion, mistakes, first, first_shown, first_class: name(class) })
}

/// The index of the highest value, the first of equals.
fn highest(row: &[f32]) -> usize {
    let better = |best: usize, (i, value): (usize, &f32)| if *value > row[best] { i } else { best };
    row.iter().enumerate().fold(0, better)
}

/// A normalised image as a picture. Where more than the normalisation of channels was done to it, such
/// as a mean subtracted from each pixel, its values are stretched to what can be shown.
fn shown(finished: &Finished, image: &[f32]) -> Result<RgbImage> {
    let shape = finished.network.model().input();
    let (mean, std) = (finished.normalise.mean(), finished.normalise.std());
    let plane = (image.len() / shape[0].max(1)).max(1);
    let planes = image.chunks(plane).zip(mean.iter().zip(std));
    let mut values: Vec<f32> =
        planes.flat_map(|(plane, (mean, std))| plane.iter().map(move |v| v * std + mean)).collect();
    let (low, high) =
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    if (low < -0.02 || high > 1.02) && high > low {
        values.iter_mut().for_each(|v| *v = (*v - low) / (high - low));
    }
    let bytes: Vec<u8> = values.iter().map(|v| (255.0 * v.clamp(0.0, 1.0)).round() as u8).collect();
    Ok(tiles::enlarged(&tiles::planar(&bytes, shape)?, SIDE))
}
