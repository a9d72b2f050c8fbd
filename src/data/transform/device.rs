//! Transforms as draws for one operation, [`PrepareImages`], that a device runs on the bytes of a batch.

use super::{DrawKey, Statistics, Transform, Transforms, geometry};
use crate::data::Normalise;
use crate::ops::images::{ImageDraws, PrepareImages, Turn, Window};

/// What a device is to do with images, and the draws for each: the same as the loader's threads would do,
/// from the same random numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    op: PrepareImages,
    transforms: Transforms,
    normalise: Normalise,
}

impl Transforms {
    /// What a device is to do in place of threads with images of `image` `[channels, height, width]`;
    /// `None` where threads must do it.
    ///
    /// That is so where pictures are scaled, which is best done where they are decoded, where images
    /// are mixed or become several, and where the list has not this order: the mean image is subtracted;
    /// images are cut, mirrored and varied, varied once at most; principal colours are added; a square is
    /// hidden.
    pub fn on_device(&self, image: [usize; 3], normalise: &Normalise) -> Option<Preparation> {
        let ranks: Option<Vec<_>> = self.list.iter().map(rank).collect();
        let ranks = ranks?;
        let most_once = |rank| ranks.iter().filter(|&&r| r == rank).count() <= 1;
        let varies = self.list.iter().filter(|t| matches!(t, Transform::Vary(_))).count();
        let is_ordered = ranks.is_sorted() && [0, 2, 3].into_iter().all(most_once) && varies <= 1;
        let has_mean = ranks.first() == Some(&0);
        let knows = !has_mean || self.statistics.mean_shape == image;
        if !is_ordered || !knows || normalise.mean().len() != image[0] {
            return None;
        }
        let mut shape = image;
        let mut turned = None;
        for transform in &self.list {
            if let Transform::Vary(augment) = transform
                && augment.turns()
            {
                turned = Some([shape[1], shape[2]]);
            }
            shape = transform.output_shape(shape).ok()?;
        }
        if ranks.contains(&2) && self.statistics.colours.is_none() {
            return None;
        }
        let op = PrepareImages { image, size: [shape[1], shape[2]], turned, has_mean };
        Some(Preparation { op, transforms: self.clone(), normalise: normalise.clone() })
    }
}

/// The place of a transform in the order of the operation; `None` where it is none of its.
fn rank(transform: &Transform) -> Option<usize> {
    match transform {
        Transform::SubtractMean {} => Some(0),
        Transform::Crop { .. }
        | Transform::CentreCrop { .. }
        | Transform::Pad { .. }
        | Transform::Flip { .. }
        | Transform::Vary(_) => Some(1),
        Transform::PcaColour { .. } => Some(2),
        Transform::Cutout { .. } => Some(3),
        Transform::Resize { .. }
        | Transform::ResizedCrop { .. }
        | Transform::TenCrop { .. }
        | Transform::Mixup { .. } => None,
    }
}

impl Preparation {
    /// The operation.
    pub fn op(&self) -> PrepareImages {
        self.op
    }

    /// The mean image that is subtracted, where one is.
    pub fn mean(&self) -> Option<&[f32]> {
        self.op.has_mean.then(|| &self.statistics().mean[..])
    }

    fn statistics(&self) -> &Statistics {
        &self.transforms.statistics
    }

    /// Writes the draws of an image.
    pub(in crate::data) fn draw(&self, index: u32, key: DrawKey, row: &mut [f32]) {
        let [channels, height, width] = self.op.image;
        let mut cut = Cut::whole([height, width]);
        let mut draws = ImageDraws::none(self.op.size);
        draws.first = cut.window();
        for (place, transform) in self.transforms.list.iter().enumerate() {
            let mut random = key.stream(index, place);
            let [height, width] = cut.size;
            let shape = [channels, height, width];
            match transform {
                &Transform::Crop { size, padding } => {
                    let corner = geometry::random_corner(shape, size, padding, &mut random);
                    cut = cut.part(corner, [size; 2]);
                }
                &Transform::CentreCrop { size } => {
                    cut = cut.part(geometry::centre_corner(shape, size), [size; 2]);
                }
                &Transform::Pad { size } => {
                    cut = cut.part([-(size as i64); 2], [height + 2 * size, width + 2 * size]);
                }
                &Transform::Flip { chance } => {
                    let turns = geometry::is_mirrored(chance, &mut random);
                    cut = if turns { cut.mirrored() } else { cut };
                }
                Transform::Vary(augment) => {
                    let draw = augment.draw(&mut random);
                    if self.op.turned.is_some() {
                        let (sin, cos) = draw.angle.sin_cos();
                        draws.turn = Turn {
                            cos: cos / draw.scale,
                            sin: sin / draw.scale,
                            shear: draw.shear,
                            mirror: if draw.flip { -1.0 } else { 1.0 },
                            shift: draw.shift.map(|pixels| pixels as f32),
                        };
                    } else {
                        cut = if draw.flip { cut.mirrored() } else { cut };
                        cut = cut.part([-draw.shift[1], -draw.shift[0]], cut.size);
                    }
                    draws.first = cut.window();
                    cut = Cut::whole(cut.size);
                    (draws.contrast, draws.offset) = (draw.contrast, draw.offset());
                    draws.saturation = draw.saturation;
                }
                &Transform::PcaColour { strength } => {
                    let added = self.statistics().added_colour(strength, &mut random);
                    draws.colour = added.unwrap_or_default();
                }
                &Transform::Cutout { size } => {
                    let [rows, columns] = geometry::hidden(shape, size, &mut random);
                    let floats = |(first, last): (usize, usize)| [first as f32, last as f32];
                    (draws.hidden_rows, draws.hidden_columns) = (floats(rows), floats(columns));
                }
                // Subtracted before all else; the others are not among those that a device does.
                _ => {}
            }
        }
        draws.last = cut.window();
        let (own, lines) = row.split_at_mut(ImageDraws::LEN.min(row.len()));
        own.copy_from_slice(&draws.as_row()[..own.len()]);
        for (pair, (factor, addend)) in lines.chunks_exact_mut(2).zip(self.normalise.lines()) {
            pair.copy_from_slice(&[factor, addend]);
        }
    }
}

/// A [`Window`] in the making, in whole pixels.
#[derive(Clone, Copy)]
struct Cut {
    is_mirrored: bool,
    left: i64,
    top: i64,
    columns: [i64; 2],
    rows: [i64; 2],
    /// Height and width of what comes out.
    size: [usize; 2],
}

impl Cut {
    fn whole([height, width]: [usize; 2]) -> Self {
        let (columns, rows) = ([0, width as i64], [0, height as i64]);
        Cut { is_mirrored: false, left: 0, top: 0, columns, rows, size: [height, width] }
    }

    /// The part of `size` with its corner at `[row, column]`, with zeros where nothing is.
    fn part(self, [top, left]: [i64; 2], size: [usize; 2]) -> Self {
        let moved =
            |span: [i64; 2], by: i64, side: usize| span.map(|at| (at - by).clamp(0, side as i64));
        Cut {
            left: if self.is_mirrored { self.left - left } else { self.left + left },
            top: self.top + top,
            columns: moved(self.columns, left, size[1]),
            rows: moved(self.rows, top, size[0]),
            size,
            ..self
        }
    }

    /// Left and right exchanged.
    fn mirrored(self) -> Self {
        let last = self.size[1] as i64 - 1;
        let [first, end] = self.columns;
        Cut {
            is_mirrored: !self.is_mirrored,
            left: if self.is_mirrored { self.left - last } else { self.left + last },
            columns: [last + 1 - end, last + 1 - first],
            ..self
        }
    }

    fn window(self) -> Window {
        Window {
            step: if self.is_mirrored { -1.0 } else { 1.0 },
            left: self.left as f32,
            top: self.top as f32,
            columns: self.columns.map(|at| at as f32),
            rows: self.rows.map(|at| at as f32),
        }
    }
}
