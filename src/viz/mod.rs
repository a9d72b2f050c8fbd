//! Pictures of a training run: learned filters and curves.

mod axis;
mod canvas;
pub mod contact;
pub mod curves;
pub mod filters;
mod series;

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::io::write_atomic;

pub use curves::Curves;

/// Writes `picture` to `path` as a PNG file, whole or not at all.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn save_png(picture: &RgbImage, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| Error::data(path, format!("the picture cannot be encoded: {error}")))?;
    write_atomic(path, bytes.get_ref())
}
