//! The part of a picture that an image shows, found before a pixel is touched: the pixels that a crop
//! leaves out are never scaled.

use super::{Scratch, Transform, geometry};
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

    /// Scales what the view shows of `picture` into the bytes of `scratch`, and returns its shape.
    ///
    /// Errors where the view is larger than a picture may be.
    fn scale(&self, picture: &Picture, scratch: &mut Scratch) -> Result<[usize; 3]> {
        let (View { height, width, .. }, region) = (self, self.region.within(picture));
        let bytes = std::mem::take(&mut scratch.bytes);
        let scaled = picture.resized_into(bytes, region, *height, *width, &mut scratch.resizer)?;
        let shape = scaled.shape();
        scratch.bytes = scaled.into_bytes();
        Ok(shape)
    }
}

/// An image in the bytes of a [`Scratch`], after the first of its transforms.
pub(super) struct Shown {
    pub label: u32,
    pub shape: [usize; 3],
    /// Transforms that are done.
    pub done: usize,
    order: Order,
}

/// How its bytes lie.
enum Order {
    /// Channel, row, column.
    Planes,
    /// Row, column, channel; and whether the columns run from right to left.
    Pixels { is_mirrored: bool },
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
            return Ok(label.map(|label| Shown { label, shape, done: 0, order: Order::Planes }));
        };
        let memory = std::mem::take(&mut scratch.decoded);
        let Some((picture, label)) = dataset.picture(index, memory)? else { return Ok(None) };
        let (mut view, mut done) = (View::of(&picture, first, &mut stream(0)), 1);
        for next in list[1..].iter().take_while(|next| View::takes(next)) {
            view = view.after(next, &mut stream(done))?;
            done += 1;
        }
        let shape = view.scale(&picture, scratch)?;
        scratch.decoded = picture.into_bytes();
        let order = Order::Pixels { is_mirrored: view.is_mirrored };
        Ok(Some(Shown { label, shape, done, order }))
    }

    /// Writes the image, which lies in `bytes`, to `values` in planes; `lines` are the factor and the
    /// addend of each channel.
    pub fn write(&self, bytes: &[u8], lines: &[(f32, f32)], values: &mut [f32]) {
        let [channels, height, width] = self.shape;
        let (plane, width) = ((height * width).max(1), width.max(1));
        let is_mirrored = matches!(self.order, Order::Pixels { is_mirrored: true });
        match (&self.order, channels, lines) {
            (Order::Pixels { .. }, 3, &[red, green, blue]) => {
                let (reds, rest) = values.split_at_mut(plane);
                let (greens, blues) = rest.split_at_mut(plane);
                let rows = reds.chunks_mut(width).zip(greens.chunks_mut(width));
                let rows = rows.zip(blues.chunks_mut(width)).zip(bytes.chunks(3 * width));
                for (((reds, greens), blues), pixels) in rows {
                    let row = reds.iter_mut().zip(&mut *greens).zip(&mut *blues);
                    for (((r, g), b), pixel) in row.zip(pixels.chunks_exact(3)) {
                        *r = f32::from(pixel[0]) * red.0 + red.1;
                        *g = f32::from(pixel[1]) * green.0 + green.1;
                        *b = f32::from(pixel[2]) * blue.0 + blue.1;
                    }
                    if is_mirrored {
                        // Now, while the row is near the processor.
                        [reds, greens, blues].into_iter().for_each(<[f32]>::reverse);
                    }
                }
            }
            // One channel lies in both orders alike.
            _ => {
                let planes = bytes.chunks(plane).zip(values.chunks_mut(plane));
                for ((from, to), &(factor, addend)) in planes.zip(lines) {
                    let pairs = to.iter_mut().zip(from);
                    pairs.for_each(|(to, &from)| *to = f32::from(from) * factor + addend);
                }
                if is_mirrored {
                    geometry::mirror(values, self.shape);
                }
            }
        }
    }
}
