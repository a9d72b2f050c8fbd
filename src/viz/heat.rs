//! Heat maps, signed pictures and feature maps.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Rgb, RgbImage};

use super::filters::Grid;
use crate::error::{Error, Result};

/// The colours from nothing to most: black, violet, red, orange, pale yellow, even in brightness.
const COLOURS: [[f32; 3]; 5] = [
    [0.0, 0.0, 4.0],
    [87.0, 16.0, 110.0],
    [188.0, 55.0, 84.0],
    [249.0, 142.0, 9.0],
    [252.0, 255.0, 164.0],
];
/// How much of the picture a place of most heat hides.
const STRENGTH: f32 = 0.75;

/// The colour of a value from 0 to 1.
fn colour(value: f32) -> [f32; 3] {
    let place = value.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let index = (place as usize).min(COLOURS.len() - 2);
    let part = place - index as f32;
    [0, 1, 2].map(|c| COLOURS[index][c] + part * (COLOURS[index + 1][c] - COLOURS[index][c]))
}

/// Values as shares of the largest; those that are negative or not finite are 0.
fn shares(values: &[f32]) -> Vec<f32> {
    let good = |v: f32| if v.is_finite() { v.max(0.0) } else { 0.0 };
    let largest = values.iter().map(|&v| good(v)).fold(0.0, f32::max);
    let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
    values.iter().map(|&v| (good(v) * scale).min(1.0)).collect()
}

/// A map `[rows, columns]` as a picture of `size` (width, height), smoothly enlarged. Values from 0 to
/// the largest are dark to bright; negative ones are dark.
///
/// # Errors
/// [`Error::Usage`] where the values do not fill the map, or there are none.
pub fn heat_map(values: &[f32], shape: [usize; 2], size: (u32, u32)) -> Result<RgbImage> {
    let heat = enlarged(values, shape, size)?;
    let pixel = |x, y| Rgb(colour(heat.get_pixel(x, y).0[0]).map(|c| c.round() as u8));
    Ok(RgbImage::from_fn(size.0, size.1, pixel))
}

/// A map over a picture: where it is hot, its colour hides the picture.
///
/// # Errors
/// As [`heat_map`].
pub fn overlay(picture: &RgbImage, values: &[f32], shape: [usize; 2]) -> Result<RgbImage> {
    let heat = enlarged(values, shape, picture.dimensions())?;
    Ok(RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let share = heat.get_pixel(x, y).0[0];
        let (above, below) = (colour(share), picture.get_pixel(x, y).0);
        let part = STRENGTH * share.clamp(0.0, 1.0);
        Rgb([0, 1, 2].map(|c| (f32::from(below[c]) * (1.0 - part) + above[c] * part).round() as u8))
    }))
}

fn enlarged(
    values: &[f32],
    [rows, columns]: [usize; 2],
    (width, height): (u32, u32),
) -> Result<ImageBuffer<Luma<f32>, Vec<f32>>> {
    let map = ImageBuffer::<Luma<f32>, _>::from_raw(columns as u32, rows as u32, shares(values));
    match map {
        Some(map) if values.len() == rows * columns && !values.is_empty() => {
            Ok(imageops::resize(&map, width, height, FilterType::Triangle))
        }
        _ => {
            let given = values.len();
            Err(Error::Usage(format!("a map of {rows}x{columns} was given {given} values")))
        }
    }
}

/// Values of both signs `[channels, height, width]` as a picture: 0 is mid-grey, the value of largest size
/// black or white. One channel is grey, three are red, green and blue.
///
/// # Errors
/// [`Error::Usage`] for other channels, or where the values do not fill the shape.
pub fn signed(values: &[f32], shape: [usize; 3]) -> Result<RgbImage> {
    let largest = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f32::max);
    let scale = if largest > 0.0 { 127.5 / largest } else { 0.0 };
    let bytes: Vec<u8> = values
        .iter()
        .map(|&v| if v.is_finite() { (127.5 + v * scale).round() as u8 } else { 128 })
        .collect();
    super::tiles::planar(&bytes, shape)
}

/// Up to this many feature maps can be told apart on a sheet.
pub const MOST_MAPS: usize = 64;

/// The feature maps `[channels, height, width]` of a layer, in a near-square grid, each scaled by itself from its
/// smallest value, black, to its largest, white; the first 64 where there are more.
///
/// # Errors
/// [`Error::Usage`] where the values do not fill the shape, or there are none.
pub fn feature_maps(values: &[f32], [channels, height, width]: [usize; 3]) -> Result<RgbImage> {
    let plane = height * width;
    if values.is_empty() || values.len() != channels * plane {
        let given = values.len();
        return Err(Error::Usage(format!(
            "feature maps of {channels}x{height}x{width} were given {given} values"
        )));
    }
    let ranges: Vec<_> = values
        .chunks(plane)
        .map(|map| {
            let finite = map.iter().copied().filter(|v| v.is_finite());
            finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        })
        .collect();
    let grid = Grid::square(channels.min(MOST_MAPS), height, width);
    Ok(grid.paint(|row, column, at| {
        let map = row * grid.columns + column;
        let ((low, high), value) = (ranges[map], values[map * plane + at]);
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        [(255.0 * share.clamp(0.0, 1.0)).round() as u8; 3]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_goes_from_dark_to_bright_and_hides_the_picture_where_it_is_hot() {
        let luminance = |v: f32| colour(v).iter().sum::<f32>();
        assert!((0..20).all(|i| luminance(i as f32 / 20.0) < luminance((i + 1) as f32 / 20.0)));
        let values = [-3.0, 0.0, 1.0, 2.0, f32::NAN, 0.0];
        let picture = RgbImage::from_pixel(3, 2, Rgb([10, 200, 90]));
        let over = overlay(&picture, &values, [2, 3]).unwrap();
        for (x, y) in [(0, 0), (1, 0), (1, 1), (2, 1)] {
            assert_eq!(over.get_pixel(x, y).0, [10, 200, 90], "{x} {y}");
        }
        // A quarter of the picture and three quarters of the brightest colour.
        assert_eq!(over.get_pixel(0, 1).0, [192, 241, 146]);
        let map = heat_map(&values, [2, 3], (3, 2)).unwrap();
        assert_eq!((map.get_pixel(0, 0).0, map.get_pixel(0, 1).0), ([0, 0, 4], [252, 255, 164]));
        assert!(
            overlay(&picture, &values, [2, 2]).is_err() && heat_map(&[], [0, 0], (3, 3)).is_err()
        );
        let zeros = heat_map(&[0.0; 4], [2, 2], (5, 5)).unwrap();
        assert!(zeros.pixels().all(|p| p.0 == [0, 0, 4]));
    }

    #[test]
    fn signed_values_are_around_mid_grey() {
        let picture = signed(&[-2.0, 0.0, 2.0, 1.0, f32::NAN, -0.5], [1, 2, 3]).unwrap();
        let greys: Vec<_> = picture.pixels().map(|p| p.0[0]).collect();
        assert_eq!(greys, [0, 128, 255, 191, 128, 96]);
        assert!(signed(&[0.0; 4], [2, 1, 2]).is_err());
    }

    #[test]
    fn each_feature_map_has_its_own_scale() {
        let values: Vec<f32> =
            [0.0, 1.0, 2.0, 4.0].into_iter().flat_map(|v| [v, 3.0 * v - 1.0]).collect();
        let values: Vec<f32> =
            (0..2).flat_map(|c| values.iter().skip(c).step_by(2).copied()).collect();
        let sheet = feature_maps(&values, [2, 1, 4]).unwrap();
        let mut seen: Vec<_> =
            sheet.pixels().filter(|p| p.0[0] == p.0[2]).map(|p| p.0[0]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 64, 128, 255]);
        assert!(feature_maps(&values, [2, 2, 4]).is_err());
        assert!(feature_maps(&[1.0; 70], [70, 1, 1]).is_ok(), "constant maps, more than are shown");
    }
}
