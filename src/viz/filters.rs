//! Contact sheets of convolution filters. The first layer of a trained network is where the Gabor
//! filters appear: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
//! Convolutional Neural Networks" (2012), figure 3.

use std::path::Path;

use image::{Rgb, RgbImage};

use super::save_png;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Extent in pixels that a sheet is scaled to, as near as whole pixels per weight allow.
const TARGET_WIDTH: usize = 760;
/// A sheet of few, tall filters is scaled to this height instead.
const TARGET_HEIGHT: usize = 640;
/// More filters than this cannot be told apart on one sheet; the first ones are shown.
const MOST_FILTERS: usize = 1024;
/// Input channels shown of filters that have neither one channel nor three.
const MOST_CHANNELS: usize = 32;
/// Filters shown of a layer that has neither one input channel nor three.
const MOST_COLUMNS: usize = 64;
/// Behind the filters: darker than the mid-grey of a zero weight, so that their edges show.
const BACKGROUND: Rgb<u8> = Rgb([22, 24, 29]);

/// Draws the filters of a convolution, a tensor `[out_channels, in_channels, kernel_height,
/// kernel_width]` of `f32`.
///
/// Each filter is scaled by its own largest magnitude, `grey = 1/2 + weight / (2 max |weight|)`, so
/// that a weight of zero is mid-grey: how bright the tiles are says nothing about how large the filters are
/// beside one another. Filters with three input channels are drawn in colour, from the
/// greyest to the most colourful, row by row (the share of the sum of squares that the three channels do not
/// have in common; each tile is as it was learned, only the places are changed), and those with one
/// in grey, in their own order, both in a near-square grid; otherwise there is a column per filter and a row
/// per input channel. Weights that are not finite count as zero. The sheet is 600 to 900 pixels
/// wide unless the filters are few and tall or very many.
///
/// # Errors
/// [`Error::Usage`] for a tensor of another type or rank, or without elements.
pub fn sheet(filters: &Tensor) -> Result<RgbImage> {
    draw(filters, &largest_of_each(filters)?, &order(filters)?)
}

/// The sheets of the same filters at several times. A filter's scale is the same on all: the largest
/// magnitude that it ever has. So is its place: the one that it has at last.
///
/// # Errors
/// As [`sheet`], and [`Error::Usage`] where there are none or their shapes differ.
pub fn sheets(times: &[Tensor]) -> Result<Vec<RgbImage>> {
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return Err(Error::Usage("there are no filters to draw".into()));
    };
    let mut scales = largest_of_each(first)?;
    for filters in times {
        if filters.ty() != first.ty() {
            let (a, b) = (first.ty(), filters.ty());
            return Err(Error::Usage(format!("filters at several times are {a} and {b}")));
        }
        let now = largest_of_each(filters)?;
        scales.iter_mut().zip(now).for_each(|(scale, now)| *scale = scale.max(now));
    }
    let order = order(last)?;
    times.iter().map(|filters| draw(filters, &scales, &order)).collect()
}

/// The largest finite magnitude in each filter.
fn largest_of_each(filters: &Tensor) -> Result<Vec<f32>> {
    let (weights, dims) = (filters.as_f32()?, filters.shape().dims());
    if dims.len() != 4 || weights.is_empty() {
        return Err(refusal(filters));
    }
    Ok(weights.chunks(filters.shape().per_sample()).map(largest).collect())
}

/// The filters in the order in which they are drawn.
fn order(filters: &Tensor) -> Result<Vec<usize>> {
    let (weights, per_filter) = (filters.as_f32()?, filters.shape().per_sample().max(1));
    let mut order: Vec<usize> = (0..weights.len() / per_filter).collect();
    if filters.shape().dims().get(1) == Some(&3) {
        let colours: Vec<_> = weights.chunks(per_filter).map(colourfulness).collect();
        order.sort_by(|&a, &b| colours[a].total_cmp(&colours[b]));
    }
    Ok(order)
}

/// The share of a filter's sum of squares that its red, green and blue do not have in common: 0 of a grey
/// one, 1 where they add up to nothing everywhere.
fn colourfulness(filter: &[f32]) -> f64 {
    let value = |w: f32| if w.is_finite() { f64::from(w) } else { 0.0 };
    let area = filter.len() / 3;
    let (mut grey, mut all) = (0.0, 0.0);
    for at in 0..area {
        let colour = [0, 1, 2].map(|channel| value(filter[channel * area + at]));
        grey += colour.iter().sum::<f64>().powi(2) / 3.0;
        all += colour.iter().map(|c| c * c).sum::<f64>();
    }
    if all > 0.0 { 1.0 - grey / all } else { 0.0 }
}

/// The sheet on which a filter's magnitudes up to that in `largest` are told apart.
fn draw(filters: &Tensor, largest: &[f32], order: &[usize]) -> Result<RgbImage> {
    let weights = filters.as_f32()?;
    let &[out_channels, in_channels, height, width] = filters.shape().dims() else {
        return Err(refusal(filters));
    };
    let area = height * width;
    let filter = |index: usize| &weights[index * in_channels * area..][..in_channels * area];
    let grey = |f: usize, channel: usize, at: usize| {
        let weight = filter(f)[channel * area + at];
        let weight = if weight.is_finite() { weight } else { 0.0 };
        // An all-zero filter has an infinite scale, and 0 times that must be mid-grey too.
        if weight == 0.0 { 128 } else { (127.5 + weight * (127.5 / largest[f])).round() as u8 }
    };

    let grid = match in_channels {
        1 | 3 => Grid::square(out_channels.min(MOST_FILTERS), height, width),
        _ => Grid::new(
            in_channels.min(MOST_CHANNELS),
            out_channels.min(MOST_COLUMNS),
            out_channels.min(MOST_COLUMNS) * in_channels.min(MOST_CHANNELS),
            height,
            width,
        ),
    };
    Ok(grid.paint(|row, column, at| match in_channels {
        3 => [0, 1, 2].map(|channel| grey(order[row * grid.columns + column], channel, at)),
        1 => [grey(row * grid.columns + column, 0, at); 3],
        _ => [grey(column, row, at); 3],
    }))
}

/// Writes the [`sheet`] of `filters` to `path` as a PNG file.
///
/// # Errors
/// Those of [`sheet`], and [`Error::Io`] where the file cannot be written.
pub fn save_sheet(filters: &Tensor, path: impl AsRef<Path>) -> Result<()> {
    save_png(&sheet(filters)?, path)
}

fn refusal(filters: &Tensor) -> Error {
    Error::Usage(format!(
        "filters to draw are f32[out_channels, in_channels, kernel_height, kernel_width] with at \
         least one element, {} was given",
        filters.ty()
    ))
}

/// The largest finite magnitude.
fn largest(weights: &[f32]) -> f32 {
    weights.iter().map(|w| w.abs()).filter(|w| w.is_finite()).fold(0.0, f32::max)
}

/// Where the filters lie on the sheet, in pixels.
#[derive(Debug)]
pub(super) struct Grid {
    rows: usize,
    pub columns: usize,
    count: usize,
    /// Weights of one tile, down and across.
    tile: (usize, usize),
    /// Pixels along the side of one weight.
    scale: usize,
    gap: usize,
}

impl Grid {
    fn new(rows: usize, columns: usize, count: usize, height: usize, width: usize) -> Self {
        // The gaps take about a tenth of a tile; the scale comes from the room with them.
        let fit = |target: usize, tiles: usize, weights: usize| {
            (target as f64 / (tiles as f64 * weights as f64 * 1.1)).round() as usize
        };
        let scale = fit(TARGET_WIDTH, columns, width).min(fit(TARGET_HEIGHT, rows, height)).max(1);
        let gap = (scale * width / 10).clamp(2, 16);
        Grid { rows, columns, count, tile: (height, width), scale, gap }
    }

    /// The grid for `count` tiles that is squarest and leaves fewest places empty, wide rather than
    /// tall.
    pub fn square(count: usize, height: usize, width: usize) -> Self {
        let first = (1..=count).find(|c| c * c >= count).unwrap_or(1);
        let cost = |columns: &usize| {
            let rows = count.div_ceil(*columns);
            2 * (rows * columns - count) + columns.abs_diff(rows)
        };
        let columns = (first..=2 * first).min_by_key(cost).unwrap_or(first).min(count);
        Grid::new(count.div_ceil(columns), columns, count, height, width)
    }

    fn size(&self) -> (usize, usize) {
        let extent =
            |tiles: usize, weights: usize| tiles * (weights * self.scale + self.gap) + self.gap;
        (extent(self.columns, self.tile.1), extent(self.rows, self.tile.0))
    }

    /// The upper left pixel of a tile.
    fn corner(&self, row: usize, column: usize) -> (usize, usize) {
        let (height, width) = self.tile;
        let along =
            |index: usize, weights: usize| self.gap + index * (weights * self.scale + self.gap);
        (along(column, width), along(row, height))
    }

    /// Paints every tile with `colour(row, column, weight's index in its channel)`.
    pub fn paint(&self, colour: impl Fn(usize, usize, usize) -> [u8; 3]) -> RgbImage {
        let (sheet_width, sheet_height) = self.size();
        let mut sheet = RgbImage::from_pixel(sheet_width as u32, sheet_height as u32, BACKGROUND);
        for tile in 0..self.count {
            let (row, column) = (tile / self.columns, tile % self.columns);
            let (left, top) = self.corner(row, column);
            for y in 0..self.tile.0 * self.scale {
                for x in 0..self.tile.1 * self.scale {
                    let at = y / self.scale * self.tile.1 + x / self.scale;
                    let colour = Rgb(colour(row, column, at));
                    sheet.put_pixel((left + x) as u32, (top + y) as u32, colour);
                }
            }
        }
        sheet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: [usize; 4], weight: impl Fn(usize) -> f32) -> Tensor {
        Tensor::f32(dims, (0..dims.iter().product()).map(weight).collect()).unwrap()
    }

    /// The centre pixel of one weight on the sheet.
    fn pixel(sheet: &RgbImage, grid: &Grid, tile: usize, y: usize, x: usize) -> [u8; 3] {
        let (left, top) = grid.corner(tile / grid.columns, tile % grid.columns);
        let half = grid.scale / 2;
        let (x, y) = (left + x * grid.scale + half, top + y * grid.scale + half);
        sheet.get_pixel(x as u32, y as u32).0
    }

    #[test]
    fn a_grey_filter_is_symmetric_around_zero() {
        let weights = [-2.0, 0.0, 1.0, 2.0, -1.0, 0.5];
        let filters = tensor([2, 1, 2, 3], |i| weights[i % 6] * if i < 6 { 1.0 } else { 1e-6 });
        let (picture, grid) = (sheet(&filters).unwrap(), Grid::square(2, 2, 3));
        // 127.5 + 127.5 w / 2, rounded; the second filter differs by its scale alone.
        let expected = [[0u8, 128, 191], [255, 64, 159]];
        for tile in 0..2 {
            for (y, row) in expected.iter().enumerate() {
                for (x, &grey) in row.iter().enumerate() {
                    assert_eq!(pixel(&picture, &grid, tile, y, x), [grey; 3], "{tile} {y} {x}");
                }
            }
        }
        assert_eq!(*picture.get_pixel(0, 0), BACKGROUND);
        assert_eq!((picture.width() as usize, picture.height() as usize), grid.size());
    }

    #[test]
    fn three_channels_are_red_green_blue_on_one_scale() {
        // Filter f has in channel c the weights (f + 1) * [1, -1/2, 0] at c = 0, 1, 2.
        let filters = tensor([4, 3, 5, 5], |i| (i / 75 + 1) as f32 * [1.0, -0.5, 0.0][i / 25 % 3]);
        let (picture, grid) = (sheet(&filters).unwrap(), Grid::square(4, 5, 5));
        assert_eq!((grid.rows, grid.columns), (2, 2));
        for tile in 0..4 {
            assert_eq!(pixel(&picture, &grid, tile, 2, 3), [255, 64, 128]);
        }
    }

    #[test]
    fn grey_comes_before_colour_and_a_film_goes_by_its_end() {
        // Shares of red, green and blue; colourful, grey, in between, of nothing, grey and large.
        let shares = [[1.0, -1.0, 0.0], [1.0; 3], [1.0, 1.0, 0.0], [0.0; 3], [-9.0; 3]];
        let filters = tensor([5, 3, 2, 2], |i| shares[i / 12][i / 4 % 3] * (1 + i % 4) as f32);
        let (picture, grid) = (sheet(&filters).unwrap(), Grid::square(5, 2, 2));
        let colours: Vec<_> = (0..5).map(|tile| pixel(&picture, &grid, tile, 1, 1)).collect();
        assert_eq!(colours, [[255; 3], [128; 3], [0; 3], [255, 255, 128], [255, 0, 128]]);
        let before = tensor([5, 3, 2, 2], |i| (i as f32 * 0.7).sin());
        let times = sheets(&[before, filters]).unwrap();
        assert_eq!(pixel(&times[1], &grid, 1, 1, 1), [128; 3]);
        assert_ne!(pixel(&times[0], &grid, 1, 1, 1), [128; 3]);
    }

    #[test]
    fn other_channel_counts_have_a_row_per_channel() {
        let filters = tensor([3, 2, 1, 2], |i| [4.0, -4.0, 2.0, 1.0][i % 4]);
        let picture = sheet(&filters).unwrap();
        let grid = Grid::new(2, 3, 6, 1, 2);
        for tile in 0..3 {
            assert_eq!(pixel(&picture, &grid, tile, 0, 0), [255; 3]);
            assert_eq!(pixel(&picture, &grid, tile, 0, 1), [0; 3]);
            assert_eq!(pixel(&picture, &grid, tile + 3, 0, 0), [191; 3]);
            assert_eq!(pixel(&picture, &grid, tile + 3, 0, 1), [159; 3]);
        }
    }

    #[test]
    fn weights_that_are_zero_or_not_finite_are_mid_grey() {
        let values = [f32::NAN, f32::INFINITY, 0.0, f32::NEG_INFINITY];
        for filters in [tensor([1, 1, 2, 2], |i| values[i]), tensor([1, 1, 2, 2], |_| 0.0)] {
            let (picture, grid) = (sheet(&filters).unwrap(), Grid::square(1, 2, 2));
            for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                assert_eq!(pixel(&picture, &grid, 0, y, x), [128; 3]);
            }
        }
        let tiny = tensor([1, 1, 1, 2], |i| [f32::from_bits(1), -f32::MAX][i]);
        assert_eq!(pixel(&sheet(&tiny).unwrap(), &Grid::square(1, 1, 2), 0, 0, 1), [0; 3]);
    }

    #[test]
    fn grids_are_near_square_and_sheets_of_a_readable_width() {
        let grids =
            [(1, 1, 1), (2, 1, 2), (16, 4, 4), (20, 4, 5), (32, 4, 8), (64, 8, 8), (96, 8, 12)];
        for (count, rows, columns) in grids {
            let grid = Grid::square(count, 5, 5);
            assert_eq!((grid.rows, grid.columns), (rows, columns), "{count}");
        }
        for count in 1..=300 {
            for kernel in [3, 5, 7, 11] {
                let grid = Grid::square(count, kernel, kernel);
                assert!(
                    grid.rows * grid.columns >= count && (grid.rows - 1) * grid.columns < count
                );
                let (width, height) = grid.size();
                assert!(width <= 950 && height <= 950, "{count} {kernel}: {width}x{height}");
                if count > 4 {
                    assert!(width >= 550, "{count} {kernel}: {width}x{height}");
                }
            }
        }
    }

    #[test]
    fn wrong_tensors_are_refused_in_one_line() {
        let wrong = [
            Tensor::scalar(1.0),
            Tensor::f32([2, 0, 3, 3], vec![]).unwrap(),
            Tensor::u32([1, 1, 1, 1], vec![3]).unwrap(),
        ];
        for tensor in wrong {
            let message = sheet(&tensor).unwrap_err().to_string();
            assert!(message.contains(&tensor.ty().to_string()), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }

    #[test]
    fn the_file_is_a_png_of_the_sheet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filters.png");
        let filters = tensor([6, 3, 3, 3], |i| (i as f32 * 0.7).sin());
        save_sheet(&filters, &path).unwrap();
        assert_eq!(image::open(&path).unwrap().into_rgb8(), sheet(&filters).unwrap());
        let missing = folder.path().join("none/filters.png");
        assert!(save_sheet(&filters, missing).unwrap_err().to_string().contains("none"));
    }
}
