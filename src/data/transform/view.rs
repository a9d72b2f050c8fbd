//! The part of a picture that an image shows, found before a pixel is touched: the pixels that a crop
//! leaves out are never scaled.

use super::{Scratch, Transform, geometry};
use crate::data::scale::Output;
use crate::data::{Dataset, Picture, Region};
use crate::error::Result;
use crate::philox::Stream;

/// A region of a picture, the size it is scaled to, and whether it is mirrored then.
pub(super) struct View {
    region: Region,
    height: usize,
    width: usize,
    is_mirrored: bool,
}

impl View {
    /// What `first`, which starts from the picture, takes of it.
    pub fn of(picture: &Picture, first: &Transform, random: &mut Stream) -> Self {
        let (region, height, width) = first.region(picture, random);
        View { region, height, width, is_mirrored: false }
    }

    /// Whether a view can take the transform on.
    pub fn takes(transform: &Transform) -> bool {
        matches!(
            transform,
            Transform::Crop { padding: 0, .. }
                | Transform::CentreCrop { .. }
                | Transform::Flip { .. }
        )
    }

    /// The view after a transform that it takes on, with the same draws as on an image.
    ///
    /// Errors where a crop is larger than the view.
    pub fn after(self, transform: &Transform, random: &mut Stream) -> Result<Self> {
        let shape = [1, self.height, self.width];
        let [_, height, width] = transform.output_shape(shape)?;
        Ok(match *transform {
            Transform::Crop { padding, .. } => {
                let corner = geometry::random_corner(shape, height, padding, random);
                self.part(corner.map(|v| v as f64), height, width)
            }
            Transform::CentreCrop { .. } => {
                let corner = geometry::centre_corner(shape, height);
                self.part(corner.map(|v| v as f64), height, width)
            }
            Transform::Flip { chance } => {
                let turns = geometry::is_mirrored(chance, random);
                View { is_mirrored: self.is_mirrored != turns, ..self }
            }
            _ => self,
        })
    }

    /// The part of `height` x `width` whose upper left corner is `top` down and `left` to the right,
    /// in pixels of the view.
    fn part(self, [top, left]: [f64; 2], height: usize, width: usize) -> Self {
        let down = self.region.height / self.height as f64;
        let across = self.region.width / self.width as f64;
        // Counted from the right, where left and right are exchanged.
        let right = (self.width - width) as f64 - left;
        let left = if self.is_mirrored { right } else { left };
        let region = Region {
            left: self.region.left + left * across,
            top: self.region.top + top * down,
            width: width as f64 * across,
            height: height as f64 * down,
        };
        View { region, height, width, ..self }
    }
}

/// An image in a [`Scratch`], after the first of its transforms.
pub(super) struct Shown {
    pub label: u32,
    pub shape: [usize; 3],
    /// Transforms that are done.
    pub done: usize,
    /// Of the picture, where there is one.
    view: Option<View>,
}

impl Shown {
    /// Image `index` after those of `list` that a view takes on; `None` where it is left out.
    /// `stream` has the random numbers of the transform at a place.
    ///
    /// Errors where the image cannot be read, or a crop is larger than it.
    pub fn of(
        list: &[Transform],
        dataset: &dyn Dataset,
        index: usize,
        stream: impl Fn(usize) -> Stream,
        scratch: &mut Scratch,
    ) -> Result<Option<Self>> {
        let Some(first) = list.first().filter(|first| first.needs_picture()) else {
            let shape = dataset.shape();
            scratch.bytes.resize(shape.iter().product(), 0);
            let label = dataset.try_load(index, &mut scratch.bytes)?;
            return Ok(label.map(|label| Shown { label, shape, done: 0, view: None }));
        };
        let memory = scratch.picture.take().map(Picture::into_bytes).unwrap_or_default();
        let Some((picture, label)) = dataset.picture(index, memory)? else { return Ok(None) };
        let (mut view, mut done) = (View::of(&picture, first, &mut stream(0)), 1);
        for next in list[1..].iter().take_while(|next| View::takes(next)) {
            view = view.after(next, &mut stream(done))?;
            done += 1;
        }
        view.region = view.region.within(&picture);
        picture.check_scaling(view.region, view.height, view.width)?;
        let shape = [picture.shape()[0], view.height, view.width];
        scratch.picture = Some(picture);
        Ok(Some(Shown { label, shape, done, view: Some(view) }))
    }

    /// Writes the image, which lies in `scratch`, to `values` in planes; `lines` are the factor and the
    /// addend of each channel.
    pub fn write(&self, scratch: &mut Scratch, lines: &[(f32, f32)], values: &mut [f32]) {
        let Scratch { picture, bytes, scaler, .. } = scratch;
        if let (Some(view), Some(picture)) = (&self.view, picture) {
            let output = Output::Planes(values, lines);
            let size = [view.height, view.width];
            return scaler.scale(picture, view.region, size, view.is_mirrored, output);
        }
        let [_, height, width] = self.shape;
        let plane = (height * width).max(1);
        let planes = bytes.chunks(plane).zip(values.chunks_mut(plane));
        for ((from, to), &(factor, addend)) in planes.zip(lines) {
            let pairs = to.iter_mut().zip(from);
            pairs.for_each(|(to, &from)| *to = f32::from(from) * factor + addend);
        }
    }
}
