//! What happens to an image between the data set and the network: a list of transforms.
//!
//! In a configuration each is a table:
//!
//! ```toml
//! [[transforms]]
//! resize = { size = 256 }
//! [[transforms]]
//! crop = { size = 224 }
//! [[transforms]]
//! flip = {}
//! ```
//!
//! Every random number is Philox's under (seed, epoch, image, place in the list), whatever thread
//! needs it. Values are in the range of a byte, 0 to 255, until they are normalised at the end.

use std::sync::Arc;

use super::scale::Scaler;
use super::{Augment, Dataset, Normalise, Picture};
use crate::error::{Error, Result};
use crate::philox::Stream;

mod device;
mod geometry;
mod kind;
mod mixing;
mod statistics;
mod view;

pub use device::Preparation;
pub use kind::Transform;
pub use statistics::{Statistics, principal_colours};
use view::Shown;

/// The third word of the streams' names for the first transform; each further one has its own.
const STREAM: u32 = 0xda7a_0001;
const NEXT_STREAM: u32 = 0x1_0000;
/// More transforms than this would share streams with other uses of the seed.
const MOST: usize = 64;

/// A list of transforms, with what some of them need to know of the training set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transforms {
    list: Vec<Transform>,
    statistics: Arc<Statistics>,
}

/// What a draw is for, besides image and transform.
#[derive(Clone, Copy)]
pub(super) struct DrawKey {
    pub seed: u64,
    pub epoch: u32,
}

impl DrawKey {
    /// The random numbers of an image's transform at a place.
    fn stream(self, index: u32, place: usize) -> Stream {
        let name = STREAM.wrapping_add(place as u32 * NEXT_STREAM);
        Stream::new(self.seed, [index, self.epoch, name])
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// The picture as it was decoded, where the image is a part of one; else the image.
    picture: Option<Picture>,
    bytes: Vec<u8>,
    values: Vec<f32>,
    spare: Vec<f32>,
    scaler: Scaler,
}

impl From<Augment> for Transforms {
    /// The one transform; none where nothing changes.
    fn from(augment: Augment) -> Self {
        let is_still = augment == Augment::none();
        let list = if is_still { vec![] } else { vec![Transform::Vary(augment)] };
        Transforms { list, ..Transforms::default() }
    }
}

impl Transforms {
    /// These transforms, one after another.
    ///
    /// Errors where a setting is out of range, or a transform stands where it may not.
    pub fn new(list: Vec<Transform>) -> Result<Self> {
        if list.len() > MOST {
            let remedy = format!("give at most {MOST}");
            return Err(Error::setting("transforms", list.len(), remedy));
        }
        for (place, transform) in list.iter().enumerate() {
            transform.check(place, list.len())?;
        }
        Ok(Transforms { list, ..Transforms::default() })
    }

    /// No transform at all.
    pub fn none() -> Self {
        Transforms::default()
    }

    /// The transforms.
    pub fn list(&self) -> &[Transform] {
        &self.list
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Images that one image becomes: 1, or 10 where the last transform is [`Transform::TenCrop`].
    pub fn views(&self) -> usize {
        if matches!(self.list.last(), Some(Transform::TenCrop { .. })) { 10 } else { 1 }
    }

    /// The shape `[channels, height, width]` that images of `input` come to.
    ///
    /// Errors where a crop is larger than what it is taken from, or colours are asked of images
    /// without three channels.
    pub fn output_shape(&self, input: [usize; 3]) -> Result<[usize; 3]> {
        self.list.iter().try_fold(input, |shape, transform| transform.output_shape(shape))
    }

    /// The counterpart for testing: random parts become the middle, and other chance is left out.
    pub fn still(&self) -> Transforms {
        let list = self.list.iter().flat_map(Transform::still).collect();
        Transforms { list, statistics: Arc::clone(&self.statistics) }
    }

    /// [`Transforms::still`] with ten crops in place of the middle.
    ///
    /// Errors where nothing is cropped, or something other than chance follows the crop.
    pub fn ten_crop(&self) -> Result<Transforms> {
        let mut still = self.still();
        match still.list.last_mut() {
            Some(last @ Transform::CentreCrop { .. }) => {
                if let Transform::CentreCrop { size } = *last {
                    *last = Transform::TenCrop { size };
                }
                Ok(still)
            }
            _ => {
                let remedy = "the last transform that is not random must be a crop";
                Err(Error::setting("views", "ten-crop", remedy))
            }
        }
    }

    /// What has been found out about the training set.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The same transforms with these statistics.
    pub fn with_statistics(mut self, statistics: Statistics) -> Self {
        self.statistics = Arc::new(statistics);
        self
    }

    /// The values of a picture that belongs to no data set: scaled to `size` `[height, width]` as a
    /// folder's are, unless the first transform does it; then the still counterparts of the
    /// transforms, and normalised.
    ///
    /// Errors where a transform or `normalise` does not fit the picture.
    pub fn prepare(
        &self,
        picture: &Picture,
        size: [usize; 2],
        normalise: &Normalise,
    ) -> Result<Vec<f32>> {
        let still = self.still();
        let mut scratch = Scratch::default();
        let [height, width] = size;
        let middle = picture.middle(height, width);
        let scaled = picture.resized(middle, height, width)?;
        let single = Single { picture: picture.clone(), scaled };
        let key = DrawKey { seed: 0, epoch: 0 };
        still.run(still.list.len(), &single, 0, key, &mut scratch)?;
        if normalise.mean().len() != picture.shape()[0] {
            let given = format!("for {} channels", normalise.mean().len());
            let remedy = format!("the picture has {}", picture.shape()[0]);
            return Err(Error::setting("normalise", given, remedy));
        }
        normalise.apply_in_place(&mut scratch.values);
        Ok(scratch.values)
    }

    /// The images of one image, normalised, written to `output`, and its label; `None` where the data
    /// set leaves the image out.
    pub(super) fn apply(
        &self,
        dataset: &dyn Dataset,
        index: u32,
        key: DrawKey,
        normalise: &Normalise,
        scratch: &mut Scratch,
        output: &mut [f32],
    ) -> Result<Option<u32>> {
        let views = self.views();
        let upto = if views == 1 { self.list.len() } else { self.list.len() - 1 };
        let Some(shown) = self.show(upto, dataset, index, key, scratch)? else { return Ok(None) };
        let label = shown.label;
        if shown.done == self.list.len() && shown.shape.iter().product::<usize>() == output.len() {
            shown.write(scratch, &normalise.lines(), output);
            return Ok(Some(label));
        }
        let shape = self.change(upto, &shown, dataset, index, key, scratch)?;
        match self.list.last() {
            Some(last @ &Transform::TenCrop { size }) => {
                last.output_shape(shape)?;
                geometry::ten_crop(&scratch.values, shape, size, output);
            }
            _ if scratch.values.len() == output.len() => {
                output.copy_from_slice(&scratch.values);
            }
            _ => {
                return Err(Error::Usage(format!(
                    "data set {}: image {index} came to {shape:?}, not to the shape of the others",
                    dataset.name()
                )));
            }
        }
        let view = output.len() / views;
        output.chunks_exact_mut(view.max(1)).for_each(|view| normalise.apply_in_place(view));
        Ok(Some(label))
    }

    /// The first `upto` transforms of an image; the values are left in `scratch`.
    fn run(
        &self,
        upto: usize,
        dataset: &dyn Dataset,
        index: u32,
        key: DrawKey,
        scratch: &mut Scratch,
    ) -> Result<Option<([usize; 3], u32)>> {
        let Some(shown) = self.show(upto, dataset, index, key, scratch)? else { return Ok(None) };
        let shape = self.change(upto, &shown, dataset, index, key, scratch)?;
        Ok(Some((shape, shown.label)))
    }

    /// Those of the first `upto` transforms that decide which part of a picture is shown.
    fn show(
        &self,
        upto: usize,
        dataset: &dyn Dataset,
        index: u32,
        key: DrawKey,
        scratch: &mut Scratch,
    ) -> Result<Option<Shown>> {
        Shown::of(&self.list[..upto], dataset, index as usize, |at| key.stream(index, at), scratch)
    }

    /// What is left of the first `upto` transforms, after `shown`; returns the shape.
    fn change(
        &self,
        upto: usize,
        shown: &Shown,
        dataset: &dyn Dataset,
        index: u32,
        key: DrawKey,
        scratch: &mut Scratch,
    ) -> Result<[usize; 3]> {
        let mut shape = shown.shape;
        let mut values = std::mem::take(&mut scratch.values);
        values.resize(shape.iter().product(), 0.0);
        shown.write(scratch, &vec![(1.0, 0.0); shape[0]], &mut values);
        scratch.values = values;
        for (place, transform) in self.list[..upto].iter().enumerate().skip(shown.done) {
            let mut random = key.stream(index, place);
            let to = transform.output_shape(shape)?;
            scratch.spare.resize(to.iter().product(), 0.0);
            let (values, spare) = (&mut scratch.values, &mut scratch.spare);
            match transform {
                Transform::Resize { .. } | Transform::ResizedCrop { .. } => {}
                Transform::TenCrop { .. } => {}
                &Transform::Crop { size, padding } => {
                    let corner = geometry::random_corner(shape, size, padding, &mut random);
                    geometry::window(values, shape, corner, to, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::CentreCrop { size } => {
                    let corner = geometry::centre_corner(shape, size);
                    geometry::window(values, shape, corner, to, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::Pad { size } => {
                    let corner = [-(size as i64); 2];
                    geometry::window(values, shape, corner, to, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::Flip { chance } => {
                    if geometry::is_mirrored(chance, &mut random) {
                        geometry::mirror(values, shape);
                    }
                }
                Transform::Vary(augment) => {
                    augment.change(values, shape, &mut random, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::PcaColour { strength } => {
                    self.statistics.add_colour(values, strength, &mut random)?;
                }
                Transform::SubtractMean {} => self.statistics.subtract_mean(values, shape)?,
                &Transform::Cutout { size } => {
                    let hidden = geometry::hidden(shape, size, &mut random);
                    geometry::hide(values, shape, hidden);
                }
                &Transform::Mixup { alpha } => {
                    let partner = random.below(dataset.len() as u32);
                    let share = mixing::share(alpha, &mut random);
                    let image = std::mem::take(values);
                    let other = self.run(place, dataset, partner, key, scratch)?;
                    if other.is_some_and(|(other, _)| other == shape) {
                        mixing::mix(&mut scratch.values, &image, share);
                    } else {
                        scratch.values = image;
                    }
                }
            }
            shape = to;
        }
        Ok(shape)
    }
}

/// One picture as a data set.
struct Single {
    picture: Picture,
    scaled: Picture,
}

impl Dataset for Single {
    fn name(&self) -> &str {
        "picture"
    }

    fn len(&self) -> usize {
        1
    }

    fn shape(&self) -> [usize; 3] {
        self.scaled.shape()
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn load(&self, _: usize, pixels: &mut [u8]) -> Result<u32> {
        self.scaled.write_planes(pixels);
        Ok(0)
    }

    fn picture(&self, _: usize, _: Vec<u8>) -> Result<Option<(Picture, u32)>> {
        Ok(Some((self.picture.clone(), 0)))
    }
}

#[cfg(test)]
mod tests;
