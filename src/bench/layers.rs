//! A network's training step, op by op: forward, backward and update, on the CPU engine and on a
//! GPU, on the values that the step really computes.

use std::collections::HashMap;

use super::samples::training_samples;
use super::workload::shapes;
use super::{Budget, Pass, Runner, Sample, Time, Workload, compute, measure};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Model;
use crate::ops::case::{Case, agrees, oracle};
use crate::ops::{Cost, Types};
use crate::optim::Optimizer;
use crate::tensor::{Data, Tensor};
use crate::tolerance::Tolerance;
use crate::train::{Names, Precision};

/// What to measure, and how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Images a step.
    pub batch: usize,
    /// How long each measurement takes.
    pub budget: Budget,
    /// Every kernel that an op has for the GPU, not only the one that would be chosen.
    pub all_kernels: bool,
    /// Compare the CPU's results with the oracle's too, which takes long.
    pub check: bool,
    /// Only rows whose layer, pass and op, parted by blanks, contain this.
    pub filter: String,
}

/// What one device takes for one run.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Figures {
    /// Milliseconds: the median.
    pub ms: f64,
    /// The shortest run.
    pub ms_min: f64,
    /// The longest run.
    pub ms_max: f64,
    /// How many measurements there were.
    pub runs: usize,
    /// GFLOP/s, where the op does arithmetic to speak of.
    pub gflops: Option<f64>,
    /// GB/s, if each operand were read or written once.
    pub gb_per_s: f64,
}

/// An op of the training step on both devices; with one kernel, where there is a GPU.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Row {
    /// The network.
    pub model: String,
    /// Images a step.
    pub batch: usize,
    /// The layer, or for an update the parameter.
    pub layer: String,
    /// The part of the step.
    pub pass: Pass,
    /// The op.
    pub op: String,
    /// The extents of its inputs.
    pub inputs: String,
    /// Its floating-point operations.
    pub flops: u64,
    /// The bytes of its inputs and outputs.
    pub bytes: u64,
    /// The CPU engine.
    pub cpu: Option<Figures>,
    /// The kernel on the GPU.
    pub kernel: Option<String>,
    /// The GPU.
    pub gpu: Option<Figures>,
    /// How many times as fast as the CPU engine the GPU is.
    pub ratio: Option<f64>,
    /// Why there are no figures: what failed, or in how far the result was wrong.
    pub fault: Option<String>,
}

impl Row {
    fn figures(&self, time: &Time) -> Figures {
        Figures {
            ms: time.median * 1e3,
            ms_min: time.min * 1e3,
            ms_max: time.max * 1e3,
            runs: time.runs,
            gflops: (self.flops > 0).then(|| time.giga_per_second(self.flops)),
            gb_per_s: time.giga_per_second(self.bytes),
        }
    }
}

/// Measures all ops of a training step of `model`, then the whole step. `visit` gets each row as
/// soon as it is known. Layers that do the same on the same shapes are measured once.
///
/// Errors where the network cannot be built. What fails on a device is a row that says so.
pub fn measure_layers(
    model: &Model,
    optimizer: &dyn Optimizer,
    gpu: Option<&Device>,
    options: &Options,
    visit: &mut dyn FnMut(Row),
) -> Result<()> {
    let bench = Bench { model, optimizer, gpu, options };
    let wants = |text: &str| text.contains(&options.filter);
    let mut known: HashMap<String, Vec<Row>> = HashMap::new();
    training_samples(model, optimizer, options.batch, &wants, &mut |sample| {
        let row = bench.row(&sample)?;
        let key = format!("{:?} {}", sample.case.op, row.inputs);
        let measured = known.entry(key).or_insert_with(|| bench.measure_op(row.clone(), &sample));
        for found in measured.iter().cloned() {
            visit(Row { layer: row.layer.clone(), pass: row.pass, ..found });
        }
        Ok(())
    })?;
    if wants("all step training_step") {
        visit(bench.measure_step()?);
    }
    Ok(())
}

struct Bench<'a> {
    model: &'a Model,
    optimizer: &'a dyn Optimizer,
    gpu: Option<&'a Device>,
    options: &'a Options,
}

impl Bench<'_> {
    /// What is known about an op before it is measured.
    fn row(&self, sample: &Sample) -> Result<Row> {
        let types = Types::infer(sample.case.op.as_ref(), sample.case.input_types())?;
        let cost = sample.case.op.cost(&types);
        let mut row = self.empty_row(&sample.layer, sample.pass, sample.case.op.name(), cost);
        row.inputs = shapes(&types.inputs);
        Ok(row)
    }

    fn empty_row(&self, layer: &str, pass: Pass, op: &str, cost: Cost) -> Row {
        Row {
            model: self.model.name().into(),
            batch: self.options.batch,
            layer: layer.into(),
            pass,
            op: op.into(),
            inputs: String::new(),
            flops: cost.flops,
            bytes: cost.bytes_read + cost.bytes_written,
            cpu: None,
            kernel: None,
            gpu: None,
            ratio: None,
            fault: None,
        }
    }

    /// One row, or one for each kernel.
    fn measure_op(&self, mut row: Row, sample: &Sample) -> Vec<Row> {
        let Sample { case, outputs, .. } = sample;
        if let Err(problem) = self.measure_cpu(&mut row, case, outputs) {
            row.fault = Some(problem);
            return vec![row];
        }
        let Some(device) = self.gpu else { return vec![row] };
        let kernels = match kernels(device, case) {
            Ok(kernels) => kernels,
            Err(error) => {
                row.fault = Some(error.to_string());
                return vec![row];
            }
        };
        let count = if self.options.all_kernels { kernels.len() } else { 1 };
        let rows = kernels.iter().take(count).map(|kernel| {
            let mut row = Row { kernel: Some((*kernel).into()), ..row.clone() };
            match self.measure_kernel(device, kernel, case, outputs) {
                Ok(time) => row.set_gpu(&time),
                Err(problem) => row.fault = Some(problem),
            }
            row
        });
        rows.collect()
    }

    fn measure_cpu(&self, row: &mut Row, case: &Case, outputs: &[Tensor]) -> Result<(), String> {
        if self.options.check {
            let expected = oracle(case.op.as_ref(), &case.inputs).map_err(|e| e.to_string())?;
            let tolerance = tolerance(case, None, 1.0)?;
            for (output, expected) in outputs.iter().zip(&expected) {
                agrees(output, &expected.data, tolerance)
                    .map_err(|e| format!("the CPU's result is wrong: {e}"))?;
            }
        }
        let time = Workload::op(case)
            .and_then(|workload| measure(&Device::Cpu, &workload, &self.options.budget))
            .map_err(|e| e.to_string())?;
        row.cpu = Some(row.figures(&time));
        Ok(())
    }

    fn measure_kernel(
        &self,
        device: &Device,
        kernel: &str,
        case: &Case,
        expected: &[Tensor],
    ) -> Result<Time, String> {
        let outputs = compute(device, case, Some(kernel)).map_err(|e| e.to_string())?;
        // Both may be off by the tolerance.
        let tolerance = tolerance(case, Some(kernel), 2.0)?;
        for (output, expected) in outputs.iter().zip(expected) {
            agrees(output, &doubles(expected), tolerance)
                .map_err(|e| format!("the result differs from the CPU's: {e}"))?;
        }
        drop(outputs);
        Workload::op(case)
            .and_then(|work| measure(device, &work.kernel(kernel), &self.options.budget))
            .map_err(|e| e.to_string())
    }

    /// The whole step; on the GPU only if it gives the CPU's loss.
    fn measure_step(&self) -> Result<Row> {
        let workload = {
            let (model, batch) = (self.model, self.options.batch);
            Workload::training_step(model, self.optimizer, batch, Precision::F32)?
        };
        let mut row = self.empty_row("all", Pass::Step, "training_step", workload.cost()?);
        row.inputs = shapes(&[self.model.input_type(self.options.batch)?]);
        let loss = |device: &Device| Runner::new(device, &workload, 1)?.run()?.scalar(Names::LOSS);
        let expected = loss(&Device::Cpu)?;
        row.cpu = Some(row.figures(&measure(&Device::Cpu, &workload, &self.options.budget)?));
        let Some(device) = self.gpu else { return Ok(row) };
        let measured = loss(device).and_then(|actual| {
            if (actual - expected).abs() <= 1e-3 * expected.abs() {
                return measure(device, &workload, &self.options.budget);
            }
            Err(Error::Usage(format!("the loss is {actual}, the CPU's {expected}")))
        });
        match measured {
            Ok(time) => row.set_gpu(&time),
            Err(error) => row.fault = Some(error.to_string()),
        }
        Ok(row)
    }
}

impl Row {
    fn set_gpu(&mut self, time: &Time) {
        let figures = self.figures(time);
        self.ratio = self.cpu.map(|cpu| cpu.ms / figures.ms);
        self.gpu = Some(figures);
    }
}

/// The names of the kernels that a device offers, the picked one first.
fn kernels(device: &Device, case: &Case) -> Result<Vec<&'static str>> {
    let types = Types::infer(case.op.as_ref(), case.input_types())?;
    Ok(device.variants(case.op.as_ref(), &types)?.iter().map(|variant| variant.name).collect())
}

fn tolerance(case: &Case, kernel: Option<&str>, factor: f64) -> Result<Tolerance, String> {
    let types = Types::infer(case.op.as_ref(), case.input_types());
    let types = types.map_err(|e| e.to_string())?;
    Ok(case.op.tolerance(&types, kernel).times(factor))
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        Data::U32(v) => v.iter().map(|&x| f64::from(x)).collect(),
    }
}
