//! The contact sheet of a photograph under several filters.

use image::RgbImage;
use image::imageops::FilterType;

use super::Kernel;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::viz::{Tile, tiles};

/// The picture as it is and under each kernel, labelled, with colours filtered a channel at a time on
/// `device`. It is first scaled down so that its longer side has at most `side` pixels, since a tile that was scaled
/// afterwards would lose what a filter of 3x3 pixels finds.
///
/// Errors where `side` is below 16 or above 2048, or the device fails.
pub fn sheet(
    device: &Device,
    picture: &RgbImage,
    kernels: &[Kernel],
    side: u32,
) -> Result<RgbImage> {
    if !(16..=2048).contains(&side) {
        return Err(Error::setting("size", side, "give 16 to 2048 pixels"));
    }
    let picture = shrunk(picture, side);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let plane = |c: usize| picture.as_raw().iter().skip(c).step_by(3).map(|&v| f32::from(v));
    let planes = Tensor::f32([3, height, width], (0..3).flat_map(plane).collect())?;
    let mut sheet = vec![Tile::new("the picture", "", picture)];
    for kernel in kernels {
        let filtered = kernel.apply(device, &planes)?;
        let values = filtered.as_f32()?;
        let at = |x: u32, y: u32| y as usize * width + x as usize;
        let picture = RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let channel = |c: usize| kernel.shown(values[c * height * width + at(x, y)]);
            image::Rgb([channel(0), channel(1), channel(2)])
        });
        sheet.push(Tile::new(kernel.name(), kernel.text(), picture));
    }
    tiles::sheet("", &sheet)
}

/// The picture with at most `side` pixels along its longer side.
fn shrunk(picture: &RgbImage, side: u32) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= side {
        return picture.clone();
    }
    let scaled = |extent: u32| {
        let extent = f64::from(extent) * f64::from(side) / f64::from(longest);
        (extent.round() as u32).max(1)
    };
    let (width, height) = (scaled(picture.width()), scaled(picture.height()));
    image::imageops::resize(picture, width, height, FilterType::Triangle)
}
