//! Pictures: learned filters and how they came about, curves, heat maps, contact sheets.

pub(crate) mod axis;
mod canvas;
pub mod contact;
pub mod curves;
pub mod film;
pub mod filters;
pub mod heat;
pub(crate) mod html;
mod rates;
pub(crate) mod series;
pub mod tiles;

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::io::write_atomic;

pub use curves::Curves;
pub use rates::LearningRates;
pub use tiles::Tile;

/// Writes `picture` to `path` as a PNG file, whole or not at all.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn save_png(picture: &RgbImage, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = png(picture)
        .map_err(|error| Error::data(path, format!("the picture cannot be encoded: {error}")))?;
    write_atomic(path, &bytes)
}

/// `picture` as the bytes of a PNG file.
///
/// # Errors
/// [`Error::Usage`] where it cannot be encoded.
pub(crate) fn encoded(picture: &RgbImage) -> Result<Vec<u8>> {
    png(picture).map_err(|error| Error::Usage(format!("a picture cannot be encoded: {error}")))
}

/// `picture` as the bytes of a PNG file.
pub(crate) fn png(picture: &RgbImage) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}
