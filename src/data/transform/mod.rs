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

use fast_image_resize::Resizer;
use serde::{Deserialize, Serialize};

use super::{Augment, Dataset, Normalise, Picture, Region};
use crate::error::{Error, Result};
use crate::philox::Stream;

mod geometry;
mod mixing;
mod statistics;

pub use statistics::{Statistics, principal_colours};

/// The third word of the streams' names for the first transform; each further one has its own.
const STREAM: u32 = 0xda7a_0001;
const NEXT_STREAM: u32 = 0x1_0000;
/// More transforms than this would share streams with other uses of the seed.
const MOST: usize = 64;

/// One step from image to image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transform {
    /// The shorter side becomes `size`, or each side where `exact`; antialiased. From the picture as
    /// it is stored, so only the first of a list may be this.
    Resize {
        /// Pixels.
        size: usize,
        /// Whether the picture is squeezed into a square.
        #[serde(default)]
        exact: bool,
    },
    /// A random part of the picture as it is stored, scaled to `size` x `size`; only the first of a
    /// list may be this. Ten draws of a part that fits are made, then the middle is taken.
    /// Source: Szegedy et al. 2014, "Going deeper with convolutions", section 6.
    ResizedCrop {
        /// Pixels.
        size: usize,
        /// The least and the largest share of the picture's area.
        #[serde(default = "default_area")]
        area: [f64; 2],
        /// The least and the largest width over height, drawn evenly on a logarithmic scale.
        #[serde(default = "default_aspect")]
        aspect: [f64; 2],
    },
    /// A random part of `size` x `size`, after `padding` pixels of 0 were put around the image.
    Crop {
        /// Pixels.
        size: usize,
        /// Pixels on each side.
        #[serde(default)]
        padding: usize,
    },
    /// The middle, `size` x `size`.
    CentreCrop {
        /// Pixels.
        size: usize,
    },
    /// The four corners and the middle, each also mirrored: ten images of one, whose predictions are
    /// averaged. Only the last of a list may be this.
    /// Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural
    /// networks", section 4.1.
    TenCrop {
        /// Pixels.
        size: usize,
    },
    /// Pixels of 0 around the image.
    Pad {
        /// Pixels on each side.
        size: usize,
    },
    /// Mirrors left to right.
    Flip {
        /// How often, 0 to 1.
        #[serde(default = "default_chance")]
        chance: f32,
    },
    /// Shift, turn, size, shear, brightness, contrast and saturation.
    Vary(Augment),
    /// Adds `sum of component * deviation along it * draw` to every pixel, the draws one a component
    /// and image, normal with deviation `strength`; components and deviations are those of the
    /// training set's colours, see [`principal_colours`].
    /// Source: Krizhevsky et al. 2012, section 4.1. The formula there has the eigenvalues, that is
    /// the variances, in place of the deviations; those are more than a byte's range, and the
    /// authors' program (cuda-convnet2) takes the deviations.
    PcaColour {
        /// The deviation of the draws.
        #[serde(default = "default_strength")]
        strength: f32,
    },
    /// Subtracts the mean image of the training set, that is its mean at each pixel and channel.
    SubtractMean {},
    /// Sets a square of `size` x `size` about a random pixel to 0, which may lie partly outside.
    /// Source: DeVries & Taylor 2017, "Improved regularization of convolutional neural networks with
    /// cutout".
    Cutout {
        /// Pixels.
        size: usize,
    },
    /// A mean of the image and another of the set, whose share is drawn from Beta(alpha, alpha + 1)
    /// and so mostly the smaller one; the label stays the image's. Over all pairs this is exactly the
    /// expectation of mixing the labels too, with shares from Beta(alpha, alpha).
    /// Source: Zhang et al. 2017, "mixup: beyond empirical risk minimization"; the labels: Huszár
    /// 2017, "mixup: data-dependent data augmentation".
    Mixup {
        /// The distribution's parameter, above 0.
        #[serde(default = "default_alpha")]
        alpha: f32,
    },
}

fn default_area() -> [f64; 2] {
    [0.08, 1.0]
}

fn default_aspect() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

fn default_chance() -> f32 {
    0.5
}

fn default_strength() -> f32 {
    0.1
}

fn default_alpha() -> f32 {
    0.2
}

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

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    values: Vec<f32>,
    spare: Vec<f32>,
    resizer: Resizer,
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
        let scaled = picture.resized(middle, height, width, &mut scratch.resizer)?;
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
        let Some((shape, label)) = self.run(upto, dataset, index, key, scratch)? else {
            return Ok(None);
        };
        match self.list.last() {
            Some(last @ &Transform::TenCrop { size }) => {
                last.output_shape(shape)?;
                geometry::ten_crop(&scratch.values, shape, size, output);
            }
            _ if scratch.values.len() == output.len() => output.copy_from_slice(&scratch.values),
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
        let stream = |place: usize| {
            let name = STREAM.wrapping_add(place as u32 * NEXT_STREAM);
            Stream::new(key.seed, [index, key.epoch, name])
        };
        let first = self.list[..upto].first().filter(|first| first.needs_picture());
        let (mut shape, label) = match first {
            Some(first) => {
                let Some((picture, label)) = dataset.picture(index as usize)? else {
                    return Ok(None);
                };
                let (region, height, width) = first.region(&picture, &mut stream(0));
                let scaled = picture.resized(region, height, width, &mut scratch.resizer)?;
                scratch.values.resize(scaled.bytes().len(), 0.0);
                scaled.write_planes(&mut scratch.values);
                (scaled.shape(), label)
            }
            None => {
                let shape = dataset.shape();
                scratch.bytes.resize(shape.iter().product(), 0);
                let Some(label) = dataset.try_load(index as usize, &mut scratch.bytes)? else {
                    return Ok(None);
                };
                scratch.values.clear();
                scratch.values.extend(scratch.bytes.iter().map(|&byte| f32::from(byte)));
                (shape, label)
            }
        };
        let done = usize::from(first.is_some());
        for (place, transform) in self.list[..upto].iter().enumerate().skip(done) {
            let mut random = stream(place);
            let to = transform.output_shape(shape)?;
            scratch.spare.resize(to.iter().product(), 0.0);
            let (values, spare) = (&mut scratch.values, &mut scratch.spare);
            match transform {
                Transform::Resize { .. } | Transform::ResizedCrop { .. } => {}
                Transform::TenCrop { .. } => {}
                &Transform::Crop { size, padding } => {
                    geometry::random_crop(values, shape, size, padding, &mut random, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::CentreCrop { size } => {
                    geometry::centre_crop(values, shape, size, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::Pad { size } => {
                    let corner = [-(size as i64); 2];
                    geometry::window(values, shape, corner, to, spare);
                    std::mem::swap(values, spare);
                }
                &Transform::Flip { chance } => {
                    if random.uniform() < chance {
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
                &Transform::Cutout { size } => geometry::cut_out(values, shape, size, &mut random),
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
        Ok(Some((shape, label)))
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

    fn picture(&self, _: usize) -> Result<Option<(Picture, u32)>> {
        Ok(Some((self.picture.clone(), 0)))
    }
}

impl Transform {
    /// Whether it starts from the picture as it is stored.
    fn needs_picture(&self) -> bool {
        matches!(self, Transform::Resize { .. } | Transform::ResizedCrop { .. })
    }

    /// The still transforms in its place.
    fn still(&self) -> Vec<Transform> {
        match *self {
            Transform::Resize { .. }
            | Transform::CentreCrop { .. }
            | Transform::TenCrop { .. }
            | Transform::Pad { .. }
            | Transform::SubtractMean {} => vec![self.clone()],
            Transform::Crop { size, .. } => vec![Transform::CentreCrop { size }],
            // The usual margin of an eighth: 256 for 224.
            Transform::ResizedCrop { size, .. } => vec![
                Transform::Resize { size: (size * 8).div_ceil(7), exact: false },
                Transform::CentreCrop { size },
            ],
            Transform::Flip { .. }
            | Transform::Vary(_)
            | Transform::PcaColour { .. }
            | Transform::Cutout { .. }
            | Transform::Mixup { .. } => vec![],
        }
    }

    /// Errors where a setting is out of range or the place in the list is not allowed.
    fn check(&self, place: usize, count: usize) -> Result<()> {
        let range =
            |good: bool, setting: &'static str, value: &dyn std::fmt::Debug, remedy: &str| {
                let value = format!("{value:?}");
                if good { Ok(()) } else { Err(Error::setting(setting, value, remedy)) }
            };
        let pixels = "must be from 1 to 4096 pixels";
        let fits = |size: usize| (1..=4096).contains(&size);
        if self.needs_picture() && place > 0 {
            let remedy = "`resize` and `resized-crop` must come first";
            return Err(Error::setting("transforms", format!("number {}", place + 1), remedy));
        }
        match self {
            Transform::Resize { size, .. } => range(fits(*size), "resize.size", size, pixels),
            Transform::ResizedCrop { size, area, aspect } => {
                range(fits(*size), "resized-crop.size", size, pixels)?;
                let good = area[0] > 0.0 && area[0] <= area[1] && area[1] <= 1.0;
                range(good, "resized-crop.area", area, "must be [least, largest] within 0 to 1")?;
                let good = aspect[0] > 0.0 && aspect[0] <= aspect[1] && aspect[1] <= 100.0;
                let remedy = "must be [least, largest] within 0 to 100";
                range(good, "resized-crop.aspect", aspect, remedy)
            }
            Transform::Crop { size, padding } => {
                range(fits(*size), "crop.size", size, pixels)?;
                range(*padding <= 4096, "crop.padding", padding, "must be at most 4096 pixels")
            }
            Transform::CentreCrop { size } => range(fits(*size), "centre-crop.size", size, pixels),
            Transform::TenCrop { size } => {
                range(place + 1 == count, "transforms", &"ten-crop", "must come last")?;
                range(fits(*size), "ten-crop.size", size, pixels)
            }
            Transform::Pad { size } => range(fits(*size), "pad.size", size, pixels),
            Transform::Flip { chance } => {
                range((0.0..=1.0).contains(chance), "flip.chance", chance, "must be from 0 to 1")
            }
            Transform::Vary(augment) => augment.check(),
            Transform::PcaColour { strength } => {
                let good = (0.0..=10.0).contains(strength);
                range(good, "pca-colour.strength", strength, "must be from 0 to 10")
            }
            Transform::SubtractMean {} => Ok(()),
            Transform::Cutout { size } => range(fits(*size), "cutout.size", size, pixels),
            Transform::Mixup { alpha } => {
                let good = *alpha > 0.0 && *alpha <= 100.0;
                range(good, "mixup.alpha", alpha, "must be above 0, at most 100")
            }
        }
    }

    fn output_shape(&self, [channels, height, width]: [usize; 3]) -> Result<[usize; 3]> {
        let crop = |size: usize, padding: usize| {
            if size > height + 2 * padding || size > width + 2 * padding {
                let remedy = format!("is larger than the image, {height}x{width} pixels");
                return Err(Error::setting("crop", size, remedy));
            }
            Ok([channels, size, size])
        };
        match *self {
            // From a picture whose proportions only it knows; a square where nothing else is said.
            Transform::Resize { size, exact } => {
                let short = height.min(width).max(1);
                let side = |of: usize| if exact { size } else { scaled(of, size, short) };
                Ok([channels, side(height), side(width)])
            }
            Transform::ResizedCrop { size, .. } => Ok([channels, size, size]),
            Transform::Crop { size, padding } => crop(size, padding),
            Transform::CentreCrop { size } | Transform::TenCrop { size } => crop(size, 0),
            Transform::Pad { size } => Ok([channels, height + 2 * size, width + 2 * size]),
            Transform::PcaColour { .. } if channels != 3 => {
                let remedy = format!("needs 3 channels, the images have {channels}");
                Err(Error::setting("transforms", "pca-colour", remedy))
            }
            _ => Ok([channels, height, width]),
        }
    }

    /// The part of `picture` that is taken, and the height and width it is scaled to.
    fn region(&self, picture: &Picture, random: &mut Stream) -> (Region, usize, usize) {
        let [_, height, width] = picture.shape();
        match *self {
            Transform::Resize { size, exact: false } => {
                let short = height.min(width).max(1);
                let (height, width) = (scaled(height, size, short), scaled(width, size, short));
                (picture.whole(), height, width)
            }
            Transform::ResizedCrop { size, area, aspect } => {
                (geometry::random_region(picture, area, aspect, random), size, size)
            }
            Transform::Resize { size, .. } => (picture.whole(), size, size),
            _ => (picture.whole(), height, width),
        }
    }
}

/// `side * size / short`, rounded.
fn scaled(side: usize, size: usize, short: usize) -> usize {
    ((side * size) as f64 / short as f64).round() as usize
}

#[cfg(test)]
mod tests;
