//! The page: HTML with everything inside.

use std::fmt::Write;

use super::chart::{Scale, Series, chart};
use super::{Picture, Report};
use crate::viz::heat;
use crate::viz::html::{data_uri, escaped};
use crate::viz::series;

const STYLE: &str = include_str!("page.css");

/// More classes than these are no longer a table but a picture.
const MOST_CELLS: usize = 25;
/// More classes than these are folded away.
const MOST_ROWS: usize = 40;
/// Confusions that are listed.
const CONFUSIONS: usize = 10;

/// The whole page.
pub(super) fn html(report: &Report) -> String {
    let record = &report.record;
    let (model, data) = (record.setting("model"), record.setting("data"));
    let title = format!("{model} on {data}");
    let mut page = Page(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title} - gabor</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p class=\"quiet\">{}</p>\n",
        escaped(&report.run.display().to_string()),
        title = escaped(&title),
    ));
    page.outcome(report);
    page.curves(report);
    page.confusion(report);
    page.classes(report);
    page.mistakes(report);
    page.filters(report);
    page.maps(report);
    page.times(report);
    page.settings(report);
    page.0 + "</body></html>\n"
}

/// A page under construction. Writing to a string cannot fail.
struct Page(String);

impl Page {
    fn section(&mut self, id: &str, heading: &str, text: &str) {
        let _ = writeln!(self.0, "<h2 id=\"{id}\">{}</h2>", escaped(heading));
        if !text.is_empty() {
            let _ = writeln!(self.0, "<p class=\"quiet\">{}</p>", escaped(text));
        }
    }

    /// A table's heading and its body's beginning.
    fn heading(&mut self, id: &str, cells: &[&str]) {
        let _ = write!(self.0, "<div class=\"scroll\"><table id=\"{id}\"><thead><tr>");
        for cell in cells {
            let _ = write!(self.0, "<th>{}</th>", escaped(cell));
        }
        self.0 += "</tr></thead><tbody>\n";
    }

    fn row(&mut self, cells: &[&str]) {
        self.0 += "<tr>";
        for cell in cells {
            let _ = write!(self.0, "<td>{}</td>", escaped(cell));
        }
        self.0 += "</tr>\n";
    }

    fn end_table(&mut self) {
        self.0 += "</tbody></table></div>\n";
    }

    fn picture(&mut self, picture: &Picture) {
        let (heading, text) = (escaped(&picture.heading), escaped(&picture.text));
        let _ = writeln!(
            self.0,
            "<figure><figcaption><b>{heading}</b> {text}</figcaption><img alt=\"{heading}\" src=\"{}\">\
             </figure>",
            data_uri(&picture.png)
        );
    }

    /// What the run came to, in large figures.
    fn outcome(&mut self, report: &Report) {
        let record = &report.record;
        let mut figures: Vec<(String, String)> = vec![];
        let mut add = |label: &str, value: String| figures.push((label.into(), value));
        if let Some(summary) = &record.summary {
            add("test top-1", percent(summary.test_top1));
            add("test top-5", percent(summary.test_top5));
            add("test loss", number(summary.test_loss, 4));
        }
        if let Some(best) = record.best() {
            add(&format!("best top-1, epoch {}", best.epoch), percent(best.test_top1));
        }
        if let Some(summary) = &record.summary {
            add("steps", summary.steps.to_string());
            add("seconds of training", format!("{:.1}", summary.train_seconds));
        }
        if let Some(speed) = record.images_per_second() {
            add("images a second", format!("{speed:.0}"));
        }
        self.0 += "<div class=\"figures\" id=\"outcome\">";
        for (label, value) in figures {
            let (label, value) = (escaped(&label), escaped(&value));
            let _ = write!(self.0, "<div><b>{value}</b><span class=\"quiet\">{label}</span></div>");
        }
        self.0 += "</div>\n";
        if record.summary.as_ref().is_some_and(|summary| summary.interrupted) {
            self.0 += "<p>The run was ended early.</p>\n";
        }
    }

    fn curves(&mut self, report: &Report) {
        let (steps, epochs) = (&report.record.steps, &report.record.epochs);
        let at = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let of_steps = |value: fn(&super::Step) -> Option<f64>| -> Vec<(f64, f64)> {
            steps.iter().map(|step| (step.step as f64, at(value(step)))).collect()
        };
        // An epoch stands at its last step.
        let of_epochs = |value: fn(&super::Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
            let last = |epoch: u64| steps.iter().rev().find(|step| step.epoch == epoch);
            let points =
                epochs.iter().filter_map(|e| Some((last(e.epoch)?.step as f64, at(value(e)))));
            points.collect()
        };
        let curve = |name, class, points| Series { name, class, points };
        let losses = of_steps(|s| s.loss);
        let smooth = series::moving_mean(&losses, (losses.len() / 60).max(1));
        self.section(
            "curves",
            "Curves",
            "Over the steps of training; the test set after each epoch.",
        );
        self.0 += "<div class=\"grid\">\n";
        self.0 += &chart(
            "Loss",
            Scale::Decades,
            &[
                curve("each step", "faint", losses),
                curve("training", "a", smooth),
                curve("test", "b", of_epochs(|e| e.test_loss)),
            ],
        );
        self.0 += &chart(
            "Top-1",
            Scale::Share,
            &[
                curve("each step", "faint", of_steps(|s| s.top1)),
                curve("training", "a", of_epochs(|e| e.train_top1)),
                curve("test", "b", of_epochs(|e| e.test_top1)),
            ],
        );
        let rates = of_steps(|s| s.learning_rate);
        self.0 += &chart("Learning rate", Scale::Linear, &[curve("", "a", rates)]);
        self.0 += "</div>\n";
    }

    fn confusion(&mut self, report: &Report) {
        let confusion = &report.confusion;
        let text = format!(
            "{} of {} images were told rightly. A row a class, a column what its images were taken for.",
            confusion.right(),
            confusion.images()
        );
        self.section("confusion", "Confusion matrix", &text);
        match confusion.classes().len() {
            0..=MOST_CELLS => self.confusion_table(report),
            _ => self.confusion_picture(report),
        }
        let worst = confusion.worst(CONFUSIONS);
        if !worst.is_empty() {
            self.0 += "<h3>The most frequent confusions</h3>\n";
            self.heading("confusions", &["class", "taken for", "images"]);
            for (label, prediction, count) in worst {
                self.row(&[label, prediction, &count.to_string()]);
            }
            self.end_table();
        }
    }

    fn confusion_table(&mut self, report: &Report) {
        let confusion = &report.confusion;
        let names = std::iter::once("").chain(confusion.classes().iter().map(String::as_str));
        self.heading("confusion-table", &names.collect::<Vec<_>>());
        for (label, class) in confusion.classes().iter().enumerate() {
            let _ = write!(self.0, "<tr><th>{}</th>", escaped(class));
            let row = confusion.row(label);
            let images = row.iter().sum::<u64>().max(1);
            for (prediction, &count) in row.iter().enumerate() {
                let share = count as f64 / images as f64;
                let class = match count {
                    0 => "none",
                    _ if label == prediction => "right",
                    _ => "wrong",
                };
                // A root, so that few mistakes are seen; paler than what is written on it.
                let shade = 0.75 * share.sqrt();
                let _ =
                    write!(self.0, "<td class=\"{class}\" style=\"--v:{shade:.2}\">{count}</td>");
            }
            self.0 += "</tr>\n";
        }
        self.end_table();
    }

    /// Each row by its own share.
    fn confusion_picture(&mut self, report: &Report) {
        let classes = report.confusion.classes().len();
        let mut shares = vec![];
        for label in 0..classes {
            let row = report.confusion.row(label);
            let images = row.iter().sum::<u64>().max(1) as f32;
            shares.extend(row.iter().map(|&count| (count as f32 / images).sqrt()));
        }
        let side = (600_usize.div_ceil(classes).max(1) * classes) as u32;
        let picture = heat::heat_map(&shares, [classes, classes], (side, side));
        if let Ok(png) = picture.and_then(|picture| crate::viz::encoded(&picture)) {
            let text = format!("{classes} classes; bright is often.");
            self.picture(&Picture { heading: String::new(), text, png });
        }
    }

    fn classes(&mut self, report: &Report) {
        let text = "Precision: of the images taken for a class, those that are of it. Recall: of its \
                    images, those that were taken for it.";
        self.section("classes", "Classes", text);
        let figures = report.confusion.figures();
        let is_long = figures.len() > MOST_ROWS;
        if is_long {
            let _ = writeln!(self.0, "<details><summary>{} classes</summary>", figures.len());
        }
        self.heading("classes-table", &["class", "images", "precision", "recall"]);
        for of in &figures {
            let (precision, recall) = (percent(of.precision), percent(of.recall));
            self.row(&[&of.class, &of.images.to_string(), &precision, &recall]);
        }
        self.end_table();
        if is_long {
            self.0 += "</details>\n";
        }
    }

    fn mistakes(&mut self, report: &Report) {
        let text = match report.mistakes.len() {
            0 => "There are none.".to_owned(),
            n => format!(
                "The {n} that the network was surest of: what it is, and what it was taken for."
            ),
        };
        self.section("mistakes", "Worst mistakes", &text);
        self.0 += "<div class=\"mistakes\">\n";
        for mistake in &report.mistakes {
            let (label, prediction) = (escaped(&mistake.label), escaped(&mistake.prediction));
            let _ = writeln!(
                self.0,
                "<figure class=\"mistake\"><img alt=\"{label} taken for {prediction}\" src=\"{}\">\
                 <figcaption><b>{label}</b> <span>{:.1} %</span><br>taken for <b>{prediction}</b> \
                 <span>{:.1} %</span></figcaption>\
                 </figure>",
                data_uri(&mistake.png),
                100.0 * mistake.own,
                100.0 * mistake.probability,
            );
        }
        self.0 += "</div>\n";
    }

    fn filters(&mut self, report: &Report) {
        if let Some(filters) = &report.filters {
            self.section("filters", "Filters of the first layer", "");
            self.picture(filters);
        }
    }

    fn maps(&mut self, report: &Report) {
        let text = "What the layers make of an image; each map from its least value, black, to its \
                    greatest, white.";
        self.section("maps", "Feature maps", text);
        self.0 += "<div class=\"maps\">\n";
        report.maps.iter().for_each(|picture| self.picture(picture));
        self.0 += "</div>\n";
    }

    fn times(&mut self, report: &Report) {
        let times = &report.times;
        let (steps, batch) = (times.steps, times.batch);
        let of_steps =
            if steps == 1 { "one step".into() } else { format!("medians of {steps} steps") };
        let text = format!(
            "A step of training on {batch} images, in milliseconds, on {}: {of_steps}, by {}. Measured for \
             this page.",
            times.device,
            times.clock.describe()
        );
        self.section("times", "Time of each layer", &text);
        self.heading(
            "times-table",
            &["layer", "forward", "backward", "update", "all", "share", ""],
        );
        for sum in &times.layers {
            let _ = write!(self.0, "<tr><td>{}</td>", escaped(&sum.name));
            for ms in [sum.forward_ms, sum.backward_ms, sum.update_ms, sum.ms] {
                let _ = write!(self.0, "<td>{ms:.2}</td>");
            }
            let share = 100.0 * sum.share;
            let _ = writeln!(
                self.0,
                "<td>{share:.1} %</td><td class=\"bars\"><span class=\"bar\" style=\"width:{share:.1}%\">\
                 </span></td></tr>"
            );
        }
        self.end_table();
    }

    fn settings(&mut self, report: &Report) {
        self.section("configuration", "Configuration", "");
        self.settings_table("configuration-table", &report.record.config);
        self.section("environment", "Environment", "");
        let mut rows = vec![];
        if let Some(of) = &report.record.environment {
            rows.push(("gabor", of.gabor.clone()));
            rows.push(("device", of.device.clone()));
            rows.extend(of.driver.clone().map(|driver| ("driver", driver)));
            rows.push(("system", of.system.clone()));
            rows.push(("architecture", of.architecture.clone()));
            rows.push(("threads", of.threads.to_string()));
        }
        rows.push(("seed", report.record.setting("seed").to_owned()));
        self.settings_table("environment-table", rows);
    }

    fn settings_table(
        &mut self,
        id: &str,
        rows: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    ) {
        let _ = writeln!(self.0, "<table class=\"settings\" id=\"{id}\"><tbody>");
        for (key, value) in rows {
            self.row(&[key.as_ref(), value.as_ref()]);
        }
        self.0 += "</tbody></table>\n";
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.2} %", 100.0 * share))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}
