//! `gabor predict`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{print_json, print_line};
use crate::data::decode;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::train::{Finished, Weights};
use crate::tuning::{Cache, Tuning};

/// Classify images with a finished run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor predict runs/photos-alexnet-small-001 cat.png rocket.jpg --top 3")]
pub(super) struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// The weights of the best epoch or of the last: best or last; without it the best where the run
    /// had --early-stop, and else the last.
    #[arg(long, value_name = "WHICH")]
    weights: Option<Weights>,
    /// PNG or JPEG files; they are resized to what the network takes.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The number of classes to name for each image.
    #[arg(long, default_value_t = 1)]
    top: usize,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// How a GPU's kernels are chosen: off, cached, quick, full, or a file of `gabor tune --export`.
    #[arg(long, value_name = "TUNING", default_value = "cached")]
    tune: Tuning,
    /// Print a JSON object an image.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Prediction<'a> {
    image: &'a Path,
    classes: Vec<Guess<'a>>,
}

#[derive(serde::Serialize)]
struct Guess<'a> {
    class: &'a str,
    probability: f32,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let device = super::eval::device(&arguments.device)?;
    let device = device.tuned(&arguments.tune, &Cache::user())?;
    let mut finished = Finished::open_with(&arguments.run, arguments.weights, &device)?;
    finished.network.tune(1)?;
    for path in &arguments.images {
        let picture = decode::read(path)?;
        let values = finished.prepare(&picture)?;
        let [channels, height, width] = finished.network.model().input();
        let input = Tensor::f32([1, channels, height, width], values)?;
        let probabilities = finished.network.predict(&input)?;
        let mut guesses: Vec<_> = finished
            .classes
            .iter()
            .zip(probabilities.as_f32()?)
            .map(|(class, &probability)| Guess { class, probability })
            .collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        guesses.truncate(arguments.top.max(1));
        if arguments.json {
            print_json(&Prediction { image: path, classes: guesses })?;
        } else {
            let guesses: Vec<_> = guesses
                .iter()
                .map(|g| format!("{} {:.1} %", g.class, 100.0 * g.probability))
                .collect();
            print_line(&format!("{}: {}", path.display(), guesses.join(", ")));
        }
    }
    Ok(ExitCode::SUCCESS)
}
