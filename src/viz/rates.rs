//! The picture of a learning-rate finder: the loss over the learning rate.

use std::path::Path;

use image::RgbImage;

use super::axis::Axis;
use super::canvas::{Align, paint};
use super::curves::{Panel, RAW, Series, TITLE_TEXT, TRAIN};
use super::save_png;
use super::series::{between, finite};
use crate::error::{Error, Result};

/// What to draw: for each step its learning rate, its loss and the smoothed loss.
#[derive(Clone, Copy, Default, Debug)]
pub struct LearningRates<'a> {
    /// A heading.
    pub title: &'a str,
    /// The learning rates, all above zero.
    pub rates: &'a [f32],
    /// The losses.
    pub losses: &'a [f32],
    /// The smoothed losses.
    pub smoothed: &'a [f32],
}

impl LearningRates<'_> {
    /// Draws the curves and writes them to `path` as a PNG file of 700 x 450 pixels.
    ///
    /// Errors as [`LearningRates::draw`], and where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_png(&self.draw()?, path)
    }

    /// Draws the curves over a logarithmic axis of learning rates. Losses far above the first smoothed
    /// one leave the picture.
    ///
    /// Errors where the series differ in length or a learning rate is not positive.
    pub fn draw(&self) -> Result<RgbImage> {
        let count = self.rates.len();
        if self.losses.len() != count || self.smoothed.len() != count {
            return Err(Error::Usage("there must be a loss for each learning rate".into()));
        }
        if let Some(rate) = self.rates.iter().find(|rate| !(**rate > 0.0 && rate.is_finite())) {
            return Err(Error::setting("learning rate", rate, "must be positive to be drawn"));
        }
        let points = |losses: &[f32]| -> Vec<(f64, f64)> {
            let rates = self.rates.iter().map(|&rate| f64::from(rate).log10());
            rates.zip(losses.iter().map(|&loss| f64::from(loss))).collect()
        };
        let (raw, smooth) = (points(self.losses), points(self.smoothed));
        let (low, high) = between(&finite(&smooth)).unwrap_or((0.0, 1.0));
        let first = smooth.first().map_or(high, |point| point.1);
        let high = high.min(2.0 * first).max(low);
        let ends = [self.rates.first(), self.rates.last()].map(|rate| rate.copied().unwrap_or(1.0));
        let line =
            |name: &str, colour, width, points| Series { name: name.into(), colour, width, points };
        let panel = Panel {
            heading: "Training loss",
            x_name: "learning rate, log scale",
            x: Axis::logarithmic(ends[0].into(), ends[1].into()),
            y: Axis::linear((low - 0.1 * (high - low)).max(0.0), high * 1.05, 0.0),
            logarithmic: false,
            marks: false,
            series: vec![line("each step", RAW, 1.0, raw), line("smoothed", TRAIN, 2.0, smooth)],
        };
        paint(700, 450, |canvas| {
            canvas.text(self.title, (22.0, 24.0), Align::Left, TITLE_TEXT)?;
            panel.draw(canvas, (22.0, 44.0), (678.0, 442.0))
        })
    }
}
