//! Where the time of a training step goes: op by op, beside what the device could do at best.

use std::collections::HashMap;
use std::time::Instant;

use super::measure::median;
use super::peak::Peak;
use super::workload::shapes;
use super::{Pass, Runner, Workload};
use crate::device::Device;
use crate::error::Result;
use crate::graph::{Clock, Home, Plan, PlanStep, Timeline};
use crate::nn::Model;
use crate::ops::Cost;
use crate::optim::Optimizer;
use crate::train::Precision;

/// What to profile.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Images a step.
    pub batch: usize,
    /// Steps that are timed; figures are medians over them.
    pub steps: usize,
    /// How the values of a step are stored.
    pub precision: Precision,
}

/// A profile of a network's training step on a device.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Profile {
    /// The network.
    pub model: String,
    /// Images a step.
    pub batch: usize,
    /// How the values of a step are stored.
    pub precision: Precision,
    /// The device's name.
    pub device: String,
    /// By whose clock the ops were timed.
    pub clock: Clock,
    /// Steps that were timed.
    pub steps: usize,
    /// The device's peaks.
    pub peak: Peak,
    /// What the ops take together, in milliseconds: the sum of the rows.
    pub ops_ms: f64,
    /// What a step takes from start to end when nothing in it is timed, in milliseconds.
    pub step_ms: f64,
    /// The least that the ops could take at the device's peaks, in milliseconds.
    pub floor_ms: f64,
    /// The host's part of a step on a GPU.
    pub host: Option<Host>,
    /// The ops, in the order in which they run.
    pub rows: Vec<Row>,
    /// The layers, in the order in which they first run.
    pub layers: Vec<Sum>,
    /// Forward, backward and update.
    pub passes: Vec<Sum>,
    /// The timed steps, each with the second at which it began, counted from the first.
    #[serde(skip)]
    pub timelines: Vec<(f64, Timeline)>,
}

/// What the host does for a step, on a device that had nothing else to do.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Host {
    /// The dispatches of a step.
    pub dispatches: usize,
    /// The copies that are recorded among them, each of which ends a pass: texels, and values that are
    /// kept from what is written over them.
    pub copies: usize,
    /// Microseconds to write the inputs, record the commands and hand them over, of the recording
    /// thread's processor time on Linux: the median.
    pub start_us: f64,
    /// The same for each dispatch.
    pub us_per_dispatch: f64,
    /// `start_us` of starts before which the same commands were recorded and dropped, so that they
    /// were in the processor's caches. Kernels that run on the same processor empty these from
    /// step to step; a GPU's kernels should not.
    pub warm_start_us: f64,
    /// The same for each dispatch.
    pub warm_us_per_dispatch: f64,
}

/// An op of a training step.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Row {
    /// The layer, or for an update the parameter.
    pub layer: String,
    /// The part of the step.
    pub pass: Pass,
    /// The op.
    pub op: String,
    /// The kernel, or `cpu`.
    pub kernel: String,
    /// The extents of its inputs.
    pub inputs: String,
    /// Milliseconds: the median.
    pub ms: f64,
    /// The share of what all ops take, from 0 to 1.
    pub share: f64,
    /// Its floating-point operations.
    pub flops: u64,
    /// The bytes of its inputs and outputs.
    pub bytes: u64,
    /// GFLOP/s.
    pub gflops: f64,
    /// GB/s, if each operand were read or written once.
    pub gb_per_s: f64,
    /// The share of the device's peak that it reaches, from 0 to 1: the peak of what bounds it.
    pub of_peak: f64,
    /// What bounds it at best.
    pub bound: Bound,
    /// The kernel's dispatches, where there are several.
    pub dispatches: Vec<DispatchTime>,
}

/// What an op cannot be faster than.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The peak of multiply-adds.
    Arithmetic,
    /// The bandwidth of memory.
    Memory,
}

/// A dispatch of a kernel that consists of several.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct DispatchTime {
    /// The file under `shaders/`.
    pub shader: String,
    /// Milliseconds: the median.
    pub ms: f64,
}

/// The ops of a layer or a part of the step, added up.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Sum {
    /// The layer or the part of the step.
    pub name: String,
    /// Milliseconds in the forward pass.
    pub forward_ms: f64,
    /// Milliseconds in the backward pass.
    pub backward_ms: f64,
    /// Milliseconds in updates.
    pub update_ms: f64,
    /// Milliseconds in all.
    pub ms: f64,
    /// The share of what all ops take, from 0 to 1.
    pub share: f64,
    /// The share of the device's peak: the least time, over the time.
    pub of_peak: f64,
}

/// Starts of which the median is taken, and steps that are timed as a whole.
const STARTS: usize = 15;

/// The longest that timing whole steps goes on, in seconds.
const SECONDS: f64 = 5.0;

/// Profiles the training step of `model` on random images, which stay on the device.
///
/// Errors where the network cannot be built, does not fit the device, or the device fails.
pub fn profile(
    device: &Device,
    model: &Model,
    optimizer: &dyn Optimizer,
    options: Options,
    peak: &Peak,
) -> Result<Profile> {
    let workload = Workload::training_step(model, optimizer, options.batch, options.precision)?;
    let mut runner = Runner::new(device, &workload, 1)?;
    // The second run is the first for which everything has been compiled.
    runner.run()?;
    let is_gpu = !matches!(device, Device::Cpu);
    let (step_ms, start_us) = whole_steps(&mut runner, false)?;
    // The CPU engine records nothing.
    let warm_start_us = if is_gpu { whole_steps(&mut runner, true)?.1 } else { start_us };
    let began = Instant::now();
    let mut timelines = vec![];
    for _ in 0..options.steps.max(1) {
        let at = began.elapsed().as_secs_f64();
        timelines.push((at, runner.run_timed()?.1));
    }
    let plan = runner.plan();
    let dispatches = dispatches(plan);
    let rows = rows(plan, &timelines, peak);
    Ok(Profile {
        model: model.name().into(),
        batch: options.batch,
        precision: options.precision,
        device: device.name(),
        clock: timelines.first().map_or(Clock::Host, |(_, timeline)| timeline.clock),
        steps: timelines.len(),
        peak: peak.clone(),
        ops_ms: rows.iter().map(|row| row.ms).sum(),
        step_ms,
        floor_ms: floor(plan, peak) * 1e3,
        host: is_gpu.then(|| Host {
            dispatches,
            copies: runner.copies(),
            start_us,
            us_per_dispatch: start_us / dispatches.max(1) as f64,
            warm_start_us,
            warm_us_per_dispatch: warm_start_us / dispatches.max(1) as f64,
        }),
        layers: sums(&rows, peak, |row| row.layer_of_parameter().to_owned()),
        passes: sums(&rows, peak, |row| row.pass.name().to_owned()),
        rows,
        timelines,
    })
}

/// What the layers of a training step take.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct LayerTimes {
    /// The device's name.
    pub device: String,
    /// By whose clock the ops were timed.
    pub clock: Clock,
    /// Images a step.
    pub batch: usize,
    /// Steps that were timed; figures are medians over them.
    pub steps: usize,
    /// The layers, in the order in which they first run. Without a peak to compare with, their
    /// `of_peak` is 0.
    pub layers: Vec<Sum>,
}

/// Times the layers of a training step as [`profile`] does, without measuring peaks: a step to warm
/// up, then up to `options.steps` for `seconds`, one at least.
///
/// Errors where the network cannot be built, does not fit the device, or the device fails.
pub fn layer_times(
    device: &Device,
    model: &Model,
    optimizer: &dyn Optimizer,
    options: Options,
    seconds: f64,
) -> Result<LayerTimes> {
    let workload = Workload::training_step(model, optimizer, options.batch, options.precision)?;
    let mut runner = Runner::new(device, &workload, 1)?;
    runner.run()?;
    let began = Instant::now();
    let mut timelines = vec![(0.0, runner.run_timed()?.1)];
    while timelines.len() < options.steps && began.elapsed().as_secs_f64() < seconds {
        let at = began.elapsed().as_secs_f64();
        timelines.push((at, runner.run_timed()?.1));
    }
    let peak = Peak::unknown();
    let rows = rows(runner.plan(), &timelines, &peak);
    Ok(LayerTimes {
        device: device.name(),
        clock: timelines.first().map_or(Clock::Host, |(_, timeline)| timeline.clock),
        batch: options.batch,
        steps: timelines.len(),
        layers: sums(&rows, &peak, |row| row.layer_of_parameter().to_owned()),
    })
}

/// The medians of a whole step, in milliseconds, and of its start, in microseconds; with a rehearsal
/// before each step, if so wanted.
fn whole_steps(runner: &mut Runner, rehearses: bool) -> Result<(f64, f64)> {
    let (mut steps, mut starts) = (vec![], vec![]);
    let began = Instant::now();
    while steps.len() < 3 || (steps.len() < STARTS && began.elapsed().as_secs_f64() < SECONDS) {
        if rehearses {
            runner.rehearse();
        }
        let [start, step] = runner.timed_start()?;
        starts.push(start * 1e6);
        steps.push(step * 1e3);
    }
    steps.sort_by(f64::total_cmp);
    starts.sort_by(f64::total_cmp);
    Ok((median(&steps), median(&starts)))
}

/// The least seconds that a run of this plan can take, if each op reaches the device's peak of
/// arithmetic or of bandwidth, whichever takes longer.
pub fn floor(plan: &Plan, peak: &Peak) -> f64 {
    let floors = plan.steps.iter().map(|step| match step {
        PlanStep::Run { op, types, .. } => {
            let Cost { flops, bytes_read, bytes_written } = op.cost(types);
            peak.floor(flops, bytes_read + bytes_written)
        }
        PlanStep::Copy { bytes, .. } => peak.floor(0, 2 * bytes),
    });
    floors.sum()
}

/// The dispatches of a run of this plan.
fn dispatches(plan: &Plan) -> usize {
    let counts = plan.steps.iter().map(|step| match step {
        PlanStep::Run { variant, .. } => variant.as_ref().map_or(0, |v| v.dispatches.len()),
        PlanStep::Copy { .. } => 0,
    });
    counts.sum()
}

/// What is known of a plan's steps before they are timed. A copy belongs to the op that it is made
/// for, the one after it; the last ones bring new parameters home.
fn blank_rows(plan: &Plan) -> Vec<Row> {
    let mut place = ("states".to_owned(), Pass::Update);
    let mut rows: Vec<_> =
        plan.steps.iter().rev().map(|step| blank_row(plan, step, &mut place)).collect();
    rows.reverse();
    rows
}

fn blank_row(plan: &Plan, step: &PlanStep, next: &mut (String, Pass)) -> Row {
    let mut row = Row {
        layer: String::new(),
        pass: Pass::Update,
        op: "copy".into(),
        kernel: "copy".into(),
        inputs: String::new(),
        ms: 0.0,
        share: 0.0,
        flops: 0,
        bytes: 0,
        gflops: 0.0,
        gb_per_s: 0.0,
        of_peak: 0.0,
        bound: Bound::Memory,
        dispatches: vec![],
    };
    match step {
        PlanStep::Copy { bytes, .. } => row.bytes = 2 * bytes,
        PlanStep::Run { op, types, variant, outputs, layer, is_backward, .. } => {
            let Cost { flops, bytes_read, bytes_written } = op.cost(types);
            (row.flops, row.bytes) = (flops, bytes_read + bytes_written);
            row.op = op.name().into();
            row.kernel = variant.as_ref().map_or("cpu", |variant| variant.name).into();
            row.inputs = shapes(&types.inputs);
            *next = place(plan, layer, *is_backward, outputs);
            if let Some(variant) = variant.as_ref().filter(|v| v.dispatches.len() > 1) {
                let names = variant.dispatches.iter().map(|d| d.shader.name.into());
                row.dispatches = names.map(|shader| DispatchTime { shader, ms: 0.0 }).collect();
            }
        }
    }
    (row.layer, row.pass) = next.clone();
    row
}

/// The layer and the part of the step that an op belongs to.
fn place(plan: &Plan, layer: &str, is_backward: bool, outputs: &[Home]) -> (String, Pass) {
    if is_backward {
        return (layer.to_owned(), Pass::Backward);
    }
    if layer.is_empty() {
        // The gradient of the loss with respect to itself, from which the backward pass starts.
        return ("loss".into(), Pass::Backward);
    }
    if layer != "update" {
        return (layer.to_owned(), Pass::Forward);
    }
    let states = outputs.iter().filter_map(|home| match home {
        Home::State(i) => plan.states.get(*i).map(|(state, _)| state.name.clone()),
        _ => None,
    });
    (states.into_iter().next().unwrap_or_else(|| layer.to_owned()), Pass::Update)
}

fn rows(plan: &Plan, timelines: &[(f64, Timeline)], peak: &Peak) -> Vec<Row> {
    // The seconds of each dispatch in each timed step.
    let mut seconds: HashMap<(usize, usize), Vec<f64>> = HashMap::new();
    for (_, timeline) in timelines {
        // The copies that a dispatch needs have spans of their own.
        let mut sums: HashMap<_, f64> = HashMap::new();
        for span in &timeline.device {
            *sums.entry((span.step, span.dispatch)).or_default() += span.end - span.start;
        }
        for (place, sum) in sums {
            seconds.entry(place).or_default().push(sum);
        }
    }
    let mut rows = blank_rows(plan);
    for ((step, dispatch), mut times) in seconds {
        let Some(row) = rows.get_mut(step) else { continue };
        times.sort_by(f64::total_cmp);
        let ms = median(&times) * 1e3;
        row.ms += ms;
        if let Some(part) = row.dispatches.get_mut(dispatch) {
            part.ms = ms;
        }
    }
    let total: f64 = rows.iter().map(|row| row.ms).sum();
    for row in &mut rows {
        let rate = |work: u64| if row.ms > 0.0 { work as f64 / row.ms / 1e6 } else { 0.0 };
        (row.gflops, row.gb_per_s) = (rate(row.flops), rate(row.bytes));
        row.share = row.ms / total.max(f64::MIN_POSITIVE);
        row.of_peak = of_peak(peak.floor(row.flops, row.bytes), row.ms);
        if peak.floor(row.flops, 0) > peak.floor(0, row.bytes) {
            row.bound = Bound::Arithmetic;
        }
    }
    rows
}

/// The share of the peak of what takes `ms` and could take `floor` seconds.
fn of_peak(floor: f64, ms: f64) -> f64 {
    if ms > 0.0 { floor * 1e3 / ms } else { 0.0 }
}

/// The rows added up by what `key` makes of them.
fn sums(rows: &[Row], peak: &Peak, key: impl Fn(&Row) -> String) -> Vec<Sum> {
    let mut sums: Vec<(Sum, f64)> = vec![];
    for row in rows {
        let name = key(row);
        let at = sums.iter().position(|(sum, _)| sum.name == name).unwrap_or_else(|| {
            let (ms, share, of_peak) = (0.0, 0.0, 0.0);
            let sum =
                Sum { name, forward_ms: 0.0, backward_ms: 0.0, update_ms: 0.0, ms, share, of_peak };
            sums.push((sum, 0.0));
            sums.len() - 1
        });
        let (sum, floor) = &mut sums[at];
        match row.pass {
            Pass::Forward => sum.forward_ms += row.ms,
            Pass::Backward => sum.backward_ms += row.ms,
            Pass::Update | Pass::Step => sum.update_ms += row.ms,
        }
        sum.ms += row.ms;
        sum.share += row.share;
        *floor += peak.floor(row.flops, row.bytes);
    }
    let finished =
        sums.into_iter().map(|(sum, floor)| Sum { of_peak: of_peak(floor, sum.ms), ..sum });
    finished.collect()
}

impl Row {
    /// The layer; of a parameter such as `conv1.weight` the layer that it belongs to.
    fn layer_of_parameter(&self) -> &str {
        match (self.pass, self.layer.rsplit_once('.')) {
            (Pass::Update, Some((layer, _))) => layer,
            _ => &self.layer,
        }
    }
}
