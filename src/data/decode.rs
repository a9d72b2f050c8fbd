//! From the bytes of a PNG or JPEG file to a [`Picture`].

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use super::Picture;
use crate::error::{Error, Result};

/// No side of a picture may be longer.
const MOST_SIDE: u32 = 1 << 15;
/// No picture may take more memory while it is decoded.
const MOST_BYTES: u64 = 512 << 20;
/// No file may be longer: a picture that fits the memory above takes less even uncompressed.
const MOST_FILE: u64 = 512 << 20;

/// Decodes the file at `path` to red, green and blue.
///
/// What it is, PNG or JPEG, is told from its content. Grey becomes three equal channels, 16 bits
/// become 8, CMYK becomes RGB, alpha is dropped, and the picture is turned and mirrored as its EXIF
/// orientation says.
///
/// Errors where the file cannot be read, is no such picture, is cut short, or is larger than
/// 32,768 pixels along a side or than 512 MiB when decoded.
pub fn read(path: &Path) -> Result<Picture> {
    read_into(path, vec![])
}

/// [`read`], the picture in the place of `memory` where it fits.
pub(super) fn read_into(path: &Path, memory: Vec<u8>) -> Result<Picture> {
    let failed = |e| Error::io(path, e, "check that it is a readable file");
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        // Opening a pipe would wait for its writer.
        return Err(Error::data(path, "is not a file; a PNG or JPEG file was expected"));
    }
    let mut bytes = Vec::with_capacity(kind.len().min(MOST_FILE) as usize);
    File::open(path).and_then(|f| f.take(MOST_FILE).read_to_end(&mut bytes)).map_err(failed)?;
    decode(&bytes, memory).map_err(|problem| Error::data(path, problem))
}

/// Decodes the content of a file, as [`read_into`] does; an error is a reason in words.
fn decode(bytes: &[u8], mut memory: Vec<u8>) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty; a PNG or JPEG file was expected".into());
    }
    let problem = |e: image::ImageError| {
        let words = e.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        format!("it cannot be read as a picture ({words}); give a PNG or JPEG file")
    };
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| problem(image::ImageError::IoError(e)))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    if bytes.starts_with(&[0xff, 0xd8]) && !has_end(bytes) {
        // The decoder would fill what is missing with grey.
        return Err("the JPEG file is cut short: its end-of-image marker is missing".into());
    }
    let mut decoder = reader.into_decoder().map_err(problem)?;
    if decoder.total_bytes() > MOST_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(format!(
            "{width}x{height} pixels take {} MiB, the limit is {} MiB; make it smaller",
            decoder.total_bytes() >> 20,
            MOST_BYTES >> 20
        ));
    }
    let orientation = decoder.orientation().map_err(problem)?;
    let (width, height) = decoder.dimensions();
    // What nearly every photograph is needs no further steps.
    let rgb = if decoder.color_type() == ColorType::Rgb8 {
        memory.resize(decoder.total_bytes() as usize, 0);
        decoder.read_image(&mut memory).map_err(problem)?;
        RgbImage::from_raw(width, height, memory).map(DynamicImage::from)
    } else {
        Some(DynamicImage::from_decoder(decoder).map_err(problem)?)
    };
    let mut image = rgb.ok_or("its size is not what its header says")?;
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    let shape = [3, rgb.height() as usize, rgb.width() as usize];
    Picture::new(shape, rgb.into_raw()).map_err(|e| e.to_string())
}

/// Whether an end-of-image marker follows the last start of a scan. Neither occurs in the compressed
/// data, where every byte 0xff is followed by 0 (ITU-T T.81, B.1.1.5).
fn has_end(jpeg: &[u8]) -> bool {
    let marker = jpeg.windows(2).rev().find(|w| matches!(w, [0xff, 0xd9 | 0xda]));
    marker.is_some_and(|marker| marker[1] == 0xd9)
}

#[cfg(test)]
mod tests;
