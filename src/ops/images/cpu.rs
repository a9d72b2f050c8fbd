//! The CPU engine's implementation, an image a task.

use std::ops::Range;

use rayon::prelude::*;

use super::draws::holds;
use super::{ImageDraws, PrepareImages, Turn};
use crate::ops::{CpuTensors, as_u32};

/// One image: its bytes and what is to become of it.
struct Image<'a> {
    op: &'a PrepareImages,
    bytes: &'a [u8],
    mean: Option<&'a [f32]>,
    draws: ImageDraws,
}

pub(super) fn prepare(op: &PrepareImages, io: &mut CpuTensors<'_>) {
    let size = op.image[0] * op.size[0] * op.size[1];
    let words = as_u32(io.inputs[0]).par_chunks(op.words());
    let rows = io.inputs[1].par_chunks(op.draws());
    let mean = op.has_mean.then(|| io.inputs[2]);
    let images = io.outputs[0].par_chunks_mut(size).zip(words).zip(rows);
    // A small image is done before a thread is awake.
    images.with_min_len((16_384 / size).max(1)).for_each(|((output, words), row)| {
        let (draws, lines) = ImageDraws::read(row);
        let image = Image { op, bytes: bytemuck::cast_slice(words), mean, draws };
        image.write(lines, output);
    });
}

/// The places of a side from the first to before the last.
fn span([first, last]: [f32; 2], side: usize) -> Range<usize> {
    let first = (first as usize).min(side);
    first..(last as usize).clamp(first, side)
}

impl Image<'_> {
    fn write(&self, lines: &[[f32; 2]], output: &mut [f32]) {
        let (draws, [height, width]) = (&self.draws, self.op.size);
        let plane = height * width;
        for (channel, values) in output.chunks_exact_mut(plane).enumerate() {
            for (y, row) in values.chunks_exact_mut(width).enumerate() {
                if self.op.turned.is_none() {
                    self.take_row(channel, y as f32, row);
                    continue;
                }
                for (x, value) in row.iter_mut().enumerate() {
                    let (y, x) = (y as f32, x as f32);
                    *value = match draws.last.shows(y, x) {
                        true => {
                            let column = draws.last.left + draws.last.step * x;
                            self.turned(channel, draws.last.top + y, column)
                        }
                        false => 0.0,
                    };
                }
            }
        }
        self.vary(output);
        for (channel, (values, [factor, addend])) in
            output.chunks_exact_mut(plane).zip(lines).enumerate()
        {
            let added = if self.op.image[0] == 3 { draws.colour[channel] } else { 0.0 };
            values.iter_mut().for_each(|value| *value += added);
            let (rows, columns) =
                (span(draws.hidden_rows, height), span(draws.hidden_columns, width));
            for row in values.chunks_exact_mut(width).take(rows.end).skip(rows.start) {
                row[columns.clone()].fill(0.0);
            }
            values.iter_mut().for_each(|value| *value = *value * factor + addend);
        }
    }

    /// A row of the output where nothing is turned: a row of the bytes, forwards or backwards, less
    /// its mean, and 0 where either window shows nothing.
    fn take_row(&self, channel: usize, y: f32, row: &mut [f32]) {
        let ImageDraws { first, last, .. } = &self.draws;
        row.fill(0.0);
        let middle = last.top + y;
        if !holds(last.rows, y) || !holds(first.rows, middle) {
            return;
        }
        // Column x comes from column `last.left + last.step x` between the windows.
        let ends = first.columns.map(|end| (end - last.left) * last.step);
        let [low, high] = if last.step > 0.0 { ends } else { [ends[1] + 1.0, ends[0] + 1.0] };
        let (low, high) = (low.max(last.columns[0]), high.min(last.columns[1]));
        let [_, height, width] = self.op.image;
        let line = (channel * height + (first.top + middle) as usize) * width;
        let source = |x: f32| first.left + first.step * (last.left + last.step * x);
        let count = (high - low).max(0.0) as usize;
        let step = first.step * last.step;
        let start = if step > 0.0 { source(low) } else { source(high - 1.0) };
        let places = line + start.max(0.0) as usize..line + start.max(0.0) as usize + count;
        let target = row.get_mut(low.max(0.0) as usize..).and_then(|row| row.get_mut(..count));
        let (Some(target), Some(bytes)) = (target, self.bytes.get(places.clone())) else { return };
        for (value, &byte) in target.iter_mut().zip(bytes) {
            *value = f32::from(byte);
        }
        if let Some(mean) = self.mean.and_then(|mean| mean.get(places)) {
            target.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean);
        }
        if step < 0.0 {
            target.reverse();
        }
    }

    /// The byte less its mean that comes to this place of the first window.
    fn at(&self, channel: usize, row: f32, column: f32) -> f32 {
        let window = &self.draws.first;
        if !window.shows(row, column) {
            return 0.0;
        }
        let (row, column) = (window.top + row, window.left + window.step * column);
        let [_, height, width] = self.op.image;
        let at = (channel * height + row as usize) * width + column as usize;
        let value = self.bytes.get(at).map_or(0.0, |&byte| f32::from(byte));
        self.mean.and_then(|mean| mean.get(at)).map_or(value, |mean| value - mean)
    }

    fn turned(&self, channel: usize, row: f32, column: f32) -> f32 {
        let Some([height, width]) = self.op.turned else { return self.at(channel, row, column) };
        let (turn, middle) = (&self.draws.turn, [height, width].map(Turn::centre));
        let (dy, dx) = (row - middle[0] - turn.shift[1], column - middle[1] - turn.shift[0]);
        let (across, down) = (turn.cos * dx + turn.sin * dy, turn.cos * dy - turn.sin * dx);
        let x = turn.mirror * (across - turn.shear * down) + middle[1];
        let y = down + middle[0];
        let (left, top) = (x.floor(), y.floor());
        let (right_part, bottom_part) = (x - left, y - top);
        let line = |row: f32| {
            let right = self.at(channel, row, left + 1.0);
            self.at(channel, row, left) * (1.0 - right_part) + right * right_part
        };
        line(top) * (1.0 - bottom_part) + line(top + 1.0) * bottom_part
    }

    /// Contrast, brightness and saturation. What is outside of the last window stays 0.
    fn vary(&self, output: &mut [f32]) {
        let (draws, [height, width]) = (&self.draws, self.op.size);
        let is_level = draws.contrast == 1.0 && draws.offset == 0.0;
        let is_coloured = draws.saturation != 1.0 && self.op.image[0] == 3;
        if is_level && !is_coloured {
            return;
        }
        let plane = height * width;
        let shown = |y: usize, x: usize| draws.last.shows(y as f32, x as f32);
        for at in (0..plane).filter(|at| shown(at / width, at % width)) {
            if !is_level {
                for value in output[at..].iter_mut().step_by(plane) {
                    *value = (*value * draws.contrast + draws.offset).clamp(0.0, 255.0);
                }
            }
            if is_coloured {
                let [red, green, blue] = [0, 1, 2].map(|channel| output[channel * plane + at]);
                let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
                for value in output[at..].iter_mut().step_by(plane) {
                    *value = (grey + (*value - grey) * draws.saturation).clamp(0.0, 255.0);
                }
            }
        }
    }
}
