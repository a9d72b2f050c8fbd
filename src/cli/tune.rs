//! `gabor tune`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::network::NetworkOf;
use super::table::Table;
use super::{print_json, print_line};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tuning::{Cache, Pick, Picks, Tuning};

/// Measure the kernels of a network's training step on a GPU, and keep the fastest.
///
/// Each operation has several kernels. One that gives a wrong result or fails is left out; another
/// than the operation's best guess is picked only if it is more than 5 % faster. The picks are kept
/// in the user's cache folder (or that of the variable GABOR_CACHE), where train, eval and bench find
/// them. They hold for this adapter, driver and version of gabor.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor tune --model alexnet --batch 128
  gabor tune --config resnet18-cifar --input 3,32,32 --classes 10
  gabor tune --model lenet --quick --export lenet-kernels.json
  gabor tune --import lenet-kernels.json
  gabor train --tune lenet-kernels.json --model lenet")]
pub(super) struct Arguments {
    /// The network, for images of the size that it was made for.
    #[arg(long, required_unless_present_any = ["import", "config"])]
    model: Option<String>,
    #[command(flatten)]
    network: NetworkOf,
    /// Images a step: the batch that will be trained with. Without it that of the configuration, or 64.
    #[arg(long, allow_negative_numbers = true)]
    batch: Option<usize>,
    /// gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "gpu")]
    device: String,
    /// Begin no further operation after 20 seconds; the most expensive come first.
    #[arg(long)]
    quick: bool,
    /// Add the picks of this file to the cache first.
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Write all picks for this adapter to a file.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Print a JSON object an operation.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let cache = Cache::user();
    if let Some(path) = &arguments.import {
        let picks = Picks::read(path)?;
        cache.store(&picks)?;
        if !arguments.json {
            print_line(&format!("{} picks were added to the cache", picks.len()));
        }
    }
    if arguments.model.is_none() && !arguments.network.is_given() {
        if let Some(path) = &arguments.export {
            let remedy = "needs a network to measure: --model or --config";
            return Err(Error::setting("export", path.display(), remedy));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = arguments.network.choose(arguments.model.as_deref().unwrap_or_default())?;
    let batch = arguments.batch.or(chosen.batch).unwrap_or(64);
    let step = chosen.training_step(batch)?;
    let device = super::eval::device(&arguments.device)?;
    if matches!(device, Device::Cpu) {
        let remedy = "there is nothing to choose on the CPU; name a GPU, as in --device gpu";
        return Err(Error::setting("device", &arguments.device, remedy));
    }
    let tuning = if arguments.quick { Tuning::Quick } else { Tuning::Full };
    let device = device.tuned(&tuning, &cache)?;
    let picks = device.tune(&step);
    if let Some(path) = &arguments.export {
        device.picks().write(path)?;
    }
    if arguments.json {
        picks.iter().try_for_each(print_json)?;
    } else {
        print_picks(&picks);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_picks(picks: &[Pick]) {
    let mut table =
        Table::new(["op", "inputs", "kernel", "ms", "best guess", "ms", "times as fast"]);
    for pick in picks {
        let first_ms = pick.first_ms.map_or_else(|| "dropped".into(), |ms| format!("{ms:.3}"));
        let gain = pick.gain().map_or_else(|| "-".into(), |gain| format!("{gain:.2}"));
        let (kernel, ms) = (pick.kernel.clone(), format!("{:.3}", pick.ms));
        let (op, inputs) = (pick.key.op.clone(), pick.key.inputs.replace("f32", ""));
        table.row([op, inputs, kernel, ms, pick.first.clone(), first_ms, gain]);
    }
    table.print();
    let sum = |ms: &dyn Fn(&Pick) -> f64| picks.iter().map(ms).sum::<f64>();
    let (picked, guessed) = (sum(&|p| p.ms), sum(&|p| p.first_ms.unwrap_or(p.ms)));
    print_line(&format!(
        "{} ops with a choice: {picked:.2} ms, {guessed:.2} ms with the best guesses",
        picks.len()
    ));
}
