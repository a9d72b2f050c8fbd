//! The oracle: each pixel by the formulas.

use super::{ImageDraws, PrepareImages, Turn, Window};
use crate::ops::Arrays;

/// The place that a pixel comes from, where it comes from anywhere.
fn through(window: &Window, row: i64, column: i64) -> Option<(i64, i64)> {
    let is_inside = |[first, last]: [f32; 2], at: i64| (first as i64..last as i64).contains(&at);
    let inside = is_inside(window.rows, row) && is_inside(window.columns, column);
    inside.then(|| (window.top as i64 + row, window.left as i64 + window.step as i64 * column))
}

/// The values of all channels of one image before they are turned.
struct Source<'a> {
    op: &'a PrepareImages,
    words: &'a [f64],
    mean: Option<&'a [f64]>,
    window: Window,
}

impl Source<'_> {
    fn at(&self, channel: usize, row: i64, column: i64) -> f64 {
        let Some((row, column)) = through(&self.window, row, column) else { return 0.0 };
        let [_, height, width] = self.op.image;
        let byte = (channel * height + row as usize) * width + column as usize;
        let value = (self.words[byte / 4] as u32 >> (8 * (byte % 4))) & 255;
        f64::from(value) - self.mean.map_or(0.0, |mean| mean[byte])
    }

    /// `a` at a place between pixels.
    fn between(&self, channel: usize, row: f64, column: f64) -> f64 {
        let (top, left) = (row.floor(), column.floor());
        let mut sum = 0.0;
        for (dy, part_y) in [(0, 1.0 - (row - top)), (1, row - top)] {
            for (dx, part_x) in [(0, 1.0 - (column - left)), (1, column - left)] {
                sum += part_y * part_x * self.at(channel, top as i64 + dy, left as i64 + dx);
            }
        }
        sum
    }

    /// `b` before the colours change.
    fn turned(&self, turn: &Turn, channel: usize, row: i64, column: i64) -> f64 {
        let Some([height, width]) = self.op.turned else { return self.at(channel, row, column) };
        let [cos, sin, shear, mirror] =
            [turn.cos, turn.sin, turn.shear, turn.mirror].map(f64::from);
        let (middle_y, middle_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let x = column as f64 - middle_x - f64::from(turn.shift[0]);
        let y = row as f64 - middle_y - f64::from(turn.shift[1]);
        let (across, down) = (cos * x + sin * y, cos * y - sin * x);
        self.between(channel, down + middle_y, mirror * (across - shear * down) + middle_x)
    }
}

/// The colours of one pixel, changed.
fn varied(draws: &ImageDraws, mut pixel: Vec<f64>) -> Vec<f64> {
    if draws.contrast != 1.0 || draws.offset != 0.0 {
        let line = |v: f64| v * f64::from(draws.contrast) + f64::from(draws.offset);
        pixel.iter_mut().for_each(|v| *v = line(*v).clamp(0.0, 255.0));
    }
    if let ([red, green, blue], true) = (&pixel[..], draws.saturation != 1.0) {
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        let away = |v: f64| grey + (v - grey) * f64::from(draws.saturation);
        pixel.iter_mut().for_each(|v| *v = away(*v).clamp(0.0, 255.0));
    }
    pixel
}

pub(super) fn prepare(op: &PrepareImages, io: &mut Arrays<'_>) {
    let [channels, _, _] = op.image;
    let [height, width] = op.size;
    let batch = io.inputs[0].dims()[0];
    for image in 0..batch {
        let row: Vec<f32> = io.inputs[1].data[image * op.draws()..][..op.draws()]
            .iter()
            .map(|&v| v as f32)
            .collect();
        let (draws, lines) = ImageDraws::read(&row);
        let words = &io.inputs[0].data[image * op.words()..][..op.words()];
        let mean = op.has_mean.then(|| &io.inputs[2].data[..]);
        let source = Source { op, words, mean, window: draws.first };
        for y in 0..height as i64 {
            for x in 0..width as i64 {
                let mut pixel = vec![0.0; channels];
                if let Some((row, column)) = through(&draws.last, y, x) {
                    let all = (0..channels).map(|c| source.turned(&draws.turn, c, row, column));
                    pixel = varied(&draws, all.collect());
                }
                if channels == 3 {
                    let pairs = pixel.iter_mut().zip(draws.colour);
                    pairs.for_each(|(value, added)| *value += f64::from(added));
                }
                let is_hidden = |[first, last]: [f32; 2], at: i64| {
                    first as f64 <= at as f64 && (at as f64) < f64::from(last)
                };
                if is_hidden(draws.hidden_rows, y) && is_hidden(draws.hidden_columns, x) {
                    pixel.fill(0.0);
                }
                for (c, (value, line)) in pixel.iter().zip(lines).enumerate() {
                    let at = ((image * channels + c) * height + y as usize) * width + x as usize;
                    io.outputs[0].data[at] = value * f64::from(line[0]) + f64::from(line[1]);
                }
            }
        }
    }
}
