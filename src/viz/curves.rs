//! Curves of a training run: the loss by step and the accuracy by epoch.

use std::path::Path;

use image::RgbImage;
use plotters::style::RGBColor;

use super::axis::Axis;
use super::canvas::{Align, Canvas, Colour, Lettering, paint};
use super::save_png;
use super::series::{between, decimate, finite, moving_mean, percentile};
use crate::error::{Error, Result};

/// Width of the picture that [`Curves::save`] writes, in pixels.
pub const WIDTH: u32 = 1000;
/// Height of the picture that [`Curves::save`] writes, in pixels.
pub const HEIGHT: u32 = 450;

const HEADING: Colour = RGBColor(30, 36, 44);
const LABEL: Colour = RGBColor(96, 106, 120);
const GRID: Colour = RGBColor(231, 235, 240);
const BASE: Colour = RGBColor(176, 184, 196);
pub(super) const RAW: Colour = RGBColor(188, 212, 241);
pub(super) const TRAIN: Colour = RGBColor(32, 98, 178);
const TEST: Colour = RGBColor(226, 106, 38);

pub(super) const TITLE_TEXT: Lettering = Lettering { size: 16.0, bold: true, colour: HEADING };
const HEADING_TEXT: Lettering = Lettering { size: 13.0, bold: true, colour: HEADING };
const LABEL_TEXT: Lettering = Lettering { size: 11.5, bold: false, colour: LABEL };

/// From this ratio of the largest to the smallest smoothed loss on, the loss axis is logarithmic.
const LOG_RATIO: f64 = 20.0;

/// What to draw. Every series may be empty; values that are not finite leave gaps.
#[derive(Clone, Copy, Default, Debug)]
pub struct Curves<'a> {
    /// A heading for the picture, or nothing.
    pub title: &'a str,
    /// The steps at which `losses` were measured.
    pub steps: &'a [u64],
    /// The training loss at each of `steps`.
    pub losses: &'a [f32],
    /// The epochs after which the accuracies were measured.
    pub epochs: &'a [u64],
    /// The share of training samples classified rightly, 0 to 1, at each of `epochs`; or empty.
    pub train_top1: &'a [f32],
    /// The share of test samples classified rightly, 0 to 1, at each of `epochs`; or empty.
    pub test_top1: &'a [f32],
}

impl Curves<'_> {
    /// Draws the curves and writes them to `path` as a PNG file of [`WIDTH`] x [`HEIGHT`] pixels.
    ///
    /// # Errors
    /// Those of [`draw`](Self::draw), and [`Error::Io`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_png(&self.draw(WIDTH, HEIGHT)?, path)
    }

    /// Draws the curves: on the left the loss, each step and a moving mean, on a logarithmic axis
    /// where it falls far; on the right the accuracies in percent.
    ///
    /// # Errors
    /// [`Error::Setting`] for a picture below 400 x 200 or above 8000 x 8000 pixels;
    /// [`Error::Usage`] where a series and its steps or epochs differ in length.
    pub fn draw(&self, width: u32, height: u32) -> Result<RgbImage> {
        if !(400..=8000).contains(&width) || !(200..=8000).contains(&height) {
            let size = format!("{width}x{height}");
            return Err(Error::setting("picture size", size, "from 400x200 to 8000x8000 pixels"));
        }
        let pairs = [
            ("losses", self.losses, "steps", self.steps),
            ("train_top1", self.train_top1, "epochs", self.epochs),
            ("test_top1", self.test_top1, "epochs", self.epochs),
        ];
        for (name, values, of, at) in pairs {
            let optional = of == "epochs" && values.is_empty();
            if values.len() != at.len() && !optional {
                return Err(Error::Usage(format!(
                    "curves need as many {name} as {of}; {} and {} were given",
                    values.len(),
                    at.len()
                )));
            }
        }
        let (w, h) = (f64::from(width), f64::from(height));
        paint(width, height, |canvas| {
            let mut top = 14.0;
            if !self.title.is_empty() {
                canvas.text(self.title, (22.0, 24.0), Align::Left, TITLE_TEXT)?;
                top = 44.0;
            }
            self.loss_panel((w / 2.0 - 34.0 - 56.0) as usize).draw(
                canvas,
                (22.0, top),
                (w / 2.0 - 12.0, h - 8.0),
            )?;
            self.accuracy_panel().draw(canvas, (w / 2.0 + 12.0, top), (w - 22.0, h - 8.0))
        })
    }

    fn loss_panel(&self, columns: usize) -> Panel {
        let raw: Vec<(f64, f64)> =
            self.steps.iter().zip(self.losses).map(|(&s, &l)| (s as f64, f64::from(l))).collect();
        // A sixtieth of the run on either side, once there are enough steps for a mean.
        let reach = if raw.len() < 20 { 0 } else { raw.len().div_ceil(60) };
        let smooth = moving_mean(&raw, reach);
        let (bounds, smooth_bounds) = (finite(&raw), finite(&smooth));
        let mut panel = Panel {
            heading: "Training loss",
            x_name: "step",
            x: step_axis(self.steps),
            y: Axis::linear(0.0, 1.0, 0.0),
            logarithmic: false,
            marks: false,
            series: Vec::new(),
        };
        let (Some((low, high)), Some((smooth_low, smooth_high))) =
            (between(&bounds), between(&smooth_bounds))
        else {
            return panel;
        };
        // A few extreme steps may leave the picture; the mean never does.
        let high = percentile(&bounds, 0.995).unwrap_or(high).max(smooth_high);
        panel.logarithmic = smooth_low > 0.0 && smooth_high / smooth_low >= LOG_RATIO;
        panel.y = if panel.logarithmic {
            panel.heading = "Training loss, log scale";
            let positive: Vec<f64> = bounds.into_iter().filter(|&l| l > 0.0).collect();
            let low = percentile(&positive, 0.005).unwrap_or(smooth_low).min(smooth_low);
            Axis::logarithmic(low / 1.2, high * 1.2)
        } else {
            let low = low.min(0.0);
            Axis::linear(low, high + (high - low) * 0.05, 0.0)
        };
        if reach > 0 {
            panel.series.push(Series {
                name: "each step".into(),
                colour: RAW,
                width: 1.0,
                points: decimate(&raw, columns),
            });
        }
        let name = match reach {
            0 => "each step".into(),
            _ => format!("mean of {} steps", 2 * reach + 1),
        };
        let points = decimate(&smooth, columns / 2);
        panel.series.push(Series { name, colour: TRAIN, width: 2.0, points });
        panel
    }

    fn accuracy_panel(&self) -> Panel {
        let mut series = Vec::new();
        let mut all = Vec::new();
        let given = [("training", self.train_top1, TRAIN), ("test", self.test_top1, TEST)];
        for (name, values, colour) in given {
            let points: Vec<(f64, f64)> = self
                .epochs
                .iter()
                .zip(values)
                .map(|(&e, &v)| (e as f64, 100.0 * f64::from(v)))
                .collect();
            let values = finite(&points);
            if let Some(last) = values.last() {
                let name = format!("{name} {last:.1} %");
                series.push(Series { name, colour, width: 2.0, points });
            }
            all.extend(values);
        }
        let (low, high) = between(&all).unwrap_or((0.0, 100.0));
        let pad = ((high - low) * 0.08).max(0.6);
        let y = Axis::linear((low - pad).max(low.min(0.0)), (high + pad).min(high.max(100.0)), 0.0);
        Panel {
            heading: "Top-1 accuracy, %",
            x_name: "epoch",
            x: epoch_axis(self.epochs),
            y,
            logarithmic: false,
            marks: self.epochs.len() <= 40,
            series,
        }
    }
}

fn step_axis(steps: &[u64]) -> Axis {
    let (first, last) = ends(steps);
    // A run from its beginning starts at zero, a resumed one where it was resumed.
    let first = if first <= last / 20.0 { 0.0 } else { first };
    Axis::linear(first, last, 1.0)
}

fn epoch_axis(epochs: &[u64]) -> Axis {
    let (first, last) = ends(epochs);
    if first == last {
        return Axis::linear(first - 1.0, last + 1.0, 1.0);
    }
    Axis::linear(first, last, 1.0)
}

fn ends(counts: &[u64]) -> (f64, f64) {
    let first = counts.iter().min().copied().unwrap_or(0);
    let last = counts.iter().max().copied().unwrap_or(1);
    (first as f64, last as f64)
}

/// One line of a panel.
pub(super) struct Series {
    pub name: String,
    pub colour: Colour,
    pub width: f64,
    pub points: Vec<(f64, f64)>,
}

/// One diagram: axes, lines and their legend.
pub(super) struct Panel {
    pub heading: &'static str,
    pub x_name: &'static str,
    pub x: Axis,
    pub y: Axis,
    pub logarithmic: bool,
    pub marks: bool,
    pub series: Vec<Series>,
}

impl Panel {
    pub(super) fn draw(
        &self,
        canvas: &Canvas<'_>,
        (left, top): (f64, f64),
        (right, bottom): (f64, f64),
    ) -> Result<()> {
        canvas.text(self.heading, (left, top + 10.0), Align::Left, HEADING_TEXT)?;
        self.legend(canvas, right, top + 10.0)?;

        let (x0, x1, y0, y1) = (left + 44.0, right, top + 30.0, bottom - 44.0);
        // Lines keep a little away from the frame so that marks at the ends stay whole.
        let inset = 8.0;
        let x_at = |v: f64| x0 + inset + self.x.place(v) * (x1 - x0 - 2.0 * inset);
        let y_at = |v: f64| y1 - self.y.place(v) * (y1 - y0);
        for (value, label) in &self.y.ticks {
            let y = y_at(*value).round();
            canvas.rectangle((x0, y), (x1, y + 1.0), GRID)?;
            canvas.text(label, (x0 - 8.0, y + 0.5), Align::Right, LABEL_TEXT)?;
        }
        for (value, label) in &self.x.ticks {
            let x = x_at(*value).round();
            canvas.rectangle((x, y0), (x + 1.0, y1), GRID)?;
            canvas.text(label, (x + 0.5, y1 + 15.0), Align::Centre, LABEL_TEXT)?;
        }
        canvas.rectangle((x0, y1), (x1, y1 + 1.0), BASE)?;
        canvas.text(self.x_name, ((x0 + x1) / 2.0, y1 + 34.0), Align::Centre, LABEL_TEXT)?;
        if self.series.is_empty() {
            let middle = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
            return canvas.text("nothing measured", middle, Align::Centre, LABEL_TEXT);
        }
        for series in &self.series {
            let place = |&(x, y): &(f64, f64)| {
                // A loss of zero has no logarithm and is drawn on the lower edge.
                let on_axis = if self.logarithmic { y.log10() } else { y };
                (y.is_finite() && !on_axis.is_nan()).then(|| (x_at(x), y_at(on_axis)))
            };
            let places: Vec<Option<(f64, f64)>> = series.points.iter().map(place).collect();
            for run in places.split(Option::is_none) {
                let run: Vec<(f64, f64)> = run.iter().copied().flatten().collect();
                canvas.line(&run, series.width, series.colour)?;
                if self.marks || run.len() == 1 {
                    for &point in &run {
                        canvas.disc(point, series.width + 1.2, series.colour)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The series' names, from the right.
    fn legend(&self, canvas: &Canvas<'_>, right: f64, y: f64) -> Result<()> {
        let mut x = right;
        for series in self.series.iter().rev() {
            x -= canvas.text_width(&series.name, LABEL_TEXT)?;
            canvas.text(&series.name, (x, y), Align::Left, LABEL_TEXT)?;
            let sample = [(x - 24.0, y), (x - 8.0, y)];
            canvas.line(&sample, series.width.max(2.0), series.colour)?;
            x -= 42.0;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "curves_tests.rs"]
mod tests;
