//! `gabor eval`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{print_json, print_line};
use crate::data;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::train::Finished;
use crate::tuning::{Cache, Tuning};

/// Evaluate a finished run on a test set.
#[derive(Debug, Args)]
#[command(after_help = "Example: gabor eval runs/digits-alexnet-small-001")]
pub(super) struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// Another data set than the one that it was trained on; its test part is used.
    #[arg(long)]
    data: Option<String>,
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
    let mut finished = Finished::open(&arguments.run, &device)?;
    let name = arguments.data.as_ref().unwrap_or(&finished.data);
    let source = data::open(name)?;
    let input = finished.network.model().input();
    if source.test.shape() != input {
        let given = source.test.shape();
        return Err(Error::Usage(format!(
            "data set {name} has images of {given:?}, the network takes {input:?}"
        )));
    }
    finished.network.tune(arguments.batch)?;
    let test = finished.network.evaluate(&source.test, &finished.normalise, arguments.batch)?;
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
