//! What a transform is: its settings, what they may be, and what becomes of an image's shape.

use serde::{Deserialize, Serialize};

use super::geometry;
use crate::data::{Augment, Picture, Region};
use crate::error::{Error, Result};
use crate::philox::Stream;

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
    /// training set's colours, see [`principal_colours`](super::principal_colours).
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

impl Transform {
    /// Whether it starts from the picture as it is stored.
    pub(super) fn needs_picture(&self) -> bool {
        matches!(self, Transform::Resize { .. } | Transform::ResizedCrop { .. })
    }

    /// The still transforms in its place.
    pub(super) fn still(&self) -> Vec<Transform> {
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
    pub(super) fn check(&self, place: usize, count: usize) -> Result<()> {
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

    pub(super) fn output_shape(&self, [channels, height, width]: [usize; 3]) -> Result<[usize; 3]> {
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
    pub(super) fn region(&self, picture: &Picture, random: &mut Stream) -> (Region, usize, usize) {
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
