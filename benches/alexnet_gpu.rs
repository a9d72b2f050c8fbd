//! AlexNet's training step on a GPU, beside what the GPU could do at best, in one command:
//! `cargo bench --bench alexnet_gpu`.
//!
//! It prints the figures and writes them as JSON. `-- --software` runs a small network on an adapter
//! in software, with the kernels of a GPU, to try the bench. Other frameworks are timed too where their programs are named, by
//! an argument or a variable: `--burn "PROGRAM ARGUMENTS"` or `GABOR_BENCH_BURN`, `--torch "PROGRAM
//! ARGUMENTS"` or `GABOR_BENCH_TORCH`. Each is run with `--only alexnet_train --batch N` and prints a
//! JSON object a line.

use std::path::PathBuf;
use std::process::ExitCode;

use gabor::bench::Budget;
use gabor::bench::peak::Effort;
use gabor::bench::report::{Options, Report, report};
use gabor::device::Device;
use gabor::error::{Error, Result};
use gabor::gpu::adapters;
use gabor::io::write_atomic;
use gabor::zoo;

const PEERS: [(&str, &str, &str); 2] =
    [("burn", "--burn", "GABOR_BENCH_BURN"), ("torch", "--torch", "GABOR_BENCH_TORCH")];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test` runs benches too.
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is timed; run `cargo bench --bench alexnet_gpu`");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alexnet_gpu: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let is_software = arguments.iter().any(|a| a == "--software");
    let found = pollster::block_on(adapters::enumerate());
    let selector = found.iter().find(|f| (f.info.kind == "software") == is_software);
    let Some(selector) = selector.map(|f| f.info.selector.clone()) else {
        let remedy = match is_software {
            false => "there is no GPU here; `-- --software` tries the bench on a software adapter",
            true => {
                "there is no software adapter here; on Debian and Ubuntu mesa-vulkan-drivers has one"
            }
        };
        return Err(Error::Usage(remedy.into()));
    };
    let options = options(is_software, peers(arguments)?)?;
    // The rehearsal takes the way of the real thing.
    let name = if is_software { format!("{selector} as discrete") } else { selector };
    let open = || Device::named(&name);
    let report = report(&options, &open, &|what| eprintln!("{what} ..."))?;
    print(&report);
    let path = target().join("alexnet_gpu.json");
    let text =
        serde_json::to_string_pretty(&report).map_err(|e| Error::Usage(format!("as JSON: {e}")))?;
    write_atomic(&path, text.as_bytes())?;
    println!("\n{:.0} s; all of it as JSON in {}", report.seconds, path.display());
    Ok(())
}

fn options(is_software: bool, peers: Vec<(String, Vec<String>)>) -> Result<Options> {
    if is_software {
        println!("a software adapter: a small AlexNet on small images, to try the bench");
        return Ok(Options {
            model: zoo::build("alexnet-2014", [3, 64, 64], 10)?,
            batches: vec![4, 2],
            budget: Budget { runs: 3, ..Budget::QUICK },
            effort: Effort::QUICK,
            steps: 2,
            peers,
        });
    }
    Ok(Options {
        model: zoo::build("alexnet-2014", [3, 224, 224], 1000)?,
        batches: vec![128, 32, 256],
        budget: Budget { warm_up: 3, runs: 5, most_runs: 100, seconds: 3.0, grain: 0.0 },
        effort: Effort::FULL,
        steps: 10,
        peers,
    })
}

/// The other frameworks' programs that were named.
fn peers(arguments: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    let mut peers = vec![];
    for (name, option, variable) in PEERS {
        let given = match arguments.iter().position(|a| a == option) {
            Some(at) => {
                let missing =
                    || Error::Usage(format!("{option} needs a program and its arguments"));
                Some(arguments.get(at + 1).cloned().ok_or_else(missing)?)
            }
            None => std::env::var(variable).ok(),
        };
        if let Some(line) = given {
            peers.push((name.to_owned(), line.split_whitespace().map(str::to_owned).collect()));
        }
    }
    Ok(peers)
}

/// The folder that cargo builds in, three above this program.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(std::env::temp_dir, PathBuf::from)
}

fn print(report: &Report) {
    let peak = &report.peak;
    let fact = |key: &str| report.adapter[key].as_str().unwrap_or("?").to_owned();
    println!("{} ({}, {}; {})", fact("name"), fact("kind"), fact("backend"), fact("driver"));
    println!("peak f32 {:.0} GFLOP/s ({})", peak.f32.giga_per_second, peak.f32.kernel);
    match &peak.f16 {
        Some(half) => println!("peak f16 {:.0} GFLOP/s ({})", half.giga_per_second, half.kernel),
        None => println!("peak f16 -: shaders have none here"),
    }
    let [read, write, copy] = [&peak.read, &peak.write, &peak.copy].map(|r| r.giga_per_second);
    println!("memory   {read:.1} GB/s read, {write:.1} written, {copy:.1} copied");
    if let Some(launch) = &peak.launch {
        let [each, fixed] = [launch.dispatch_us, launch.submission_us];
        println!("host     {each:.2} us a dispatch, {fixed:.0} us a submission");
    }
    println!("\n{}, a training step", report.model);
    for batch in &report.batches {
        for (precision, step) in [("f32", &batch.step), ("f16", &batch.half)] {
            let Some(step) = step else { continue };
            println!(
                "batch {:>3} {precision}  {:>9.2} ms  {:>8.1} images/s  {:>8.1} GFLOP/s  floor {:.2} ms: {:.1} %",
                batch.batch,
                step.ms,
                step.images_per_s,
                step.gflops,
                step.floor_ms,
                100.0 * step.of_floor,
            );
        }
        if let Some(fault) = &batch.fault {
            println!("batch {:>3} {fault}", batch.batch);
        }
    }
    for peer in &report.peers {
        let (name, batch) = (&peer.name, peer.batch);
        match (peer.line["ms"].as_f64(), peer.ratio) {
            (Some(ms), Some(ratio)) => {
                println!("{name}, batch {batch}: {ms:.2} ms, {ratio:.2} times ours");
            }
            (Some(ms), None) => {
                let fault = peer.fault.as_deref().unwrap_or("there is no figure of ours");
                println!("{name}, batch {batch}: {ms:.2} ms; {fault}");
            }
            _ => println!("{name}, batch {batch}: {}", peer.fault.as_deref().unwrap_or("-")),
        }
    }
    if report.peers.is_empty() {
        println!("no other framework was named: --burn \"PROGRAM ...\", --torch \"PROGRAM ...\"");
    }
    if let Some(profile) = &report.profile {
        println!("\nbatch {}: timed by {}", profile.batch, profile.clock.describe());
        println!(
            "{:<24} {:>9} {:>9} {:>9} {:>7}",
            "layer", "forward", "backward", "update", "peak"
        );
        for layer in &profile.layers {
            println!(
                "{:<24} {:>9.3} {:>9.3} {:>9.3} {:>5.1} %",
                layer.name,
                layer.forward_ms,
                layer.backward_ms,
                layer.update_ms,
                100.0 * layer.of_peak,
            );
        }
        if let Some(host) = profile.host {
            println!(
                "host {:.2} us a dispatch, {} dispatches",
                host.us_per_dispatch, host.dispatches
            );
        }
    }
    for fault in &report.faults {
        println!("{fault}");
    }
}
