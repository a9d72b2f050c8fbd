//! `gabor compare`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::table::Table;
use super::{print_json, print_line};
use crate::error::Result;
use crate::report::{Comparison, Side};

/// Classes that are listed: those with the greatest differences.
const CLASSES: usize = 10;

/// Compare runs: the settings in which they differ, what they came to, how fast they were.
///
/// Runs that are still under way count with what they have done. The recall of each class is compared
/// where the runs have a report; see `gabor report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor compare runs/digits-lenet-001 runs/digits-lenet-002
  gabor compare runs/* --json")]
pub(super) struct Arguments {
    /// The runs' folders.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let comparison = Comparison::of(&arguments.runs)?;
    if arguments.json {
        print_json(&comparison)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runs = &comparison.runs;
    let heading = |what: &str| -> Vec<String> {
        let names = runs.iter().map(|side| {
            let name = side.run.file_name().unwrap_or(side.run.as_os_str());
            name.to_string_lossy().into_owned()
        });
        std::iter::once(what.to_owned()).chain(names).collect()
    };
    let mut table = Table::of(heading(""));
    let mut row = |name: &str, of: &dyn Fn(&Side) -> String| {
        table.row_of(std::iter::once(name.to_owned()).chain(runs.iter().map(of)).collect());
    };
    row("test top-1", &|side| percent(side.final_top1));
    row("best top-1", &|side| percent(side.best_top1));
    row("of epoch", &|side| side.best_epoch.map_or("-".into(), |epoch| epoch.to_string()));
    row("test loss", &|side| side.final_loss.map_or("-".into(), |loss| format!("{loss:.4}")));
    row("images/s", &|side| side.images_per_second.map_or("-".into(), |v| format!("{v:.0}")));
    row("seconds", &|side| side.train_seconds.map_or("-".into(), |v| format!("{v:.1}")));
    row("epochs", &|side| match side.has_ended {
        true => side.epochs.to_string(),
        false => format!("{} so far", side.epochs),
    });
    table.print();
    print_line("");
    if comparison.settings.is_empty() {
        print_line("The configurations are the same.");
    } else {
        let mut table = Table::of(heading("setting"));
        for (key, values) in &comparison.settings {
            let values = values.iter().map(|value| value.clone().unwrap_or_else(|| "-".into()));
            table.row_of(std::iter::once(key.clone()).chain(values).collect());
        }
        table.print();
    }
    if !comparison.recall.is_empty() {
        print_line("");
        let mut table = Table::of(heading("recall of class"));
        for (class, recall) in comparison.recall.iter().take(CLASSES) {
            let recall = recall.iter().map(|&recall| percent(recall));
            table.row_of(std::iter::once(class.clone()).chain(recall).collect());
        }
        table.print();
    }
    Ok(ExitCode::SUCCESS)
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.2} %", 100.0 * share))
}
