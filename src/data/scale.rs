//! Another size for a part of a picture: rows are blended, then columns, a few rows at a time, so that
//! what lies between stays near the processor.

use pulp::{Arch, Simd, WithSimd};

use super::{Picture, Region};

/// Rows at a time: they share the weights of a column.
const ROWS: usize = 4;
/// Values of a pixel whose columns have been blended: those of its channels, and others that do not
/// matter, so that a pixel fills a vector.
const LANES: usize = 4;
/// Values of a row that are summed side by side.
const SIDE: usize = 64;
/// Added to a value of 0 to 255, it leaves the nearest whole number in the last bits.
const WHOLE: f32 = 12_582_912.0;

/// Where a scaled picture goes.
pub(super) enum Output<'a> {
    /// Bytes in the order row, column, channel.
    Bytes(&'a mut [u8]),
    /// Values in the order channel, row, column: the byte times a factor plus an addend, a pair for
    /// each channel.
    Planes(&'a mut [f32], &'a [(f32, f32)]),
}

/// Scales pictures, in memory that is there from the last one.
#[derive(Default)]
pub(super) struct Scaler {
    down: Axis,
    across: Axis,
    /// Rows that are blended from rows of the picture, with room for a vector at the last pixel.
    rows: [Vec<f32>; ROWS],
    /// The same rows, their columns blended too.
    pixels: [Vec<[f32; LANES]>; ROWS],
}

impl Scaler {
    /// Scales a region that lies within the picture to `height` x `width`, mirrored left to right if
    /// asked for. Each new pixel is the mean of the old ones under a triangle as wide as two new pixels
    /// (at least two old ones), rounded to a byte. No extent may be 0.
    pub fn scale(
        &mut self,
        picture: &Picture,
        region: Region,
        [height, width]: [usize; 2],
        is_mirrored: bool,
        output: Output<'_>,
    ) {
        Arch::new().dispatch(self.prepare(picture, region, [height, width], is_mirrored, output));
    }

    fn prepare<'a>(
        &'a mut self,
        picture: &'a Picture,
        region: Region,
        [height, width]: [usize; 2],
        is_mirrored: bool,
        output: Output<'a>,
    ) -> Scaling<'a> {
        let [channels, from_height, from_width] = picture.shape();
        self.down.set(from_height, region.top, region.height, 0..height);
        match is_mirrored {
            false => self.across.set(from_width, region.left, region.width, 0..width),
            true => self.across.set(from_width, region.left, region.width, (0..width).rev()),
        }
        let starts = &mut self.across.starts;
        let first = starts.iter().copied().min().unwrap_or(0);
        starts.iter_mut().for_each(|start| *start -= first);
        let columns = starts.iter().copied().max().unwrap_or(0) + self.across.taps;
        let size = columns * channels;
        self.rows.iter_mut().for_each(|row| row.resize(size + LANES, 0.0));
        self.pixels.iter_mut().for_each(|row| row.resize(width, [0.0; LANES]));
        let bytes = &picture.bytes()[first * channels..];
        Scaling { scaler: self, bytes, step: from_width * channels, size, channels, output }
    }
}

/// How new rows or columns come from old ones.
#[derive(Default)]
struct Axis {
    /// Old ones that each new one is the mean of.
    taps: usize,
    /// The first of them.
    starts: Vec<usize>,
    /// `taps` weights for each new one; they sum to 1.
    weights: Vec<f32>,
}

impl Axis {
    /// For an extent of `from`, of which the part at `first` becomes so many as there are `places`.
    fn set(
        &mut self,
        from: usize,
        first: f64,
        part: f64,
        places: impl ExactSizeIterator<Item = usize>,
    ) {
        let step = part / places.len() as f64;
        let radius = step.max(1.0);
        self.taps = ((2.0 * radius).ceil() as usize).min(from);
        self.starts.clear();
        self.weights.clear();
        for place in places {
            let centre = first + (place as f64 + 0.5) * step;
            // The first old pixel whose middle lies under the triangle.
            let start = ((centre - radius + 0.5).floor().max(0.0) as usize).min(from - self.taps);
            let height = |x: usize| (1.0 - (x as f64 + 0.5 - centre).abs() / radius).max(0.0);
            let taps = start..start + self.taps;
            let share = 1.0 / taps.clone().map(height).sum::<f64>();
            self.starts.push(start);
            self.weights.extend(taps.map(|x| (height(x) * share) as f32));
        }
    }
}

/// A [`Scaler`] at work, compiled for the widest vectors that the processor has. Sums have a fixed order,
/// and products are rounded before they are added, so that all processors come to the same bytes.
struct Scaling<'a> {
    scaler: &'a mut Scaler,
    /// The picture from the first column on that is needed.
    bytes: &'a [u8],
    /// From one row of it to the next.
    step: usize,
    /// Values of a row that are needed.
    size: usize,
    channels: usize,
    output: Output<'a>,
}

impl WithSimd for Scaling<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Scaling { scaler, bytes, step, size, channels, mut output } = self;
        let Scaler { down, across, rows, pixels } = scaler;
        let (height, width) = (down.starts.len(), across.starts.len());
        for top in (0..height).step_by(ROWS) {
            // At the end the last rows of before may be left in some; nobody writes them.
            for (y, row) in (top..height).zip(&mut *rows) {
                let weights = &down.weights[y * down.taps..][..down.taps];
                blend_rows(&mut row[..size], &bytes[down.starts[y] * step..], step, weights);
            }
            match channels {
                3 => blend_columns::<3>(rows, across, pixels),
                _ => blend_columns::<1>(rows, across, pixels),
            }
            for (y, row) in (top..height).zip(&*pixels) {
                output.write(y, [channels, height, width], row);
            }
        }
    }
}

/// A row as the weighted sum of rows of bytes that are `step` apart.
#[inline(always)]
fn blend_rows(row: &mut [f32], bytes: &[u8], step: usize, weights: &[f32]) {
    let size = row.len();
    let mut at = 0;
    while at + SIDE <= size {
        let mut sums = [0.0; SIDE];
        for (tap, &weight) in weights.iter().enumerate() {
            let from = &bytes[tap * step + at..][..SIDE];
            for i in 0..SIDE {
                sums[i] += f32::from(from[i]) * weight;
            }
        }
        row[at..at + SIDE].copy_from_slice(&sums);
        // What is left at the end is done with some of what is there already.
        at = if at + SIDE == size { size } else { (at + SIDE).min(size - SIDE) };
    }
    for (at, sum) in row.iter_mut().enumerate().skip(at) {
        *sum = 0.0;
        for (tap, &weight) in weights.iter().enumerate() {
            *sum += f32::from(bytes[tap * step + at]) * weight;
        }
    }
}

/// Pixels as the weighted sums of the pixels of each row.
#[inline(always)]
fn blend_columns<const CHANNELS: usize>(
    rows: &[Vec<f32>; ROWS],
    axis: &Axis,
    pixels: &mut [Vec<[f32; LANES]>; ROWS],
) {
    let size = rows[0].len();
    let rows = rows.each_ref().map(|row| &row[..size]);
    let [a, b, c, d] = pixels;
    let pixels = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    let taps = axis.starts.iter().zip(axis.weights.chunks_exact(axis.taps));
    for (((a, b), (c, d)), (&start, weights)) in pixels.zip(taps) {
        let mut sums = [[0.0; LANES]; ROWS];
        let mut at = start * CHANNELS;
        for &weight in weights {
            for (sum, row) in sums.iter_mut().zip(rows) {
                if let Some(values) = row[at..].first_chunk::<LANES>() {
                    for i in 0..LANES {
                        sum[i] += values[i] * weight;
                    }
                }
            }
            at += CHANNELS;
        }
        [*a, *b, *c, *d] = sums;
    }
}

impl Output<'_> {
    /// Writes row `y` of a picture of `[channels, height, width]`.
    #[inline(always)]
    fn write(&mut self, y: usize, [channels, height, width]: [usize; 3], row: &[[f32; LANES]]) {
        match self {
            Output::Bytes(bytes) => {
                let bytes = &mut bytes[y * width * channels..][..width * channels];
                match channels {
                    3 => write_bytes::<3>(bytes, row),
                    _ => write_bytes::<1>(bytes, row),
                }
            }
            Output::Planes(values, lines) => {
                let planes = values.chunks_exact_mut(height * width).zip(lines.iter());
                for (channel, (plane, &(factor, addend))) in planes.enumerate().take(channels) {
                    for (to, pixel) in plane[y * width..][..width].iter_mut().zip(row) {
                        *to = ((pixel[channel] + WHOLE) - WHOLE) * factor + addend;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn write_bytes<const CHANNELS: usize>(bytes: &mut [u8], row: &[[f32; LANES]]) {
    for (to, pixel) in bytes.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(row) {
        for channel in 0..CHANNELS {
            to[channel] = (pixel[channel] + WHOLE).to_bits() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;

    /// `[channels, height, width]` of a picture, a region `[left, top, width, height]` of it, and
    /// `[height, width]` that it is scaled to.
    type Case = ([usize; 3], [f64; 4], [usize; 2]);

    const CASES: [Case; 7] = [
        ([3, 37, 50], [0.0, 0.0, 50.0, 37.0], [23, 31]),
        ([3, 60, 91], [3.3, 1.7, 60.5, 55.25], [41, 45]),
        ([1, 47, 29], [2.0, 0.5, 20.0, 46.5], [6, 7]),
        ([3, 9, 200], [0.0, 0.0, 200.0, 9.0], [30, 17]),
        ([1, 5, 4], [0.25, 0.0, 3.5, 5.0], [11, 13]),
        ([3, 1, 1], [0.0, 0.0, 1.0, 1.0], [2, 3]),
        ([3, 70, 80], [8.0, 4.0, 64.0, 64.0], [64, 64]),
    ];

    fn picture(shape: [usize; 3]) -> Picture {
        let mut random = Stream::new(31, [0; 3]);
        let size = shape.iter().product();
        Picture::new(shape, (0..size).map(|_| random.below(256) as u8).collect()).unwrap()
    }

    fn region([left, top, width, height]: [f64; 4]) -> Region {
        Region { left, top, width, height }
    }

    fn scaled((shape, part, size): Case, is_mirrored: bool) -> Vec<u8> {
        let mut bytes = vec![0; shape[0] * size[0] * size[1]];
        let output = Output::Bytes(&mut bytes);
        Scaler::default().scale(&picture(shape), region(part), size, is_mirrored, output);
        bytes
    }

    /// The mean under the triangle, over all pixels of the picture.
    fn mean(picture: &Picture, (shape, part, size): Case, [y, x, channel]: [usize; 3]) -> f64 {
        let [channels, height, width] = shape;
        let weight = |old: usize, new: usize, first: f64, extent: f64, to: usize| {
            let step = extent / to as f64;
            let distance = old as f64 + 0.5 - (first + (new as f64 + 0.5) * step);
            (1.0 - distance.abs() / step.max(1.0)).max(0.0)
        };
        let (mut sum, mut all) = (0.0, 0.0);
        for row in 0..height {
            for column in 0..width {
                let weight = weight(row, y, part[1], part[3], size[0])
                    * weight(column, x, part[0], part[2], size[1]);
                let byte = picture.bytes()[(row * width + column) * channels + channel];
                (sum, all) = (sum + weight * f64::from(byte), all + weight);
            }
        }
        sum / all
    }

    #[test]
    fn each_pixel_is_the_mean_under_a_triangle() {
        for case in CASES {
            let ([channels, ..], _, [height, width]) = case;
            let (bytes, mirrored) = (scaled(case, false), scaled(case, true));
            let picture = picture(case.0);
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                for channel in 0..channels {
                    let expected = mean(&picture, case, [y, x, channel]);
                    let byte = |bytes: &[u8], x: usize| bytes[(y * width + x) * channels + channel];
                    let found = byte(&bytes, x);
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < 0.5001, "{case:?} {y} {x} {channel}: {found} {expected}");
                    assert_eq!(found, byte(&mirrored, width - 1 - x), "{case:?} {y} {x}");
                }
            }
        }
    }

    #[test]
    fn planes_have_the_same_bytes_whatever_was_scaled_before() {
        let lines = [(0.25, -3.0), (2.0, 1.0), (0.5, 0.0)];
        let mut scaler = Scaler::default();
        for case in CASES {
            let ([channels, ..], part, size) = case;
            let plane = size[0] * size[1];
            let mut values = vec![f32::NAN; channels * plane];
            let output = Output::Planes(&mut values, &lines[..channels]);
            scaler.scale(&picture(case.0), region(part), size, false, output);
            for (i, byte) in scaled(case, false).into_iter().enumerate() {
                let (pixel, channel) = (i / channels, i % channels);
                let (factor, addend) = lines[channel];
                let expected = f32::from(byte) * factor + addend;
                assert_eq!(values[channel * plane + pixel], expected, "{case:?} {i}");
            }
        }
    }

    #[test]
    fn wide_vectors_come_to_the_same_bytes() {
        for case in CASES {
            let (shape, part, size) = case;
            let mut bytes = vec![0; shape[0] * size[0] * size[1]];
            let output = Output::Bytes(&mut bytes);
            let (mut scaler, picture) = (Scaler::default(), picture(shape));
            let scaling = scaler.prepare(&picture, region(part), size, false, output);
            scaling.with_simd(pulp::Scalar::new());
            assert_eq!(bytes, scaled(case, false), "{case:?}");
        }
    }
}
