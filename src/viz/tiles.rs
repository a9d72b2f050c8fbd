//! Contact sheets of pictures with a line or two of text under each.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plotters::prelude::RGBColor;

use super::canvas::{Align, Lettering, paint};
use crate::error::{Error, Result};

/// A picture of a sheet, what it is called, and a smaller line below that.
#[derive(Clone, Debug)]
pub struct Tile {
    label: String,
    note: String,
    picture: RgbImage,
}

/// Sheets are about this wide where their pictures are small.
const TARGET_WIDTH: u32 = 1200;
/// Small pictures are enlarged to this side, by a whole factor.
const LEAST_SIDE: u32 = 160;
/// No side of a sheet is longer: more pictures than fit are an error.
const MOST_SIDE: u32 = 8000;
const GAP: u32 = 14;
const TEXT: RGBColor = RGBColor(40, 42, 48);
const FAINT: RGBColor = RGBColor(110, 114, 122);
const TITLE: Lettering = Lettering { size: 17.0, bold: true, colour: TEXT };
const LABEL: Lettering = Lettering { size: 13.0, bold: true, colour: TEXT };
const NOTE: Lettering = Lettering { size: 11.0, bold: false, colour: FAINT };

impl Tile {
    /// A tile; both texts may be empty.
    pub fn new(label: impl Into<String>, note: impl Into<String>, picture: RgbImage) -> Self {
        Tile { label: label.into(), note: note.into(), picture }
    }
}

/// A white sheet with a title, which may be empty, and the tiles in rows. Pictures smaller than
/// 160 pixels are enlarged by a whole factor; texts that are too long for their tile are cut.
///
/// # Errors
/// [`Error::Usage`] where there is no tile, a picture is empty, or the sheet would be longer than 8000 pixels.
pub fn sheet(title: &str, tiles: &[Tile]) -> Result<RgbImage> {
    if tiles.is_empty()
        || tiles.iter().any(|tile| tile.picture.width() * tile.picture.height() == 0)
    {
        return Err(Error::Usage("a contact sheet needs pictures that are not empty".into()));
    }
    let pictures: Vec<_> = tiles.iter().map(|tile| enlarged(&tile.picture, LEAST_SIDE)).collect();
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(1);
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(1);
    let most = ((TARGET_WIDTH + GAP) / (width + GAP)).max(1);
    let rows = (tiles.len() as u32).div_ceil(most);
    // As full rows as there can be.
    let columns = (tiles.len() as u32).div_ceil(rows);
    let has = |text: fn(&Tile) -> &str| tiles.iter().any(|tile| !text(tile).is_empty());
    let label_height = if has(|t| &t.label) { 20 } else { 0 };
    let note_height = if has(|t| &t.note) { 16 } else { 0 };
    let top = if title.is_empty() { 0 } else { 30 };
    let (across, down) = (width + GAP, height + label_height + note_height + GAP);
    let size = (columns * across + GAP, rows * down + GAP + top);
    if size.0.max(size.1) > MOST_SIDE {
        let (count, (width, height)) = (tiles.len(), size);
        return Err(Error::Usage(format!(
            "a sheet of {count} pictures would be {width}x{height} pixels; give fewer or smaller ones"
        )));
    }
    let corner = |i: usize| {
        let (row, column) = (i as u32 / columns, i as u32 % columns);
        (GAP + column * across, top + GAP + row * down)
    };
    let mut sheet = paint(size.0, size.1, |canvas| {
        let fit = |text: &str, lettering| -> Result<String> {
            let (mut shown, mut kept) = (text.to_owned(), text.chars().count());
            while kept > 0 && canvas.text_width(&shown, lettering)? > f64::from(width) {
                kept -= 1;
                shown = text.chars().take(kept).chain("...".chars()).collect();
            }
            Ok(shown)
        };
        if !title.is_empty() {
            canvas.text(title, (f64::from(GAP), 22.0), Align::Left, TITLE)?;
        }
        for (i, tile) in tiles.iter().enumerate() {
            let (x, y) = corner(i);
            let (x, y) = (f64::from(x), f64::from(y + height));
            let label = fit(&tile.label, LABEL)?;
            canvas.text(&label, (x, y + 11.0), Align::Left, LABEL)?;
            let below = y + f64::from(label_height) + 7.0;
            canvas.text(&fit(&tile.note, NOTE)?, (x, below), Align::Left, NOTE)?;
        }
        Ok(())
    })?;
    for (i, picture) in pictures.iter().enumerate() {
        let (x, y) = corner(i);
        imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
    }
    Ok(sheet)
}

/// A picture whose longer side is smaller than `side`, enlarged by the least whole factor that makes it as
/// large, each pixel a square.
pub fn enlarged(picture: &RgbImage, side: u32) -> RgbImage {
    let longest = picture.width().max(picture.height()).max(1);
    let factor = side.div_ceil(longest).max(1);
    let (width, height) = (picture.width() * factor, picture.height() * factor);
    imageops::resize(picture, width, height, FilterType::Nearest)
}

/// The picture of bytes in the order channel, row, column, of one channel or three.
///
/// # Errors
/// [`Error::Usage`] where there are other channels, or the bytes do not fill the shape.
pub fn planar(pixels: &[u8], [channels, height, width]: [usize; 3]) -> Result<RgbImage> {
    let plane = height * width;
    if !matches!(channels, 1 | 3) || pixels.len() != channels * plane {
        return Err(Error::Usage(format!(
            "a picture has one channel or three; {} bytes of {channels}x{height}x{width} were given",
            pixels.len()
        )));
    }
    Ok(RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        Rgb([0, 1, 2].map(|c| pixels[c.min(channels - 1) * plane + at]))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
        RgbImage::from_pixel(width, height, Rgb(colour))
    }

    #[test]
    fn pictures_are_whole_and_in_order_and_labels_below_them() {
        let tiles: Vec<_> = (0..5u8)
            .map(|i| Tile::new(format!("tile {i}"), "note", plain(200, 170, [50 * i, 9, 9])))
            .collect();
        let sheet = sheet("Title", &tiles).unwrap();
        let mut counts = [0; 5];
        let mut centres = [(0, 0); 5];
        for (x, y, pixel) in sheet.enumerate_pixels() {
            if pixel.0[1..] == [9, 9] && pixel.0[0].is_multiple_of(50) {
                let tile = usize::from(pixel.0[0] / 50);
                counts[tile] += 1;
                centres[tile] = (x, y);
            }
        }
        assert_eq!(counts, [200 * 170; 5]);
        assert!(centres.windows(2).all(|w| w[0].0 < w[1].0 || w[0].1 < w[1].1), "{centres:?}");
        let (x, y) = centres[0];
        let below = (x - 199..x).flat_map(|x| (y + 1..y + 20).map(move |y| (x, y)));
        assert!(below.into_iter().any(|(x, y)| sheet.get_pixel(x, y).0[0] < 120), "no label");
    }

    #[test]
    fn small_pictures_are_enlarged_and_long_texts_cut() {
        let long =
            Tile::new("a label that is much longer than the tile is wide", "", plain(7, 4, [0; 3]));
        let sheet = sheet("", &[long]).unwrap();
        assert_eq!(sheet.width(), 161 + 2 * GAP);
        let margin =
            (0..sheet.height()).all(|y| sheet.get_pixel(sheet.width() - 3, y).0 == [255; 3]);
        assert!(margin, "the label leaves the sheet");
        assert_eq!(enlarged(&plain(7, 4, [1; 3]), 28).dimensions(), (28, 16));
        assert_eq!(enlarged(&plain(70, 40, [1; 3]), 28).dimensions(), (70, 40));
    }

    #[test]
    fn what_cannot_be_a_sheet_is_refused() {
        assert!(sheet("", &[]).is_err());
        assert!(sheet("", &[Tile::new("", "", RgbImage::new(0, 5))]).is_err());
        let many = vec![Tile::new("", "", plain(160, 160, [0; 3])); 400];
        assert!(sheet("", &many).unwrap_err().to_string().contains("fewer"));
        assert!(planar(&[0; 8], [2, 2, 2]).is_err() && planar(&[0; 8], [1, 3, 3]).is_err());
        let picture = planar(&[1, 2, 3, 4, 5, 6], [3, 1, 2]).unwrap();
        assert_eq!(picture.get_pixel(1, 0).0, [2, 4, 6]);
    }
}
