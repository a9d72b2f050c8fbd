//! Ops and a training step of the default network, on the CPU engine and on an adapter if there is
//! one: `cargo bench`, or `cargo bench -- conv2` for some of them. `gabor bench` times every layer.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use gabor::bench::{Runner, Workload, training_samples};
use gabor::device::Device;
use gabor::error::Result;
use gabor::nn::Model;
use gabor::ops::case::{Case, Draw};
use gabor::ops::gemm::MatMul;
use gabor::optim::Sgd;
use gabor::train::Precision;
use gabor::zoo;

/// Images a step.
const BATCH: usize = 64;

/// The layers whose ops are timed, forward and backward.
const LAYERS: [&str; 5] = ["conv1 ", "conv2 ", "conv3 ", "lrn1 ", "pool1 "];

/// The longest run of which many samples are taken.
const LONGEST: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut devices = vec![("cpu", Device::cpu())];
    match Device::gpu("") {
        Ok(device) => devices.push(("gpu", device)),
        Err(error) => eprintln!("only the CPU is timed: {error}"),
    }
    for (name, workload) in workloads()? {
        let cost = workload.cost()?;
        let mut group = criterion.benchmark_group(&name);
        group.throughput(match cost.flops {
            0 => Throughput::Bytes(cost.bytes_read + cost.bytes_written),
            flops => Throughput::Elements(flops),
        });
        for (kind, device) in &devices {
            if !is_chosen(&format!("{name}/{kind}")) {
                continue;
            }
            let mut runner = Runner::new(device, &workload, 1)?;
            let start = Instant::now();
            runner.run()?;
            let first = start.elapsed();
            if first > LONGEST {
                eprintln!("{name}/{kind} takes {first:.1?} and is left to `gabor bench`");
                continue;
            }
            let mut outcome = Ok(());
            group.bench_function(*kind, |bencher| {
                bencher.iter(|| {
                    if outcome.is_ok() {
                        outcome = runner.run().map(drop);
                    }
                });
            });
            // A run that failed is no result.
            outcome?;
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Whether a benchmark is among those that the command line asks for: those whose name contains the
/// first word that is no option, or all.
fn is_chosen(name: &str) -> bool {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    filter.is_none_or(|filter| name.contains(&filter))
}

fn workloads() -> Result<Vec<(String, Workload)>> {
    let mut workloads = vec![];
    let mut draw = Draw::new(1);
    for n in [256, 512] {
        let inputs = vec![draw.normal([n, n]), draw.normal([n, n])];
        let case = Case::new("", MatMul::default(), inputs);
        workloads.push((format!("gemm {n}"), Workload::op(&case)?));
    }
    let model = model()?;
    let sgd = Sgd::new(0.01).momentum(0.9).weight_decay(5e-4);
    let is_timed = |place: &str| LAYERS.iter().any(|layer| place.starts_with(layer));
    training_samples(&model, &sgd, BATCH, &is_timed, &mut |sample| {
        let name = format!("{} {}", sample.case.label, sample.case.op.name());
        workloads.push((name, Workload::op(&sample.case)?));
        Ok(())
    })?;
    let step = Workload::training_step(&model, &sgd, BATCH, Precision::F32)?;
    workloads.push(("training step".into(), step));
    Ok(workloads)
}

fn model() -> Result<Model> {
    let entry = &zoo::MODELS[0];
    let (input, classes) = entry.home;
    zoo::build(entry.name, input, classes)
}
