//! What a device can do at most, measured: multiply-adds in registers, and traffic with memory.
//!
//! A figure is the fastest run of the fastest kernel, on results that were compared with what they
//! must be, to the bit. It says what WGSL reaches on an adapter, or the CPU engine's instructions on a
//! processor: less than a data sheet promises, and the most that any kernel of the same kind can
//! hope for.

use super::{Budget, Runner, Workload, compute, measure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Target;
use crate::ops::Types;
use crate::ops::case::Case;
use crate::ops::elementwise::Fill;
use crate::ops::probe::{Copy, MultiplyAdd, Read};
use crate::tensor::{Tensor, TensorType};

/// A device's measured peaks.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Peak {
    /// The device's name.
    pub device: String,
    /// Arithmetic in `f32`: GFLOP/s.
    pub f32: Rate,
    /// Arithmetic in `f16`: GFLOP/s, where shaders may use it.
    pub f16: Option<Rate>,
    /// Reading: GB/s.
    pub read: Rate,
    /// Writing: GB/s.
    pub write: Rate,
    /// Copying: GB/s, read and written bytes added.
    pub copy: Rate,
    /// What the host takes to hand work over, on a GPU.
    pub launch: Option<Launch>,
}

/// A measured rate, in billions a second.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Rate {
    /// Billions a second.
    pub giga_per_second: f64,
    /// The kernel that reached it, or `cpu`.
    pub kernel: String,
}

/// What the host takes to hand work over to an idle device, in microseconds of processor time.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Launch {
    /// To record and submit a dispatch more.
    pub dispatch_us: f64,
    /// To submit anything.
    pub submission_us: f64,
}

impl Peak {
    /// That of a device that nothing is known of: whatever it does could be done in no time.
    pub(super) fn unknown() -> Self {
        let rate = Rate { giga_per_second: f64::INFINITY, kernel: String::new() };
        let [f32, read, write, copy] = [(); 4].map(|()| rate.clone());
        Peak { device: String::new(), f32, f16: None, read, write, copy, launch: None }
    }

    /// The most bytes a second that the device moves in any way, in GB/s.
    pub fn bandwidth(&self) -> f64 {
        let rates = [&self.read, &self.write, &self.copy].map(|rate| rate.giga_per_second);
        rates.into_iter().fold(0.0, f64::max)
    }

    /// The least seconds that so much work can take: arithmetic or traffic, whichever takes longer.
    pub fn floor(&self, flops: u64, bytes: u64) -> f64 {
        let arithmetic = flops as f64 / self.f32.giga_per_second;
        let traffic = bytes as f64 / self.bandwidth();
        arithmetic.max(traffic) / 1e9
    }
}

/// How much the probes do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Effort {
    /// How long each kernel is measured.
    pub budget: Budget,
    /// Seconds that a run of the arithmetic probe takes at least: shorter ones say more about the
    /// launch than about the device.
    pub seconds: f64,
    /// The bytes of a tensor of the memory probes, which should pass every cache, but that an
    /// adapter with memory of its own takes twice as many.
    pub bytes: u64,
}

impl Effort {
    /// For figures that others are compared with.
    pub const FULL: Effort = Effort {
        budget: Budget { warm_up: 1, runs: 5, most_runs: 50, seconds: 0.1, grain: 0.004 },
        seconds: 0.003,
        bytes: 128 << 20,
    };
    /// For a look: smaller tensors may lie in a cache.
    pub const QUICK: Effort = Effort {
        budget: Budget { warm_up: 1, runs: 2, most_runs: 20, seconds: 0.01, grain: 0.0 },
        seconds: 0.001,
        bytes: 8 << 20,
    };
}

/// Multiply-adds for each element.
const ROUNDS: u32 = 1024;

/// Measures a device's peaks, which takes some seconds. Nothing else should be running.
///
/// Errors where the device fails, or no kernel of a probe gives the right result.
pub fn measure_peak(device: &Device, effort: &Effort) -> Result<Peak> {
    let prober = Prober { device, budget: effort.budget };
    let arithmetic = arithmetic_case(device, effort)?;
    let flops = 2 * u64::from(ROUNDS) * arithmetic.inputs[0].shape().elements() as u64;
    let sum = ROUNDS as f32 / 1024.0;
    let advanced: Vec<_> = arithmetic.inputs[0].as_f32()?.iter().map(|x| x + sum).collect();
    let arithmetic = |wants: &dyn Fn(&str) -> bool| {
        prober.fastest(&arithmetic, flops, &|y| y == advanced, wants)
    };
    let is_half = |kernel: &str| MultiplyAdd::is_half(kernel);

    let elements = memory_elements(device, effort);
    let bytes = 4 * elements as u64;
    let ramp: Vec<f32> = (0..elements).map(|i| (i % 1021) as f32).collect();
    let sums = column_sums(&ramp);
    let tiles = Tensor::f32([elements / (ROWS * COLUMNS), ROWS, COLUMNS], ramp)?;
    let read = Case::new("read", Read, vec![tiles.clone()]);
    let copy = Case::new("copy", Copy, vec![tiles.clone()]);
    let ty = TensorType::f32([elements]);
    let write = Case::new("write", Fill { value: 0.5, ty }, vec![]);
    let all = &|_: &str| true;
    Ok(Peak {
        device: device.name(),
        f32: arithmetic(&|kernel| !is_half(kernel))?,
        f16: arithmetic(&is_half).ok(),
        read: prober.fastest(&read, bytes, &|y| y == sums, all)?,
        write: prober.fastest(&write, bytes, &|y| y.iter().all(|&y| y == 0.5), all)?,
        copy: prober.fastest(
            &copy,
            2 * bytes,
            &|y| Ok(y) == tiles.as_f32().map_err(|_| ()),
            all,
        )?,
        launch: if matches!(device, Device::Cpu) { None } else { Some(measure_launch(device)?) },
    })
}

/// Dispatches in the shorter and the longer of two submissions.
const LAUNCHES: [usize; 2] = [50, 550];

/// Starts of which the fastest counts.
const STARTS: usize = 25;

/// The processor time from starting a run to having handed it over, for few dispatches and for many.
///
/// Errors where the device fails.
pub fn measure_launch(device: &Device) -> Result<Launch> {
    let case = Case::new("launch", Copy, vec![Tensor::f32([64], vec![1.0; 64])?]);
    let workload = Workload::op(&case)?;
    let mut us = [0.0; 2];
    for (us, dispatches) in us.iter_mut().zip(LAUNCHES) {
        let mut runner = Runner::new(device, &workload, dispatches)?;
        runner.run()?;
        let starts: Result<Vec<_>> = (0..STARTS).map(|_| Ok(runner.timed_start()?[0])).collect();
        *us = starts?.into_iter().fold(f64::INFINITY, f64::min) * 1e6;
    }
    let [few, many] = LAUNCHES.map(|n| n as f64);
    let dispatch_us = ((us[1] - us[0]) / (many - few)).max(0.0);
    Ok(Launch { dispatch_us, submission_us: (us[0] - few * dispatch_us).max(0.0) })
}

/// A tile of the reading probe.
const ROWS: usize = 64;
const COLUMNS: usize = 256;

fn column_sums(values: &[f32]) -> Vec<f32> {
    let mut sums = Vec::with_capacity(values.len() / ROWS);
    for tile in values.chunks(ROWS * COLUMNS) {
        // Whole numbers, so that the order does not matter.
        sums.extend((0..COLUMNS).map(|c| tile.iter().skip(c).step_by(COLUMNS).sum::<f32>()));
    }
    sums
}

/// As many elements as take the device some milliseconds.
fn arithmetic_case(device: &Device, effort: &Effort) -> Result<Case> {
    let case = |elements: usize| -> Result<Case> {
        let values = (0..elements).map(|i| (i * 37 % 1024) as f32 / 1024.0).collect();
        let inputs = vec![Tensor::f32([elements], values)?];
        Ok(Case::new("multiply-add", MultiplyAdd { rounds: ROUNDS }, inputs))
    };
    let mut elements = 1 << 16;
    loop {
        let case = case(elements)?;
        let budget = Budget { runs: 1, seconds: 0.0, grain: 0.0, ..effort.budget };
        let time = measure(device, &Workload::op(&case)?, &budget)?.min;
        if time >= effort.seconds || elements >= 1 << 25 {
            return Ok(case);
        }
        elements *= 2;
    }
}

/// Elements of a tensor that no cache holds.
fn memory_elements(device: &Device, effort: &Effort) -> usize {
    let bytes = match device.target() {
        Target::Gpu(adapter) if !adapter.is_software() => {
            (2 * effort.bytes).min(adapter.max_buffer_bytes)
        }
        _ => effort.bytes,
    };
    let elements = (bytes / 4) as usize;
    elements - elements % (ROWS * COLUMNS)
}

/// A device under test.
struct Prober<'a> {
    device: &'a Device,
    budget: Budget,
}

/// Whether a result is what it must be.
type IsRight<'a> = &'a dyn Fn(&[f32]) -> bool;

impl Prober<'_> {
    /// The rate of the fastest kernel whose result is right, of those that `wants` takes.
    fn fastest(
        &self,
        case: &Case,
        work: u64,
        is_right: IsRight<'_>,
        wants: &dyn Fn(&str) -> bool,
    ) -> Result<Rate> {
        let kernels = match self.device.target() {
            Target::Cpu => vec![None],
            Target::Gpu(adapter) => {
                let types = Types::infer(case.op.as_ref(), case.input_types())?;
                let variants = case.op.variants(&types, &adapter)?;
                variants.iter().map(|variant| Some(variant.name)).collect()
            }
        };
        let (mut best, mut fault): (Option<Rate>, _) = (None, None);
        for kernel in kernels.into_iter().filter(|kernel| wants(kernel.unwrap_or("cpu"))) {
            match self.rate(case, kernel, work, is_right) {
                Ok(rate) => {
                    if best.as_ref().is_none_or(|b| b.giga_per_second < rate.giga_per_second) {
                        best = Some(rate);
                    }
                }
                Err(error) => fault = Some(error),
            }
        }
        let (op, device) = (case.op.name(), self.device.name());
        let none = || Error::Usage(format!("{op} has no kernel for {device}"));
        best.ok_or_else(|| fault.unwrap_or_else(none))
    }

    fn rate(
        &self,
        case: &Case,
        kernel: Option<&str>,
        work: u64,
        is_right: IsRight<'_>,
    ) -> Result<Rate> {
        let name = kernel.unwrap_or("cpu");
        let outputs = compute(self.device, case, kernel)?;
        if !is_right(outputs[0].as_f32()?) {
            let (op, device) = (case.op.name(), self.device.name());
            return Err(Error::Usage(format!("{device}: kernel {name} of {op} is wrong")));
        }
        drop(outputs);
        let workload = Workload::op(case)?;
        let workload = kernel.map_or(workload.clone(), |name| workload.kernel(name));
        let time = measure(self.device, &workload, &self.budget)?;
        Ok(Rate { giga_per_second: work as f64 / time.min / 1e9, kernel: name.into() })
    }
}
