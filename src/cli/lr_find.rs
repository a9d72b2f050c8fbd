//! `gabor lr-find`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::table::Table;
use super::train::Settings;
use super::{print_json, print_line};
use crate::error::Result;
use crate::train::{LrFound, LrRange, Setup};

/// Look for a good learning rate.
///
/// Trains a fresh network while the learning rate grows exponentially, and suggests the one at which
/// the smoothed loss fell most steeply. Nothing is saved.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor lr-find
  gabor lr-find --data photos --optimizer adamw --plot rates.png")]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The first learning rate.
    #[arg(long, default_value_t = LrRange::default().from, allow_negative_numbers = true)]
    from: f32,
    /// The last learning rate.
    #[arg(long, default_value_t = LrRange::default().to, allow_negative_numbers = true)]
    to: f32,
    /// Steps from the first to the last.
    #[arg(long, default_value_t = LrRange::default().steps)]
    steps: usize,
    /// Also draw the loss over the learning rate.
    #[arg(long, value_name = "FILE.png")]
    plot: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { from, to, steps, .. } = *arguments;
    let config = arguments.settings.config()?;
    let Setup { trainer, source, .. } = Setup::new(&config)?;
    let found = trainer.find_learning_rate(&source, LrRange { from, to, steps })?;
    if let Some(path) = &arguments.plot {
        let rates: Vec<_> = found.points.iter().map(|point| point.learning_rate).collect();
        crate::viz::LearningRates {
            title: &format!("{} on {}", config.model, config.data),
            rates: &rates,
            losses: &found.points.iter().map(|point| point.loss).collect::<Vec<_>>(),
            smoothed: &found.points.iter().map(|point| point.smoothed).collect::<Vec<_>>(),
        }
        .save(path)?;
    }
    if arguments.json {
        print_json(&found)?;
    } else {
        show(&found);
    }
    Ok(ExitCode::SUCCESS)
}

/// About twenty of the steps, and what they suggest.
fn show(found: &LrFound) {
    let every = found.points.len().div_ceil(20).max(1);
    let mut table = Table::new(["learning rate", "loss", "smoothed"]);
    for point in found.points.iter().step_by(every) {
        let [loss, smoothed] = [point.loss, point.smoothed].map(|loss| format!("{loss:.4}"));
        table.row([format!("{:.2e}", point.learning_rate), loss, smoothed]);
    }
    table.print();
    let end = if found.has_diverged { "the loss diverged" } else { "the range is at its end" };
    print_line(&format!("{} steps, then {end}", found.points.len()));
    match (found.steepest, found.tenth_of_least) {
        (Some(rate), Some(tenth)) => print_line(&format!(
            "suggestion: --learning-rate {rate:.1e} (steepest descent); a tenth of the rate of least \
             loss is {tenth:.1e}"
        )),
        _ => print_line("the loss never fell: no suggestion; try a lower --from, or more --steps"),
    }
}
