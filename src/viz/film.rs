//! Filters appearing while a network learns, as an animated picture: a PNG file with several frames
//! (APNG), which browsers play and every other program shows the first frame of.

use std::path::Path;

use image::RgbImage;

use super::filters;
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::tensor::Tensor;

/// Milliseconds that a frame stays.
const FRAME_MS: u16 = 120;
/// Milliseconds that the last one stays.
const LAST_MS: u16 = 2500;

/// Writes the [sheets](filters::sheet) of a layer's filters at several times as one animated PNG file. A filter's
/// greys mean the same in all frames: each is scaled by the largest weight that it ever has, so
/// that it is seen to grow.
///
/// # Errors
/// [`Error::Usage`] where there is no frame, a frame is no tensor of filters, or they differ in shape;
/// [`Error::Io`] where the file cannot be written.
pub fn save(frames: &[Tensor], path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let sheets = filters::sheets(frames)?;
    let bytes = encode(&sheets)
        .map_err(|e| Error::data(path, format!("the film cannot be encoded: {e}")))?;
    write_atomic(path, &bytes)
}

/// Errors where the name of a film does not end in `.png`.
pub fn check_name(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png")) {
        return Ok(());
    }
    let remedy = "a film is an animated PNG file; give it a name that ends in .png";
    Err(Error::setting("film", path.display(), remedy))
}

fn encode(sheets: &[RgbImage]) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = sheets.first().map_or((0, 0), RgbImage::dimensions);
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Large squares of one colour: rows repeat.
    encoder.set_filter(png::Filter::Up);
    encoder.set_compression(png::Compression::High);
    encoder.set_animated(sheets.len() as u32, 0)?;
    let mut writer = encoder.write_header()?;
    for (i, sheet) in sheets.iter().enumerate() {
        let is_last = i + 1 == sheets.len();
        writer.set_frame_delay(if is_last { LAST_MS } else { FRAME_MS }, 1000)?;
        writer.write_image_data(sheet.as_raw())?;
    }
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(scale: f32) -> Tensor {
        let weights = (0..8 * 75).map(|i| scale * (i as f32 * 0.7).sin()).collect();
        Tensor::f32([8, 3, 5, 5], weights).unwrap()
    }

    #[test]
    fn all_frames_come_back_and_the_file_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.png");
        let frames: Vec<_> = (0..20).map(|i| filters(0.05 * i as f32)).collect();
        save(&frames, &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() < 150_000, "{} bytes", bytes.len());
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let animation = *reader.info().animation_control().unwrap();
        assert_eq!((animation.num_frames, animation.num_plays), (20, 0));
        let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
        let sheets = filters::sheets(&frames).unwrap();
        for (i, sheet) in sheets.iter().enumerate() {
            reader.next_frame(&mut buffer).unwrap();
            assert_eq!(&buffer, sheet.as_raw(), "{i}");
        }
        assert!(sheets[1] != sheets[19], "the scale is that of the whole film");
        assert_eq!(sheets[19], filters::sheet(&frames[19]).unwrap());
        assert_eq!(image::open(&path).unwrap().into_rgb8(), sheets[0]);
    }

    #[test]
    fn what_is_no_film_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.png");
        assert!(save(&[], &path).is_err());
        assert!(save(&[filters(1.0), Tensor::scalar(1.0)], &path).is_err());
        assert!(!path.exists());
    }
}
