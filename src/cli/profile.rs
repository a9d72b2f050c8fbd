//! `gabor profile`

use std::process::ExitCode;

use clap::Args;

use super::{print_json, print_line};
use crate::bench::peak::{Peak, Rate, measure_peak};
use crate::error::Result;

/// Say where the time of a training step goes, and how far each part is from the device's peak.
#[derive(Debug, Args)]
#[command(after_help = "Example: gabor profile --peak --device gpu")]
pub(super) struct Arguments {
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Measure the device's peaks only: arithmetic, and bandwidth of memory.
    #[arg(long)]
    peak: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let device = super::eval::device(&arguments.device)?;
    let peak = measure_peak(&device)?;
    if arguments.json {
        print_json(&peak)?;
    } else {
        print_peak(&peak);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_peak(peak: &Peak) {
    print_line(&format!("peaks of {}, as measured", peak.device));
    let line = |name: &str, unit: &str, rate: &Rate| {
        print_line(&format!(
            "  {name:<18} {:>10.1} {unit}  ({})",
            rate.giga_per_second, rate.kernel
        ));
    };
    line("multiply-add, f32", "GFLOP/s", &peak.f32);
    if let Some(half) = &peak.f16 {
        line("multiply-add, f16", "GFLOP/s", half);
    }
    line("read", "GB/s   ", &peak.read);
    line("write", "GB/s   ", &peak.write);
    line("copy", "GB/s   ", &peak.copy);
}
