//! `gabor explain`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{print_json, print_line};
use crate::data::{self, decode};
use crate::error::Result;
use crate::explain::{Report, Settings, report};
use crate::train::{Finished, Weights};

/// Look inside a finished run: what its layers make of a picture, and what in it decides.
///
/// Writes pictures and a page, index.html, that shows them: the first layer's filters, the feature
/// maps of every layer, the training images that most excite its units, deconvnet, saliency, Grad-CAM
/// and occlusion maps.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor explain runs/photos-alexnet-small-001 cat.png
  gabor explain runs/digits-lenet-001 seven.png --class 1 --layer conv2 --unit 5 --out why-not-1")]
pub(super) struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// The weights of the best epoch or of the last: best or last; without it the best where the run
    /// had --early-stop, and else the last.
    #[arg(long, value_name = "WHICH")]
    weights: Option<Weights>,
    /// A PNG or JPEG file; it is resized to what the network takes.
    image: PathBuf,
    /// The folder to write; files of the same names are replaced.
    #[arg(long, value_name = "DIR", default_value = "explained")]
    out: PathBuf,
    /// The class to ask about, by name or number; without it the one that the network tells.
    #[arg(long)]
    class: Option<String>,
    /// The layer for units and Grad-CAM; without it the last that has places and does not pool.
    #[arg(long)]
    layer: Option<String>,
    /// The unit (channel) to show; without it those that the picture excites most.
    #[arg(long)]
    unit: Option<usize>,
    /// Training images to look for exciting patches in, evenly spread; 0 for none.
    #[arg(long, value_name = "IMAGES", default_value_t = 4000)]
    sample: usize,
    /// The data set to take them from; without it the one that the network was trained on.
    #[arg(long)]
    data: Option<String>,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let device = super::eval::device(&arguments.device)?;
    let finished = Finished::open_with(&arguments.run, arguments.weights, &device)?;
    let [channels, height, width] = finished.network.model().input();
    let picture = decode::read(&arguments.image)?.with_channels(channels)?.scaled(height, width)?;
    let mut pixels = vec![0; channels * height * width];
    picture.write_planes(&mut pixels);
    let source = match arguments.sample {
        0 => None,
        _ => Some(data::open(arguments.data.as_ref().unwrap_or(&finished.data))?),
    };
    let settings = Settings {
        class: arguments.class,
        layer: arguments.layer,
        unit: arguments.unit,
        sample: arguments.sample,
        title: arguments.image.display().to_string(),
    };
    let dataset = source.as_ref().map(|source| source.train.as_ref());
    let report: Report = report(&finished, &pixels, dataset, &settings, &arguments.out)?;
    if arguments.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let guesses: Vec<_> = report
        .prediction
        .iter()
        .take(3)
        .map(|guess| format!("{} {:.1} %", guess.class, 100.0 * guess.probability))
        .collect();
    print_line(&format!("{}: {}", arguments.image.display(), guesses.join(", ")));
    print_line(&format!("{} pictures; open {}", report.pictures.len(), report.index.display()));
    Ok(ExitCode::SUCCESS)
}
