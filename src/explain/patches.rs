//! The pictures of a data set that excite a unit most.

use rayon::prelude::*;

use super::{Explainer, IMAGES};
use crate::data::{Dataset, Normalise};
use crate::error::{Error, Result};
use crate::ops::pool::AdaptiveMaxPool2d;
use crate::tensor::Tensor;

/// Images that are looked at together.
const BATCH: usize = 64;

/// A place in an image of a data set where a unit answered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Patch {
    /// The image's number in the data set.
    pub index: usize,
    /// Its label.
    pub label: u32,
    /// Row and column in the unit's map. [`Field::pixels`](super::Field::pixels) says what it sees.
    pub at: [usize; 2],
    /// The activation there, the image's largest.
    pub activation: f32,
}

/// A data set, and how many of its images to look at.
#[derive(Clone, Copy)]
pub struct Sampled<'a> {
    /// The images.
    pub dataset: &'a dyn Dataset,
    /// From bytes to the network's input.
    pub normalise: &'a Normalise,
    /// At most so many images, evenly spread over the data set.
    pub images: usize,
}

impl Sampled<'_> {
    fn indices(&self) -> Vec<usize> {
        let (count, total) = (self.images.min(self.dataset.len()), self.dataset.len());
        (0..count).map(|i| (i as u128 * total as u128 / count as u128) as usize).collect()
    }

    /// An image as a network takes it, and its label.
    ///
    /// Errors where it cannot be read.
    pub fn image(&self, index: usize) -> Result<(Tensor, u32)> {
        let [channels, height, width] = self.dataset.shape();
        let mut values = vec![0.0; channels * height * width];
        let label = self.load(index, &mut values)?;
        Ok((Tensor::f32([1, channels, height, width], values)?, label))
    }

    fn load(&self, index: usize, values: &mut [f32]) -> Result<u32> {
        let mut pixels = vec![0; values.len()];
        let label = self.dataset.load(index, &mut pixels)?;
        self.normalise.apply(&pixels, values);
        Ok(label)
    }
}

impl Explainer<'_> {
    /// For each unit of a layer the `count` images that excite it most, the strongest first, and where in the image. An image
    /// counts once; those that do not excite the unit, with no activation above 0, are left out.
    ///
    /// Errors where there is no such layer, the images do not fit the network or cannot be read, or the device
    /// fails.
    pub fn top_patches(
        &mut self,
        sampled: &Sampled<'_>,
        layer: &str,
        count: usize,
    ) -> Result<Vec<Vec<Patch>>> {
        let [units, _, columns] = self.layer(layer)?.shape;
        let (shape, input) = (sampled.dataset.shape(), self.model().input());
        if shape != input {
            let name = sampled.dataset.name();
            return Err(Error::Usage(format!(
                "data set {name} has images of {shape:?}, the network takes {input:?}"
            )));
        }
        let size: usize = shape.iter().product();
        let mut best = vec![vec![]; units];
        for indices in sampled.indices().chunks(BATCH) {
            let mut values = vec![0.0; indices.len() * size];
            let images = values.par_chunks_mut(size.max(1)).zip(indices);
            let labels: Vec<u32> = images
                .map(|(values, &index)| sampled.load(index, values))
                .collect::<Result<_>>()?;
            let images = Tensor::f32(self.model().input_type(indices.len())?.shape, values)?;
            let name = format!("strongest {layer}");
            let outputs = self.run_batch(&name, indices.len(), &[(IMAGES, &images)], |built| {
                let maps = built.output(layer)?;
                let pool = AdaptiveMaxPool2d::default();
                let strongest = built.graph.add_all(pool, &[maps])?;
                built.graph.output("activation", strongest[0])?;
                built.graph.output("place", strongest[1])
            })?;
            let activations = outputs.get("activation")?.as_f32()?;
            let places = outputs.get("place")?.as_u32()?;
            for (i, (&activation, &place)) in activations.iter().zip(places).enumerate() {
                let (image, unit, place) = (i / units, i % units, place as usize);
                let at = [place / columns, place % columns];
                let patch = Patch { index: indices[image], label: labels[image], at, activation };
                keep(&mut best[unit], patch, count);
            }
        }
        Ok(best)
    }
}

/// Puts a patch in its place among the best, of which there are at most `count`. Of equal ones the
/// first comes first.
fn keep(best: &mut Vec<Patch>, patch: Patch, count: usize) {
    let excites = patch.activation > 0.0;
    let place = best.iter().take_while(|b| b.activation >= patch.activation).count();
    if excites && place < count {
        best.insert(place, patch);
        best.truncate(count);
    }
}
