//! What a device can do at most, measured: multiply-adds in registers, and traffic with memory.
//!
//! A figure is the fastest run of the fastest kernel, on results that were compared with what they
//! must be, to the bit. It says what WGSL reaches on an adapter, or the CPU engine's instructions on a
//! processor: less than a data sheet promises, and the most that any kernel of the same kind can
//! hope for.

use super::{Budget, Workload, compute, measure};
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
}

/// A measured rate, in billions a second.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Rate {
    /// Billions a second.
    pub giga_per_second: f64,
    /// The kernel that reached it, or `cpu`.
    pub kernel: String,
}

impl Peak {
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

/// How long the probes measure.
const BUDGET: Budget = Budget { warm_up: 1, runs: 5, most_runs: 50, seconds: 0.1, grain: 0.004 };

/// Runs that are shorter than this say more about the launch than about the device.
const SECONDS: f64 = 0.003;

/// Multiply-adds for each element.
const ROUNDS: u32 = 1024;

/// Measures a device's peaks, which takes some seconds. Nothing else should be running.
///
/// Errors where the device fails, or no kernel of a probe gives the right result.
pub fn measure_peak(device: &Device) -> Result<Peak> {
    let arithmetic = arithmetic_case(device)?;
    let flops = 2 * u64::from(ROUNDS) * arithmetic.inputs[0].shape().elements() as u64;
    let sum = ROUNDS as f32 / 1024.0;
    let advanced: Vec<_> = arithmetic.inputs[0].as_f32()?.iter().map(|x| x + sum).collect();
    let arithmetic = |wants: &dyn Fn(&str) -> bool| {
        fastest(device, &arithmetic, flops, &|y| y == advanced, wants)
    };
    let is_half = |kernel: &str| MultiplyAdd::is_half(kernel);

    let elements = memory_elements(device);
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
        read: fastest(device, &read, bytes, &|y| y == sums, all)?,
        write: fastest(device, &write, bytes, &|y| y.iter().all(|&y| y == 0.5), all)?,
        copy: fastest(device, &copy, 2 * bytes, &|y| Ok(y) == tiles.as_f32().map_err(|_| ()), all)?,
    })
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
fn arithmetic_case(device: &Device) -> Result<Case> {
    let case = |elements: usize| -> Result<Case> {
        let values = (0..elements).map(|i| (i * 37 % 1024) as f32 / 1024.0).collect();
        let inputs = vec![Tensor::f32([elements], values)?];
        Ok(Case::new("multiply-add", MultiplyAdd { rounds: ROUNDS }, inputs))
    };
    let mut elements = 1 << 16;
    loop {
        let case = case(elements)?;
        let budget = Budget { runs: 1, seconds: 0.0, grain: 0.0, ..BUDGET };
        let time = measure(device, &Workload::op(&case)?, &budget)?.min;
        if time >= SECONDS || elements >= 1 << 25 {
            return Ok(case);
        }
        elements *= 2;
    }
}

/// Elements of a tensor that no cache holds.
fn memory_elements(device: &Device) -> usize {
    let bytes = match device.target() {
        Target::Cpu => 128 << 20,
        Target::Gpu(adapter) if adapter.is_software() => 128 << 20,
        Target::Gpu(adapter) => (256 << 20).min(adapter.max_buffer_bytes),
    };
    let elements = (bytes / 4) as usize;
    elements - elements % (ROWS * COLUMNS)
}

/// The rate of the fastest kernel whose result is right.
fn fastest(
    device: &Device,
    case: &Case,
    work: u64,
    is_right: &dyn Fn(&[f32]) -> bool,
    wants: &dyn Fn(&str) -> bool,
) -> Result<Rate> {
    let kernels = match device.target() {
        Target::Cpu => vec![None],
        Target::Gpu(adapter) => {
            let types = Types::infer(case.op.as_ref(), case.input_types())?;
            let variants = case.op.gpu(&types, &adapter)?;
            variants.iter().map(|variant| Some(variant.name)).collect()
        }
    };
    let (mut best, mut fault): (Option<Rate>, _) = (None, None);
    for kernel in kernels.into_iter().filter(|kernel| wants(kernel.unwrap_or("cpu"))) {
        match rate(device, case, kernel, work, is_right) {
            Ok(rate) if best.as_ref().is_none_or(|b| b.giga_per_second < rate.giga_per_second) => {
                best = Some(rate);
            }
            Ok(_) => {}
            Err(error) => fault = Some(error),
        }
    }
    let none = || Error::Usage(format!("{} has no kernel for {}", case.op.name(), device.name()));
    best.ok_or_else(|| fault.unwrap_or_else(none))
}

fn rate(
    device: &Device,
    case: &Case,
    kernel: Option<&str>,
    work: u64,
    is_right: &dyn Fn(&[f32]) -> bool,
) -> Result<Rate> {
    let name = kernel.unwrap_or("cpu");
    if !is_right(compute(device, case, kernel)?[0].as_f32()?) {
        let device = device.name();
        let problem = format!("kernel {name} of {} gives a wrong result", case.op.name());
        return Err(Error::Usage(format!("{device}: {problem}")));
    }
    let workload = Workload::op(case)?;
    let workload = kernel.map_or(workload.clone(), |name| workload.kernel(name));
    let time = measure(device, &workload, &BUDGET)?;
    Ok(Rate { giga_per_second: work as f64 / time.min / 1e9, kernel: name.into() })
}
