//! One network on one GPU, with everything that its speed should be held against.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::peak::{Effort, Peak, measure_peak};
use super::profile::{self, Profile, floor};
use super::{Budget, Runner, Workload, measure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Model;
use crate::optim::Sgd;
use crate::train::{Names, Precision};

/// What to report on.
#[derive(Debug)]
pub struct Options {
    /// The network.
    pub model: Model,
    /// Images a step; the ops are listed for the first.
    pub batches: Vec<usize>,
    /// How long a step is timed at each batch.
    pub budget: Budget,
    /// How long the device's peaks are measured.
    pub effort: Effort,
    /// Steps of which each op is timed.
    pub steps: usize,
    /// Other frameworks: a name, and a program with its arguments. It is run with `--only
    /// alexnet_train --batch N` and prints a JSON object a line, with `ms`.
    pub peers: Vec<(String, Vec<String>)>,
}

/// What came out.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Report {
    /// The crate's version.
    pub gabor: String,
    /// What the driver says of the adapter.
    pub adapter: Value,
    /// The network.
    pub model: String,
    /// The training step at each batch.
    pub batches: Vec<Batch>,
    /// The ops at the first batch. Where there are none, `faults` says why.
    pub profile: Option<Profile>,
    /// The device's peaks.
    pub peak: Peak,
    /// Other frameworks, at each batch.
    pub peers: Vec<Peer>,
    /// What went wrong besides.
    pub faults: Vec<String>,
    /// Seconds that all this took.
    pub seconds: f64,
}

/// The training step at a batch.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Batch {
    /// Images a step.
    pub batch: usize,
    /// The figures.
    pub step: Option<Step>,
    /// Those with values in half precision, where the adapter has it.
    pub half: Option<Step>,
    /// Why there are none, such as memory that gave out.
    pub fault: Option<String>,
}

/// A training step's figures.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Step {
    /// Milliseconds: the median.
    pub ms: f64,
    /// The shortest.
    pub ms_min: f64,
    /// The longest.
    pub ms_max: f64,
    /// How many were timed.
    pub runs: usize,
    /// Images a second.
    pub images_per_s: f64,
    /// Billions of floating-point operations of a step.
    pub gflop: f64,
    /// Billions of floating-point operations a second.
    pub gflops: f64,
    /// The least milliseconds that the ops could take, each at the device's peak of arithmetic or of
    /// bandwidth, whichever takes longer.
    pub floor_ms: f64,
    /// That over the median: the share of the roofline's floor.
    pub of_floor: f64,
    /// The bytes of all buffers.
    pub memory: u64,
    /// The loss of the first step.
    pub loss: f32,
}

/// Another framework's figure.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Peer {
    /// The name that it was given.
    pub name: String,
    /// Images a step.
    pub batch: usize,
    /// The line that its program printed.
    pub line: Value,
    /// How many times as long as ours its step takes.
    pub ratio: Option<f64>,
    /// Why there is no line or no ratio.
    pub fault: Option<String>,
}

/// How many times as much another framework's step may be, as it counts: some count taps in the
/// padding, some only convolutions and matrix products.
const WORK: f64 = 1.5;

/// How long another framework's program may take.
const PEER_SECONDS: u64 = 90;

/// Measures peaks, steps and ops. `open` opens the device: anew for each batch, since one whose
/// memory has given out is of no use any more. `tell` hears what is being done.
///
/// Errors where the device cannot be opened or its peaks not be measured. What fails later is in the
/// report.
pub fn report(
    options: &Options,
    open: &dyn Fn() -> Result<Device>,
    tell: &dyn Fn(&str),
) -> Result<Report> {
    let began = Instant::now();
    let (adapter, peak) = {
        let device = open()?;
        tell(&format!("{}: peaks", device.name()));
        (adapter(&device), measure_peak(&device, &options.effort)?)
    };
    let mut report = Report {
        gabor: env!("CARGO_PKG_VERSION").into(),
        adapter,
        model: options.model.name().into(),
        batches: vec![],
        profile: None,
        peak,
        peers: vec![],
        faults: vec![],
        seconds: 0.0,
    };
    for (i, &batch) in options.batches.iter().enumerate() {
        tell(&format!("training step, batch {batch}"));
        let measured = |precision| {
            let step =
                open().and_then(|d| measure_step(options, &d, batch, precision, &report.peak));
            split(step)
        };
        let (step, mut fault) = measured(Precision::F32);
        let mut half = None;
        if report.peak.f16.is_some() {
            let (step, in_half) = measured(Precision::F16);
            half = step;
            fault = fault.or(in_half.map(|fault| format!("in half precision: {fault}")));
        }
        report.batches.push(Batch { batch, step, half, fault });
        if i == 0 {
            tell("each op of it");
            let part = profile::Options { batch, steps: options.steps, precision: Precision::F32 };
            let found = open().and_then(|device| {
                profile::profile(&device, &options.model, &sgd(), part, &report.peak)
            });
            let (found, fault) = split(found);
            report.profile = found;
            report.faults.extend(fault.map(|fault| format!("ops: {fault}")));
        }
    }
    for (name, command) in &options.peers {
        for ours in &report.batches {
            tell(&format!("{name}, batch {}", ours.batch));
            report.peers.push(run_peer(name, command, ours));
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn split<T>(outcome: Result<T>) -> (Option<T>, Option<String>) {
    match outcome {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error.to_string())),
    }
}

/// The optimizer that the other frameworks' programs use.
fn sgd() -> Sgd {
    Sgd::new(1e-3).momentum(0.9).weight_decay(5e-4).decay_biases()
}

fn adapter(device: &Device) -> Value {
    match device {
        Device::Cpu => json!({ "name": device.name(), "kind": "cpu" }),
        #[cfg(feature = "gpu")]
        Device::Gpu(engine) => serde_json::to_value(engine.report()).unwrap_or_default(),
    }
}

fn measure_step(
    options: &Options,
    device: &Device,
    batch: usize,
    precision: Precision,
    peak: &Peak,
) -> Result<Step> {
    let workload = Workload::training_step(&options.model, &sgd(), batch, precision)?;
    let mut runner = Runner::new(device, &workload, 1)?;
    let loss = runner.run()?.scalar(Names::LOSS)?;
    if !loss.is_finite() {
        return Err(Error::Usage(format!("the loss of the first step is {loss}")));
    }
    let (floor, memory) = (floor(runner.plan(), peak), runner.plan().memory());
    let flops = runner.plan().cost().flops;
    drop(runner);
    let time = measure(device, &workload, &options.budget)?;
    Ok(Step {
        ms: time.median * 1e3,
        ms_min: time.min * 1e3,
        ms_max: time.max * 1e3,
        runs: time.runs,
        images_per_s: batch as f64 / time.median,
        gflop: flops as f64 / 1e9,
        gflops: time.giga_per_second(flops),
        floor_ms: floor * 1e3,
        of_floor: floor / time.median,
        memory,
        loss,
    })
}

fn run_peer(name: &str, command: &[String], ours: &Batch) -> Peer {
    let (line, mut fault) = split(peer_line(command, ours.batch));
    let line = line.unwrap_or_default();
    let mut ratio = line["ms"].as_f64().zip(ours.step).map(|(ms, step)| ms / step.ms);
    if let Some((theirs, step)) = line["gflop"].as_f64().zip(ours.step)
        && !(theirs / WORK..=theirs * WORK).contains(&step.gflop)
    {
        ratio = None;
        let ours = step.gflop;
        fault = Some(format!("not compared: its step is {theirs:.1} GFLOP, ours {ours:.1}"));
    }
    Peer { name: name.into(), batch: ours.batch, ratio, line, fault }
}

/// The last JSON object that a program prints.
fn peer_line(command: &[String], batch: usize) -> Result<Value> {
    let [program, arguments @ ..] = command else {
        return Err(Error::Usage("a peer needs a program to run".into()));
    };
    let failed = |problem: String| Error::Usage(format!("{program}: {problem}"));
    let mut child = Command::new(program)
        .args(arguments)
        .args(["--only", "alexnet_train", "--batch", &batch.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let deadline = Instant::now() + Duration::from_secs(PEER_SECONDS);
    // It prints a few lines, which a pipe holds.
    while child.try_wait().map_err(|e| failed(e.to_string()))?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("not done after {PEER_SECONDS} s")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
    }
    let mut objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = objects.rfind(Value::is_object);
    let line = line.ok_or_else(|| failed("it printed no JSON object".into()))?;
    match line["error"].as_str() {
        Some(error) => Err(failed(error.into())),
        None => Ok(line),
    }
}
