//! Contact sheets of a data set: a row a class, with its name.

use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};

use super::canvas::{Align, Lettering, paint};
use crate::error::{Error, Result};

/// Images along a row.
pub const COLUMNS: usize = 12;
/// Rows; more classes are left out.
pub const ROWS: usize = 40;
/// The longer side of an image on the sheet, in pixels, as near as whole multiples allow.
const TILE: u32 = 64;
const GAP: u32 = 4;
/// Room for the names.
const LABEL: u32 = 150;
/// Letters of a name that fit.
const LETTERS: usize = 18;

/// A row of a sheet.
#[derive(Clone, Debug)]
pub struct Row {
    /// What stands before it.
    pub name: String,
    /// Images of the shape that [`sheet`] is told, bytes in the order channel, row, column.
    pub images: Vec<Vec<u8>>,
}

/// Draws rows of images of `shape` `[channels, height, width]`: small ones by whole multiples, large
/// ones scaled down. At most [`ROWS`] rows and [`COLUMNS`] images of each are drawn.
///
/// Errors where there are no rows, neither 1 nor 3 channels, or an image of another size.
pub fn sheet(rows: &[Row], shape: [usize; 3]) -> Result<RgbImage> {
    let rows = &rows[..rows.len().min(ROWS)];
    let [channels, height, width] = shape;
    let side = [height, width].map(|v| u32::try_from(v).ok().filter(|&v| v > 0));
    let ([Some(height), Some(width)], 1 | 3, false) = (side, channels, rows.is_empty()) else {
        return Err(Error::Usage(format!(
            "a contact sheet of {} rows of {shape:?} cannot be drawn; images need 1 or 3 channels",
            rows.len()
        )));
    };
    let longer = height.max(width);
    let tile = |side: u32| match longer < TILE {
        true => side * (TILE / longer),
        false => (side * TILE).div_ceil(longer),
    };
    let (tile_height, tile_width) = (tile(height), tile(width));
    let columns = rows.iter().map(|row| row.images.len().min(COLUMNS)).max().unwrap_or(0) as u32;
    let sheet_width = LABEL + columns * (tile_width + GAP) + GAP;
    let sheet_height = rows.len() as u32 * (tile_height + GAP) + GAP;
    let top = |row: usize| GAP + row as u32 * (tile_height + GAP);
    let mut sheet = paint(sheet_width, sheet_height, |canvas| {
        let lettering = Lettering { size: 13.0, bold: false, colour: super::canvas::BLACK };
        for (index, row) in rows.iter().enumerate() {
            let middle = f64::from(top(index)) + f64::from(tile_height) / 2.0;
            let name: String = row.name.chars().take(LETTERS).collect();
            canvas.text(&name, (f64::from(2 * GAP), middle), Align::Left, lettering)?;
        }
        Ok(())
    })?;
    for (index, row) in rows.iter().enumerate() {
        for (column, pixels) in (0u32..).zip(row.images.iter().take(COLUMNS)) {
            let image = picture(pixels, channels, height, width)?;
            let filter = if longer < TILE { FilterType::Nearest } else { FilterType::Triangle };
            let image = resize(&image, tile_width, tile_height, filter);
            let left = LABEL + column * (tile_width + GAP);
            overlay(&mut sheet, &image, left.into(), top(index).into());
        }
    }
    Ok(sheet)
}

/// An image in planes as a picture.
fn picture(pixels: &[u8], channels: usize, height: u32, width: u32) -> Result<RgbImage> {
    let plane = height as usize * width as usize;
    if pixels.len() != channels * plane {
        let (is, needs) = (pixels.len(), channels * plane);
        return Err(Error::Usage(format!("an image of {is} bytes on a sheet of those of {needs}")));
    }
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let at = (y * width + x) as usize;
        let channel = |c: usize| pixels[if channels == 3 { c * plane + at } else { at }];
        Rgb([channel(0), channel(1), channel(2)])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_their_rows() {
        let image = |value: u8| [vec![value; 6], vec![0; 6], vec![255 - value; 6]].concat();
        let rows = [
            Row { name: "first".into(), images: vec![image(10), image(200)] },
            Row { name: "second".into(), images: vec![image(90)] },
        ];
        let sheet = sheet(&rows, [3, 2, 3]).unwrap();
        // A 2x3 image is shown 21 times as large.
        assert_eq!(sheet.dimensions(), (150 + 2 * 67 + 4, 2 * 46 + 4));
        for (x, y, value) in [(150, 4, 10), (212, 45, 10), (217, 20, 200), (155, 50, 90)] {
            assert_eq!(sheet.get_pixel(x, y).0, [value, 0, 255 - value], "{x} {y}");
        }
        assert_eq!(sheet.get_pixel(230, 60).0, [255; 3], "no image there");
        let ink =
            |y0: u32, y1: u32| (y0..y1).any(|y| (0..150).any(|x| sheet.get_pixel(x, y).0[0] < 100));
        assert!(ink(4, 46) && ink(50, 92));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let row = Row { name: "a".into(), images: vec![vec![0; 8]] };
        assert!(sheet(&[], [1, 2, 2]).is_err());
        assert!(sheet(std::slice::from_ref(&row), [2, 2, 2]).is_err());
        assert!(sheet(std::slice::from_ref(&row), [1, 2, 2]).is_err());
        assert!(sheet(&[row], [1, 0, 2]).is_err());
    }
}
