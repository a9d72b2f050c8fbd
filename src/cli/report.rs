//! `gabor report`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::print_line;
use crate::error::Result;
use crate::report::{self, Report};

/// Write the page of a finished run again: curves, confusion matrix, worst mistakes, filters, feature
/// maps, times.
///
/// `gabor train` writes it at the end of a run. The test set is evaluated once more for it, and a few
/// steps of training are timed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor report runs/digits-alexnet-small-001
  gabor report runs/photos-alexnet-small-001 --device cpu --out photos.html")]
pub(super) struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// The file to write; without it report.html in the run's folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; without it the one of the run's configuration.
    #[arg(long)]
    device: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = match &arguments.device {
        Some(name) => super::eval::device(name)?,
        None => report::device(&arguments.run)?,
    };
    let report = Report::of(&arguments.run, &device)?;
    let path = match &arguments.out {
        Some(path) => {
            crate::io::write_atomic(path, report.html().as_bytes())?;
            path.clone()
        }
        None => report.write(&arguments.run)?,
    };
    print_line(&format!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a run that has just ended. The run is whole without it: what goes wrong is a
/// line in the log.
pub(super) fn after_training(run: &Path) {
    let written =
        report::device(run).and_then(|device| Report::of(run, &device)).and_then(|r| r.write(run));
    if let Err(error) = written {
        log::warn!("no page of the run was written: {error}");
    }
}
