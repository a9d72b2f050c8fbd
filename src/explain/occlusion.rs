//! What a class's probability loses where a part of the picture is hidden.

use super::{Explainer, IMAGES, Map, PROBABILITIES};
use crate::error::{Error, Result};
use crate::ops::softmax::Softmax;
use crate::tensor::Tensor;

/// Pictures with an occluder that are computed at a time.
const BATCH: usize = 32;

/// A square that hides a part of the picture.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Occluder {
    /// Its side in pixels.
    pub side: usize,
    /// Pixels from one place of it to the next.
    pub stride: usize,
    /// The value that it has, normalised as the image is: 0 is the mean of the training set.
    pub value: f32,
}

/// What became of a class's probability under the occluder.
#[derive(Clone, PartialEq, Debug)]
pub struct Occlusion {
    /// The occluder.
    pub occluder: Occluder,
    /// The upper left corners of the places where it was, row and column.
    pub corners: Vec<[usize; 2]>,
    /// The class's probability at each of them.
    pub probabilities: Vec<f32>,
    /// Its probability for the whole picture.
    pub whole: f32,
    picture: [usize; 2],
}

impl Occluder {
    /// A grey square of about a quarter of a picture's side, moved by a quarter of its own side.
    pub fn for_picture([height, width]: [usize; 2]) -> Self {
        let side = (height.min(width) / 4).max(1);
        Occluder { side, stride: (side / 4).max(1), value: 0.0 }
    }

    /// The places along an axis: every `stride` pixels, and at the end.
    fn places(&self, extent: usize) -> Vec<usize> {
        let last = extent - self.side;
        (0..last).step_by(self.stride).chain([last]).collect()
    }
}

impl Occlusion {
    /// What the class loses where a pixel is hidden: the probability of the whole picture less that under the
    /// occluder, in the mean over the places that cover the pixel.
    pub fn loss(&self) -> Map {
        let [rows, columns] = self.picture;
        let mut sums = vec![(0.0f32, 0u32); rows * columns];
        for (&[top, left], probability) in self.corners.iter().zip(&self.probabilities) {
            for row in top..top + self.occluder.side {
                for (sum, count) in &mut sums[row * columns + left..][..self.occluder.side] {
                    *sum += self.whole - probability;
                    *count += 1;
                }
            }
        }
        let values = sums.into_iter().map(|(sum, count)| sum / count.max(1) as f32).collect();
        Map { shape: self.picture, values }
    }
}

impl Explainer<'_> {
    /// Moves an occluder over the picture and records the probability of a class (Zeiler & Fergus 2014).
    ///
    /// Errors where there is no such class, the occluder does not fit the picture or does not move, the image does
    /// not fit, or the device fails.
    pub fn occlusion(
        &mut self,
        image: &Tensor,
        class: usize,
        occluder: Occluder,
    ) -> Result<Occlusion> {
        self.class_seed(class)?;
        let [channels, height, width] = self.model().input();
        let Occluder { side, stride, value } = occluder;
        if side == 0 || side > height.min(width) || stride == 0 {
            let given = format!("{side} pixels, moved by {stride}");
            let remedy = format!("must fit the picture, {height}x{width}, and move");
            return Err(Error::setting("occluder", given, remedy));
        }
        let pixels = image.as_f32()?;
        if pixels.len() != channels * height * width {
            let wanted = self.model().input_type(1)?;
            return Err(Error::Usage(format!("`{IMAGES}` is {}, {wanted} is needed", image.ty())));
        }
        let corners: Vec<[usize; 2]> = occluder
            .places(height)
            .into_iter()
            .flat_map(|top| occluder.places(width).into_iter().map(move |left| [top, left]))
            .collect();
        let hidden = |&[top, left]: &[usize; 2]| {
            let mut hidden = pixels.to_vec();
            for (channel, row) in (0..channels).flat_map(|c| (top..top + side).map(move |r| (c, r)))
            {
                hidden[(channel * height + row) * width + left..][..side].fill(value);
            }
            hidden
        };
        let mut probabilities = vec![];
        for corners in corners.chunks(BATCH) {
            let batch: Vec<f32> = corners.iter().flat_map(hidden).collect();
            probabilities.extend(self.probabilities(batch, corners.len(), class)?);
        }
        let whole = self.probabilities(pixels.to_vec(), 1, class)?;
        let whole = whole.first().copied().unwrap_or(f32::NAN);
        let picture = [height, width];
        Ok(Occlusion { occluder, corners, probabilities, whole, picture })
    }

    /// A class's probability for each of `count` images.
    fn probabilities(&mut self, images: Vec<f32>, count: usize, class: usize) -> Result<Vec<f32>> {
        let images = Tensor::f32(self.model().input_type(count)?.shape, images)?;
        let outputs = self.run_batch("probabilities", count, &[(IMAGES, &images)], |built| {
            let logits = built.forward.logits;
            let probabilities = built.graph.add(Softmax { log: false }, &[logits])?;
            built.graph.output(PROBABILITIES, probabilities)
        })?;
        let all = outputs.get(PROBABILITIES)?.as_f32()?;
        Ok(all.iter().skip(class).step_by(self.classes).copied().collect())
    }
}
