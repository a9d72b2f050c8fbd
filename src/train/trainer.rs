//! A network in training: its programs, compiled for the batches that come.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Options;
use super::explosion::{Norms, check_gradient_growth};
use super::graphs;
use super::memory::Budget;
use super::network::Network;
use super::recording::Recording;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Plan;
use crate::nn::Model;
use crate::optim::{GradientNorm, Optimizer, check_learning_rate};
use crate::session::Program;
use crate::tensor::Tensor;

/// A network in training on a device.
#[derive(Debug)]
pub struct Trainer {
    pub(super) network: Network,
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) options: Options,
    /// One program for each batch size.
    pub(super) training: HashMap<usize, Program>,
    pub(super) accumulating: HashMap<usize, Program>,
    pub(super) applying: Option<Program>,
    pub(super) recording: Option<Recording>,
    pub(super) norms: Norms,
    pub(super) step: u64,
}

impl Trainer {
    /// Compiles the training step and creates the parameters. On a device that is
    /// [tuned](Device::tuned) by measuring, the kernels of a step on a whole batch are measured first;
    /// the smaller batch at an epoch's end takes what is known by then.
    ///
    /// Errors where the network cannot be built, a setting is out of range, or a step does not fit
    /// the device: the message says which batch would.
    pub fn new(
        device: &Device,
        model: Model,
        optimizer: impl Optimizer + 'static,
        options: Options,
    ) -> Result<Self> {
        check_learning_rate(optimizer.learning_rate())?;
        options.schedule.check()?;
        model.input_type(options.batch)?;
        if model.trainable_names()?.is_empty() {
            let problem = "has no parameters to train; freeze fewer layers";
            return Err(Error::Usage(format!("model {} {problem}", model.name())));
        }
        if options.micro_batch == Some(0) {
            return Err(Error::setting("micro-batch", 0, "must be 1 or more"));
        }
        let growth = options.max_gradient_growth;
        check_gradient_growth(growth)?;
        options.loss.check(model.classes()?)?;
        let optimizer: Box<dyn Optimizer> = match growth > 0.0 && !optimizer.clips_norm() {
            true => Box::new(GradientNorm::new(optimizer)),
            false => Box::new(optimizer),
        };
        let mut network = Network::new(device, model)?;
        network.evaluated = optimizer.evaluated().map(str::to_owned);
        let mut trainer = Trainer {
            network,
            optimizer,
            options,
            training: HashMap::new(),
            accumulating: HashMap::new(),
            applying: None,
            recording: None,
            norms: Norms::default(),
            step: 0,
        };
        trainer.tune()?;
        trainer.prepare(trainer.options.batch)?;
        Ok(trainer)
    }

    /// Has the step's kernels measured, if the device is to do so. It is done here and never later,
    /// so that a run's kernels are known before its first step.
    fn tune(&self) -> Result<()> {
        let Options { batch, micro_batch, memory, .. } = self.options;
        let (options, optimizer) = (&self.options, self.optimizer.as_ref());
        let Network { device, model, .. } = &self.network;
        let graph = match micro_batch.filter(|&m| m < batch) {
            Some(micro_batch) => graphs::accumulation(model, options, micro_batch)?,
            None => graphs::training_step_with(model, optimizer, options, batch)?,
        };
        // A step that does not fit is refused by `prepare`, and not after minutes.
        let plan = Plan::new(&graph, &device.target());
        if plan.is_ok_and(|plan| Budget::new(device, memory, 0).fits(&plan)) {
            device.tune(&graph);
        }
        Ok(())
    }

    /// The network with its present parameters.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network, to evaluate or to load parameters into.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Steps done so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// From now on keeps a copy of a parameter, such as `conv1.weight`, every `every` steps of
    /// [`Trainer::fit`]; the first is its present value.
    ///
    /// Errors where there is none of that name.
    pub fn record(&mut self, parameter: &str, every: u64) -> Result<()> {
        self.recording = Some(Recording::new(parameter, every, &self.network.session)?);
        Ok(())
    }

    /// The copies that [`Trainer::record`] asked for, in order.
    pub fn recorded(&self) -> &[Tensor] {
        self.recording.as_ref().map_or(&[], Recording::frames)
    }

    /// The plan of a training step on a whole batch, or on a micro-batch.
    pub fn plan(&self) -> Option<&Plan> {
        let programs = [&self.training, &self.accumulating];
        programs.into_iter().flat_map(|p| p.values()).map(Program::plan).max_by_key(|p| p.memory())
    }

    /// Compiles what a step on `batch` images needs, if that has not been done.
    pub(super) fn prepare(&mut self, batch: usize) -> Result<()> {
        let (optimizer, options) = (self.optimizer.as_ref(), &self.options);
        // States of the programs that are there are shared by those to come.
        let programs = [&self.training, &self.accumulating].map(HashMap::values);
        let programs = programs.into_iter().flatten().chain(&self.applying);
        let resident = programs.map(|p| p.plan().state_memory()).max().unwrap_or(0);
        let Network { device, session, model, .. } = &mut self.network;
        let model = &*model;
        let budget = Budget::new(device, self.options.memory, resident);
        let recompute = self.options.recompute;
        let compile = |graph| budget.compile(device, &graph);
        let whole = |n| {
            let step = graphs::training_step_with(model, optimizer, options, n)?;
            Ok((compile(recompute.apply(step))?, 0))
        };
        let apply = || compile(graphs::application(model, optimizer, options)?);
        let micro = |n| {
            let step = graphs::accumulation(model, options, n)?;
            let plan = compile(recompute.apply(step))?;
            let beside = apply()?.memory().saturating_sub(plan.state_memory());
            Ok((plan, beside))
        };
        let Some(micro_batch) = self.options.micro_batch.filter(|&m| m < batch) else {
            if let Entry::Vacant(entry) = self.training.entry(batch) {
                entry.insert(session.load(budget.plan(batch, &whole, Some(&micro))?)?);
            }
            return Ok(());
        };
        for size in [micro_batch, batch % micro_batch] {
            if size == 0 {
                continue;
            }
            if let Entry::Vacant(entry) = self.accumulating.entry(size) {
                entry.insert(session.load(budget.plan(size, &micro, None)?)?);
            }
        }
        if self.applying.is_none() {
            self.applying = Some(session.load(apply()?)?);
        }
        Ok(())
    }
}
