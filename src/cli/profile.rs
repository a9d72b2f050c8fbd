//! `gabor profile`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::network::NetworkOf;
use super::print_line;
use super::table::Table;
use crate::bench::peak::{Effort, Peak, Rate, measure_peak};
use crate::bench::profile::{Bound, Options, Profile, Row, Sum, profile};
use crate::bench::trace::trace;
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::zoo;

/// Say where the time of a training step goes, and how far each op is from the device's peak.
///
/// The peaks are measured first, which takes some seconds. Nothing else should be running. See
/// docs/profiling.md for how to read the table.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor profile --model alexnet --batch 4 --device gpu --trace trace.json
  gabor profile --config cifar-11pct --device cpu")]
pub(super) struct Arguments {
    /// The network, for images of the size that it was made for.
    #[arg(long, default_value = zoo::MODELS[0].name)]
    model: String,
    #[command(flatten)]
    network: NetworkOf,
    /// Images a step; without it the configuration's, or 64, or 4 for images larger than 64x64.
    #[arg(long)]
    batch: Option<usize>,
    /// auto, cpu, gpu, gpu:NUMBER or gpu:NAME; see `gabor devices`.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Steps that are timed; figures are medians over them.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// The order of the ops.
    #[arg(long, value_enum, default_value_t = Sort::Run)]
    sort: Sort,
    /// Measure the device's peaks only: arithmetic, and bandwidth of memory.
    #[arg(long, conflicts_with_all = ["model", "config", "batch", "trace"])]
    peak: bool,
    /// Measure the peaks for a shorter time, on tensors that may lie in a cache.
    #[arg(long)]
    quick: bool,
    /// Write all figures as JSON; - is the standard output, in place of the tables.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the timed steps as a trace for Perfetto or Chrome's about:tracing.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Sort {
    /// As they run.
    Run,
    /// The longest first.
    Time,
    /// Those first that lose most time against the peak.
    Loss,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.steps == 0 {
        return Err(Error::setting("steps", 0, "must be 1 or more"));
    }
    let chosen = arguments.network.choose(&arguments.model)?;
    let batch = chosen.batch(arguments.batch);
    chosen.model.input_type(batch)?;
    let device = super::eval::device(&arguments.device)?;
    let peak = measure_peak(&device, if arguments.quick { &Effort::QUICK } else { &Effort::FULL })?;
    let is_quiet = arguments.json.as_deref() == Some(Path::new("-"));
    if arguments.peak {
        if !is_quiet {
            print_peak(&peak);
        }
        write_json(&peak, arguments.json.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options { batch, steps: arguments.steps, precision: chosen.precision };
    let profile = profile(&device, &chosen.model, chosen.optimizer.as_ref(), options, &peak)?;
    if !is_quiet {
        print_profile(&profile, arguments.sort);
    }
    write_json(&profile, arguments.json.as_deref())?;
    write_json(&trace(&profile), arguments.trace.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a value to a file or, for `-`, to the standard output.
fn write_json(value: &impl serde::Serialize, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    if path == Path::new("-") {
        return super::print_json(value);
    }
    let text = serde_json::to_string(value).map_err(|e| Error::Usage(format!("as JSON: {e}")))?;
    write_atomic(path, text.as_bytes())
}

fn print_peak(peak: &Peak) {
    print_line(&format!("Peaks of {}, as measured", peak.device));
    let line = |name: &str, unit: &str, rate: &Rate| {
        let Rate { giga_per_second, kernel } = rate;
        print_line(&format!("  {name:<17}  {giga_per_second:>9.1} {unit:<7}  {kernel}"));
    };
    line("multiply-add, f32", "GFLOP/s", &peak.f32);
    if let Some(half) = &peak.f16 {
        line("multiply-add, f16", "GFLOP/s", half);
    }
    line("read", "GB/s", &peak.read);
    line("write", "GB/s", &peak.write);
    line("copy", "GB/s", &peak.copy);
    if let Some(launch) = &peak.launch {
        print_line(&format!(
            "  {:<17}  {:>9.2} us       and {:.0} us a submission: the host's part",
            "a dispatch", launch.dispatch_us, launch.submission_us
        ));
    }
}

fn print_profile(profile: &Profile, sort: Sort) {
    print_peak(&profile.peak);
    print_line("");
    print_line(&format!("{}, a training step of {} images", profile.model, profile.batch));
    print_line(&format!("Timed by {}; medians of {}", profile.clock.describe(), profile.steps));
    print_line("");
    print_rows(profile, sort);
    print_line("");
    print_sums("layer", &profile.layers);
    print_line("");
    print_sums("pass", &profile.passes);
    print_line("");
    print_line(&format!(
        "ops {:.2} ms, at the peaks {:.2} ms ({}); the whole step without timing {:.2} ms, {:.1} images/s",
        profile.ops_ms,
        profile.floor_ms,
        percent(profile.floor_ms / profile.ops_ms),
        profile.step_ms,
        profile.batch as f64 / profile.step_ms * 1e3,
    ));
    if let Some(host) = profile.host {
        print_line(&format!(
            "host {:.0} us to record and submit {} dispatches and {} copies: {:.2} us a dispatch",
            host.start_us, host.dispatches, host.copies, host.us_per_dispatch
        ));
        print_line(&format!(
            "     {:.0} us where the processor's caches hold the commands: {:.2} us a dispatch",
            host.warm_start_us, host.warm_us_per_dispatch
        ));
    }
}

fn print_rows(profile: &Profile, sort: Sort) {
    let mut rows: Vec<&Row> = profile.rows.iter().collect();
    match sort {
        Sort::Run => {}
        Sort::Time => rows.sort_by(|a, b| b.ms.total_cmp(&a.ms)),
        Sort::Loss => {
            let lost = |row: &Row| row.ms * (1.0 - row.of_peak);
            rows.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
        }
    }
    let mut table = Table::new([
        "layer", "pass", "op", "ms", "share", "GFLOP/s", "GB/s", "of peak", "bound", "kernel",
    ]);
    for row in rows {
        let bound = match row.bound {
            Bound::Arithmetic => "arithmetic",
            Bound::Memory => "memory",
        };
        table.row([
            row.layer.clone(),
            row.pass.name().into(),
            row.op.clone(),
            milliseconds(row.ms),
            percent(row.share),
            if row.flops == 0 { "-".into() } else { format!("{:.1}", row.gflops) },
            format!("{:.1}", row.gb_per_s),
            percent(row.of_peak),
            bound.into(),
            row.kernel.clone(),
        ]);
        for part in &row.dispatches {
            let shader = format!("  {}", part.shader);
            let empty = || String::new();
            table.row([
                shader,
                empty(),
                empty(),
                milliseconds(part.ms),
                empty(),
                empty(),
                empty(),
                empty(),
                empty(),
                empty(),
            ]);
        }
    }
    table.print();
}

fn print_sums(heading: &str, sums: &[Sum]) {
    let mut table =
        Table::new([heading, "forward ms", "backward ms", "update ms", "ms", "share", "of peak"]);
    for sum in sums {
        table.row([
            sum.name.clone(),
            milliseconds(sum.forward_ms),
            milliseconds(sum.backward_ms),
            milliseconds(sum.update_ms),
            milliseconds(sum.ms),
            percent(sum.share),
            percent(sum.of_peak),
        ]);
    }
    table.print();
}

fn milliseconds(ms: f64) -> String {
    let digits = if ms < 1.0 { 4 } else { 2 };
    format!("{ms:.digits$}")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
