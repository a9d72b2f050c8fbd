//! `gabor eval`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{print_json, print_line};
use crate::data::{self, LoaderConfig, OpenOptions};
use crate::device::Device;
use crate::error::Result;
use crate::train::{Finished, Weights};
use crate::tuning::{Cache, Tuning};

/// Evaluate a finished run on a test set.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor eval runs/digits-alexnet-small-001")]
pub(super) struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// The weights of the best epoch or of the last: best or last; without it the best where the run
    /// had --early-stop, and else the last.
    #[arg(long, value_name = "WHICH")]
    weights: Option<Weights>,
    /// Another data set than the one that it was trained on; its test part is used.
    #[arg(long)]
    data: Option<String>,
    /// Broken files of a folder that may be left out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad: usize,
    /// Images at a time.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// How a GPU's kernels are chosen: off, cached, quick, full, or a file of `gabor tune --export`.
    #[arg(long, value_name = "TUNING", default_value = "cached")]
    tune: Tuning,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let device = device(&arguments.device)?.tuned(&arguments.tune, &Cache::user())?;
    let mut finished = Finished::open_with(&arguments.run, arguments.weights, &device)?;
    let name = arguments.data.as_ref().unwrap_or(&finished.data);
    let image_size = finished.image[1];
    let options = OpenOptions { max_bad: arguments.max_bad, image_size, ..OpenOptions::default() };
    let source = data::open_with(name, &options)?;
    let config = LoaderConfig {
        transforms: finished.transforms.clone(),
        ..LoaderConfig::new(arguments.batch, finished.normalise.clone())
    };
    finished.network.tune(arguments.batch)?;
    let test = finished.network.evaluate_with(&source.test, config)?;
    super::data::report(&source.test.skipped());
    if arguments.json {
        print_json(&test)?;
    } else {
        print_line(&format!(
            "{} images: top-1 {:.2} %, top-5 {:.2} %, loss {:.4}",
            test.images,
            100.0 * test.top1,
            100.0 * test.top5,
            test.loss
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The device of this name; `auto` minds the environment.
pub(super) fn device(name: &str) -> Result<Device> {
    if name == "auto" { Device::auto() } else { Device::named(name) }
}
