//! `gabor bench`

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use super::network::{Chosen, NetworkOf};
use super::table::Table;
use super::{print_json, print_line};
use crate::bench::layers::{Figures, Options, Row, measure_layers};
use crate::bench::{Budget, Pass, peers};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::train::{Precision, training_step};
use crate::tuning::{Cache, Tuning};
use crate::zoo;

/// Time a network's training step, op by op, on the CPU engine and on a GPU.
///
/// Each result of the GPU is compared with the CPU engine's before it is timed. GB/s count each
/// operand once; the ratio says how many times as fast as the CPU the GPU is. Nothing else should be
/// running.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gabor bench --model alexnet --batch 4 --filter conv --kernels
  gabor bench --config lenet-mnist --device cpu --quick")]
pub(super) struct Arguments {
    /// The network, for images of the size that it was made for.
    #[arg(long, default_value = zoo::MODELS[0].name)]
    model: String,
    #[command(flatten)]
    network: NetworkOf,
    /// Images a step; without it the configuration's, or 64, or 4 for images larger than 64x64. With
    /// --peer-workloads, of the training steps.
    #[arg(long)]
    batch: Option<usize>,
    /// gpu, gpu:NUMBER or gpu:NAME, which is compared with the CPU; or cpu, for the CPU alone. See
    /// `gabor devices`. Without it the best adapter, one in software too.
    #[arg(long)]
    device: Option<String>,
    /// Print a JSON object a row.
    #[arg(long)]
    json: bool,
    /// Time every kernel that an op has for the GPU.
    #[arg(long)]
    kernels: bool,
    /// How a GPU's kernels are chosen: off, cached, quick, full, or a file of `gabor tune --export`.
    #[arg(long, value_name = "TUNING", default_value = "cached")]
    tune: Tuning,
    /// Only rows whose layer, pass and op contain TEXT, as in "conv2 backward"; or workloads whose
    /// name does.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Measure for a shorter time, less exactly.
    #[arg(long)]
    quick: bool,
    /// Compare the CPU's results with double precision too, which takes minutes. With
    /// --peer-workloads, compare only.
    #[arg(long)]
    check: bool,
    /// Time the workloads that other frameworks are compared on, as a JSON object each, on one
    /// device (without --device the best, as in training).
    #[arg(long, conflicts_with_all = ["model", "config", "kernels"])]
    peer_workloads: bool,
    /// With --peer-workloads: take some steps of this training workload from a cold start.
    #[arg(long, value_name = "WORKLOAD", requires = "peer_workloads")]
    first: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.peer_workloads { run_peers(arguments) } else { run_layers(arguments) }
}

fn run_peers(arguments: &Arguments) -> Result<ExitCode> {
    let device = super::eval::device(arguments.device.as_deref().unwrap_or("auto"))?;
    let device = device.tuned(&arguments.tune, &Cache::user())?;
    let mut workloads = peers::all();
    if let Some(batch) = arguments.batch {
        let training = workloads.iter_mut().filter(|peer| peer.is_training());
        training.for_each(|peer| peer.batch = batch);
    }
    if let Some(name) = &arguments.first {
        let names = workloads.iter().map(|peer| peer.name.as_str());
        let unknown = || Error::unknown("workload", name, names);
        let peer = workloads.iter().find(|peer| peer.name == *name).ok_or_else(unknown)?;
        print_json(&peer.first(&device)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let known: Vec<_> = workloads.iter().map(|peer| peer.name.clone()).collect();
    workloads.retain(|peer| peer.name.contains(&arguments.filter));
    if workloads.is_empty() {
        return Err(Error::unknown("workload", &arguments.filter, known));
    }
    let budget = if arguments.quick { Budget::QUICK } else { Budget::PEERS };
    let mut is_right = true;
    for peer in &workloads {
        device.tune(peer.workload()?.graph());
        if arguments.check {
            for check in peer.check(&device)? {
                is_right &= check.ok;
                print_json(&check)?;
            }
        } else {
            print_json(&peer.measure(&device, &budget)?)?;
        }
    }
    Ok(ExitCode::from(if is_right { 0 } else { 1 }))
}

fn run_layers(arguments: &Arguments) -> Result<ExitCode> {
    let chosen = arguments.network.choose(&arguments.model)?;
    let gpu = gpu(arguments.device.as_deref())?
        .map(|device| device.tuned(&arguments.tune, &Cache::user()))
        .transpose()?;
    let options = Options {
        batch: chosen.batch(arguments.batch),
        budget: if arguments.quick { Budget::QUICK } else { Budget::FULL },
        all_kernels: arguments.kernels,
        check: arguments.check,
        filter: arguments.filter.clone(),
    };
    if chosen.precision != Precision::F32 {
        let remedy = "is for `gabor profile`, `tune` and `summary`; op by op only f32 is timed";
        return Err(Error::setting("precision", "f16", remedy));
    }
    let Chosen { model, optimizer, .. } = chosen;
    if let Some(device) = &gpu {
        device.tune(&training_step(&model, optimizer.as_ref(), options.batch, 1)?);
    }
    let is_live = !arguments.json && std::io::stderr().is_terminal();
    let (mut rows, mut failure) = (vec![], Ok(()));
    measure_layers(&model, optimizer.as_ref(), gpu.as_ref(), &options, &mut |row| {
        if arguments.json && failure.is_ok() {
            failure = print_json(&row);
        }
        if is_live {
            eprint!("\r{:>3} {:<30}", rows.len() + 1, row.layer);
        }
        rows.push(row);
    })?;
    failure?;
    if is_live {
        eprint!("\r{:34}\r", "");
    }
    if rows.is_empty() {
        let remedy = "is in no row; take a layer's name, forward, backward or update, or an op";
        return Err(Error::setting("filter", &arguments.filter, remedy));
    }
    if !arguments.json {
        print_rows(&rows, gpu.as_ref());
    }
    let is_right = rows.iter().all(|row| row.fault.is_none());
    Ok(ExitCode::from(if is_right { 0 } else { 1 }))
}

/// The adapter to compare with. None where the CPU was asked for, or where nothing was and there is
/// no adapter.
fn gpu(name: Option<&str>) -> Result<Option<Device>> {
    match name {
        None => match Device::gpu("") {
            Err(Error::NoAdapter { .. }) => Ok(None),
            found => found.map(Some),
        },
        Some(name) => Ok(match super::eval::device(name)? {
            Device::Cpu => None,
            #[cfg(feature = "gpu")]
            device @ Device::Gpu(_) => Some(device),
        }),
    }
}

fn print_rows(rows: &[Row], gpu: Option<&Device>) {
    let [first, ..] = rows else { return };
    print_line(&format!("{}, a training step of {} images", first.model, first.batch));
    print_line(&format!("CPU  {}", Device::Cpu.name()));
    match gpu {
        Some(device) => {
            print_line(&format!("GPU  {}", device.name()));
            print_line("");
            print_both(rows);
        }
        None => {
            print_line("GPU  none was found or asked for; `gabor devices` lists what there is");
            print_line("");
            print_cpu(rows);
        }
    }
    print_sums(rows);
    for row in rows {
        if let Some(fault) = &row.fault {
            let kernel = row.kernel.as_deref().unwrap_or("cpu");
            print_line(&format!("{} {} ({kernel}): {fault}", row.layer, row.op));
        }
    }
}

fn print_both(rows: &[Row]) {
    let mut table = Table::new([
        "layer", "pass", "op", "GFLOP", "CPU ms", "GFLOP/s", "GB/s", "GPU ms", "GFLOP/s", "GB/s",
        "ratio", "kernel",
    ]);
    for row in rows {
        let [cpu_ms, cpu_gflops, cpu_gb] = cells(row.cpu);
        let [gpu_ms, gpu_gflops, gpu_gb] = cells(row.gpu);
        table.row([
            row.layer.clone(),
            row.pass.name().into(),
            row.op.clone(),
            gflop(row.flops),
            cpu_ms,
            cpu_gflops,
            cpu_gb,
            gpu_ms,
            gpu_gflops,
            gpu_gb,
            row.ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
            row.kernel.clone().unwrap_or_default(),
        ]);
    }
    table.print();
}

fn print_cpu(rows: &[Row]) {
    let mut table = Table::new(["layer", "pass", "op", "GFLOP", "CPU ms", "GFLOP/s", "GB/s"]);
    for row in rows {
        let [ms, gflops, gb] = cells(row.cpu);
        let (layer, pass) = (row.layer.clone(), row.pass.name().into());
        table.row([layer, pass, row.op.clone(), gflop(row.flops), ms, gflops, gb]);
    }
    table.print();
}

/// Milliseconds, GFLOP/s and GB/s.
fn cells(figures: Option<Figures>) -> [String; 3] {
    let Some(figures) = figures else { return ["-"; 3].map(str::to_owned) };
    let gflops = figures.gflops.map_or_else(|| "-".into(), |rate| format!("{rate:.1}"));
    let digits = if figures.ms < 1.0 { 4 } else { 2 };
    [format!("{:.digits$}", figures.ms), gflops, format!("{:.1}", figures.gb_per_s)]
}

fn gflop(flops: u64) -> String {
    if flops == 0 { "-".into() } else { format!("{:.4}", flops as f64 / 1e9) }
}

/// What the ops add up to, beside what the whole step takes.
fn print_sums(rows: &[Row]) {
    let ops: Vec<_> = rows.iter().filter(|row| row.pass != Pass::Step).collect();
    if ops.len() < 2 {
        return;
    }
    let sum = |pass: Pass, figures: fn(&Row) -> Option<Figures>| {
        let mut seen = vec![];
        let mut total = 0.0;
        for row in ops.iter().filter(|row| row.pass == pass) {
            // With all kernels an op has several rows; the first is the one that is chosen.
            let key = (&row.layer, &row.op, &row.inputs);
            if !seen.contains(&key) {
                seen.push(key);
                total += figures(row).map_or(0.0, |f| f.ms);
            }
        }
        total
    };
    let line = |device: &str, figures: fn(&Row) -> Option<Figures>| {
        let [forward, backward, update] =
            [Pass::Forward, Pass::Backward, Pass::Update].map(|pass| sum(pass, figures));
        print_line(&format!(
            "{device} sums: forward {forward:.2} ms, backward {backward:.2} ms, update {update:.2} ms"
        ));
    };
    print_line("");
    line("CPU", |row| row.cpu);
    if rows.iter().any(|row| row.gpu.is_some()) {
        line("GPU", |row| row.gpu);
    }
}
