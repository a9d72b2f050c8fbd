//! The loop over steps and epochs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::graphs::{self, Names};
use super::memory::Budget;
use super::network::{Evaluation, Network, check_labels, lend};
use super::recording::Recording;
use crate::data::{Loader, LoaderConfig, Source, Transforms};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Plan, Recompute};
use crate::nn::Model;
use crate::optim::{Optimizer, Schedule, Scheduler, check_learning_rate};
use crate::session::{Pending, Program, Session};
use crate::tensor::Tensor;

/// How to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// Images a step.
    pub batch: usize,
    /// Images at a time on the device, where a whole batch does not fit. The gradients are those of
    /// the whole batch.
    pub micro_batch: Option<usize>,
    /// Decides initial weights, order, augmentation and dropout.
    pub seed: u64,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// Ends the run after this many steps.
    pub max_steps: Option<u64>,
    /// Which activations are computed again in the backward pass, for less memory.
    pub recompute: Recompute,
    /// The most bytes that a step may take; without it what the device is known to offer.
    pub memory: Option<u64>,
    /// What happens to training images, in place of the source's own augmentation. Testing takes the
    /// still counterparts.
    pub transforms: Option<Transforms>,
    /// The chances of the training images to be drawn; see [`LoaderConfig::weights`].
    pub weights: Vec<f32>,
}

impl Default for Options {
    /// Batch 64, seed 0, a constant learning rate.
    fn default() -> Self {
        Options {
            batch: 64,
            micro_batch: None,
            seed: 0,
            schedule: Schedule::Constant,
            max_steps: None,
            recompute: Recompute::None,
            memory: None,
            transforms: None,
            weights: vec![],
        }
    }
}

/// One step of training.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct StepMetrics {
    /// The step, counted from 1.
    pub step: u64,
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The mean cross-entropy of the batch, in nats.
    pub loss: f32,
    /// The share of the batch that was classified rightly.
    pub top1: f32,
    /// The learning rate.
    pub learning_rate: f32,
    /// Images in the batch.
    pub images: usize,
}

/// One epoch of training.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct EpochMetrics {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The mean cross-entropy over the epoch's images, in nats, each at its step.
    pub loss: f32,
    /// The share of the epoch's images that were classified rightly, each at its step.
    pub train_top1: f32,
    /// The mean cross-entropy of the test set after the epoch.
    pub test_loss: f32,
    /// The share of the test set that is classified rightly after the epoch.
    pub test_top1: f32,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f32,
    /// Training images a second.
    pub images_per_second: f64,
    /// Seconds that its steps took, evaluation left out.
    pub seconds: f64,
}

/// What [`Trainer::fit`] tells its observer.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A step is done.
    Step(StepMetrics),
    /// An epoch is done and the test set evaluated.
    Epoch(EpochMetrics),
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each epoch.
    pub epochs: Vec<EpochMetrics>,
    /// The test set after the last step.
    pub test: Evaluation,
    /// Time spent training, evaluation left out.
    pub train_time: Duration,
    /// Steps done.
    pub steps: u64,
    /// Whether the observer ended the run early.
    pub is_interrupted: bool,
}

/// A network in training on a device.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    optimizer: Box<dyn Optimizer>,
    options: Options,
    /// One program for each batch size.
    training: HashMap<usize, Program>,
    accumulating: HashMap<usize, Program>,
    applying: Option<Program>,
    recording: Option<Recording>,
    step: u64,
}

/// A step that may still be under way.
struct StepUnderWay {
    pending: Pending,
    metrics: StepMetrics,
}

/// Steps under way before the oldest one's metrics are waited for.
const DEPTH: usize = 2;

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
        if options.micro_batch == Some(0) {
            return Err(Error::setting("micro-batch", 0, "must be 1 or more"));
        }
        let mut network = Network::new(device, model)?;
        network.evaluated = optimizer.evaluated().map(str::to_owned);
        let mut trainer = Trainer {
            network,
            optimizer: Box::new(optimizer),
            options,
            training: HashMap::new(),
            accumulating: HashMap::new(),
            applying: None,
            recording: None,
            step: 0,
        };
        trainer.tune()?;
        trainer.prepare(trainer.options.batch)?;
        Ok(trainer)
    }

    /// Has the step's kernels measured, if the device is to do so. It is done here and never later,
    /// so that a run's kernels are known before its first step.
    fn tune(&self) -> Result<()> {
        let Options { batch, micro_batch, seed, memory, .. } = self.options;
        let Network { device, model, .. } = &self.network;
        let graph = match micro_batch.filter(|&m| m < batch) {
            Some(micro_batch) => graphs::accumulation(model, micro_batch, seed)?,
            None => graphs::training_step(model, self.optimizer.as_ref(), batch, seed)?,
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
    fn prepare(&mut self, batch: usize) -> Result<()> {
        let (optimizer, seed) = (self.optimizer.as_ref(), self.options.seed);
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
            let step = graphs::training_step(model, optimizer, n, seed)?;
            Ok((compile(recompute.apply(step))?, 0))
        };
        let apply = || compile(graphs::application(model, optimizer, seed)?);
        let micro = |n| {
            let step = graphs::accumulation(model, n, seed)?;
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

    /// One step on a batch, to its end.
    ///
    /// Errors where the loss is not finite or the device fails.
    pub fn train_batch(
        &mut self,
        images: &Tensor,
        labels: &Tensor,
        learning_rate: f32,
    ) -> Result<StepMetrics> {
        let step = self.start_step(images, labels, learning_rate, 1)?;
        finish_step(step)
    }

    fn start_step(
        &mut self,
        images: &Tensor,
        labels: &Tensor,
        learning_rate: f32,
        epoch: u64,
    ) -> Result<StepUnderWay> {
        check_labels(labels, self.network.classes)?;
        let batch = labels.shape().elements();
        let expected = self.network.model.input_type(batch)?;
        if images.ty() != expected {
            let (name, given) = (Names::IMAGES, images.ty());
            return Err(Error::Usage(format!(
                "`{name}` is {given}; {batch} labels and the model call for {expected}"
            )));
        }
        self.prepare(batch)?;
        self.step += 1;
        let rate = Tensor::scalar(learning_rate);
        let metrics = StepMetrics {
            step: self.step,
            epoch,
            loss: f32::NAN,
            top1: f32::NAN,
            learning_rate,
            images: batch,
        };
        if let Some(program) = self.training.get_mut(&batch) {
            let counter = counter(self.options.seed, self.step, 0)?;
            let inputs = [
                (Names::IMAGES, images),
                (Names::LABELS, labels),
                (Names::COUNTER, &counter),
                (Names::LEARNING_RATE, &rate),
            ];
            let pending = start(&mut self.network.session, program, &inputs)?;
            return Ok(StepUnderWay { pending, metrics });
        }
        let outputs = self.accumulate(images, labels)?;
        let program = self.applying.as_mut();
        let program = program.ok_or_else(|| Error::Usage("no program applies gradients".into()))?;
        start(&mut self.network.session, program, &[(Names::LEARNING_RATE, &rate)])?.wait()?;
        Ok(StepUnderWay { pending: Pending::ready(outputs), metrics })
    }

    /// Runs the micro-batches of a batch, one after another, and returns its loss and top-1.
    fn accumulate(&mut self, images: &Tensor, labels: &Tensor) -> Result<Vec<(String, Tensor)>> {
        let batch = labels.shape().elements();
        let micro_batch = self.options.micro_batch.unwrap_or(batch);
        let per_image = images.shape().per_sample();
        let (pixels, labels) = (images.as_f32()?, labels.as_u32()?);
        let (mut loss, mut top1) = (0.0, 0.0);
        for first in (0..batch).step_by(micro_batch) {
            let count = micro_batch.min(batch - first);
            let part = pixels[first * per_image..(first + count) * per_image].to_vec();
            let images = Tensor::f32(self.network.model.input_type(count)?.shape, part)?;
            let labels = Tensor::u32([count], labels[first..first + count].to_vec())?;
            let counter = counter(self.options.seed, self.step, first)?;
            let share = count as f32 / batch as f32;
            let share_input = Tensor::scalar(share);
            let inputs = [
                (Names::IMAGES, &images),
                (Names::LABELS, &labels),
                (Names::COUNTER, &counter),
                (Names::SHARE, &share_input),
            ];
            let program = self.accumulating.get_mut(&count);
            let program = program
                .ok_or_else(|| Error::Usage(format!("no program for a micro-batch of {count}")))?;
            let outputs = start(&mut self.network.session, program, &inputs)?.wait()?;
            loss += share * outputs.scalar(Names::LOSS)?;
            top1 += outputs.scalar(Names::TOP1)?;
        }
        Ok(vec![
            (Names::LOSS.to_owned(), Tensor::scalar(loss)),
            (Names::TOP1.to_owned(), Tensor::scalar(top1)),
        ])
    }

    /// Trains on `source` for `epochs` epochs and evaluates the test set after each. `observe` sees
    /// every step and epoch and may end the run by breaking.
    ///
    /// Errors where data, device or arithmetic fail: a loss that is not finite stops the run.
    pub fn fit(
        &mut self,
        source: &Source,
        epochs: u64,
        mut observe: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Report> {
        self.fit_with(source, epochs, |event, _| observe(event))
    }

    /// [`Trainer::fit`] for an observer that also looks at the network. After an epoch its parameters
    /// are those that were evaluated; at a step later ones may be under way already.
    ///
    /// Errors as [`Trainer::fit`].
    pub fn fit_with(
        &mut self,
        source: &Source,
        epochs: u64,
        mut observe: impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<Report> {
        if epochs == 0 {
            return Err(Error::setting("epochs", 0, "must be 1 or more"));
        }
        let own = || source.augment.clone().into();
        let transforms = self.options.transforms.clone().unwrap_or_else(own);
        self.check_source(source, &transforms)?;
        let testing = LoaderConfig {
            transforms: transforms.still(),
            ..LoaderConfig::new(self.options.batch, source.normalise.clone())
        };
        let loader = Loader::new(
            source.train.clone(),
            LoaderConfig {
                seed: self.options.seed,
                shuffle: true,
                transforms,
                weights: self.options.weights.clone(),
                ..LoaderConfig::new(self.options.batch, source.normalise.clone())
            },
        )?;
        // All sizes that will come, so that nothing is built after the first step.
        let last = source.train.len() % self.options.batch;
        if last > 0 {
            self.prepare(last)?;
        }
        let schedule = self.options.schedule.clone();
        let mut scheduler = Scheduler::new(schedule, epochs, loader.batches() as u64);
        let mut report = Report {
            epochs: vec![],
            test: Evaluation { loss: f32::NAN, top1: 0.0, top5: 0.0, images: 0 },
            train_time: Duration::ZERO,
            steps: 0,
            is_interrupted: false,
        };
        let mut flow = ControlFlow::Continue(());
        for epoch in 0..epochs {
            let mut sums = Sums::default();
            let started = Instant::now();
            flow = self.epoch(&loader, epoch, &scheduler, &mut sums, &mut observe)?;
            let time = started.elapsed();
            report.train_time += time;
            report.steps = self.step;
            report.test = self.network.evaluate_with(&source.test, testing.clone())?;
            scheduler.epoch_ended(report.test.loss.into(), report.test.top1.into());
            if sums.images > 0 {
                let metrics = EpochMetrics {
                    epoch: epoch + 1,
                    loss: (sums.loss / sums.images as f64) as f32,
                    train_top1: (sums.correct / sums.images as f64) as f32,
                    test_loss: report.test.loss,
                    test_top1: report.test.top1,
                    learning_rate: sums.learning_rate,
                    images_per_second: sums.images as f64 / time.as_secs_f64(),
                    seconds: time.as_secs_f64(),
                };
                report.epochs.push(metrics);
                let after = observe(&Event::Epoch(metrics), &self.network);
                if flow.is_continue() {
                    flow = after;
                }
            }
            if flow.is_break() || self.options.max_steps.is_some_and(|max| self.step >= max) {
                break;
            }
        }
        report.is_interrupted = flow.is_break();
        Ok(report)
    }

    fn epoch(
        &mut self,
        loader: &Loader,
        epoch: u64,
        scheduler: &Scheduler,
        sums: &mut Sums,
        observe: &mut impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let batches = loader.batches() as u64;
        let mut under_way = VecDeque::new();
        let mut flow = ControlFlow::Continue(());
        for (index, batch) in loader.epoch(epoch).enumerate() {
            if flow.is_break() || self.options.max_steps.is_some_and(|max| self.step >= max) {
                break;
            }
            let factor = scheduler.factor(epoch * batches + index as u64);
            let rate = (f64::from(self.optimizer.learning_rate()) * factor) as f32;
            let mut batch = batch?;
            let input = self.network.model().input_type(batch.len)?;
            let step = lend(&mut batch, &input, |images, labels| {
                self.start_step(images, labels, rate, epoch + 1)
            })?;
            under_way.push_back(step);
            if let Some(recording) = &mut self.recording {
                recording.after_step(self.step, &self.network.session)?;
            }
            if under_way.len() > DEPTH {
                flow = self.next_metrics(&mut under_way, sums, observe)?;
            }
        }
        while !under_way.is_empty() {
            let next = self.next_metrics(&mut under_way, sums, observe)?;
            if next.is_break() {
                flow = next;
            }
        }
        Ok(flow)
    }

    fn next_metrics(
        &self,
        under_way: &mut VecDeque<StepUnderWay>,
        sums: &mut Sums,
        observe: &mut impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(step) = under_way.pop_front() else { return Ok(ControlFlow::Continue(())) };
        let metrics = finish_step(step)?;
        sums.loss += f64::from(metrics.loss) * metrics.images as f64;
        sums.correct += f64::from(metrics.top1) * metrics.images as f64;
        sums.images += metrics.images;
        sums.learning_rate = metrics.learning_rate;
        Ok(observe(&Event::Step(metrics), &self.network))
    }

    fn check_source(&self, source: &Source, transforms: &Transforms) -> Result<()> {
        let (input, classes) = (self.network.model.input(), self.network.classes);
        if transforms.views() > 1 {
            return Err(Error::setting("transforms", "ten-crop", "is for testing, not training"));
        }
        let sets = [(&source.train, transforms.clone()), (&source.test, transforms.still())];
        for (dataset, transforms) in sets {
            let shape = transforms.output_shape(dataset.shape())?;
            if shape != input {
                return Err(Error::Usage(format!(
                    "model {} takes images of {input:?}, data set {} has {shape:?}",
                    self.network.model.name(),
                    dataset.name(),
                )));
            }
            if dataset.classes().len() > classes {
                return Err(Error::Usage(format!(
                    "model {} tells {classes} classes apart, data set {} has {}",
                    self.network.model.name(),
                    dataset.name(),
                    dataset.classes().len()
                )));
            }
        }
        Ok(())
    }
}

/// Weighted sums over an epoch, and its last learning rate.
#[derive(Default)]
struct Sums {
    loss: f64,
    correct: f64,
    images: usize,
    learning_rate: f32,
}

/// Starts a run with those of `inputs` that the program has: a network without dropout has no
/// counter.
fn start(
    session: &mut Session,
    program: &mut Program,
    inputs: &[(&str, &Tensor)],
) -> Result<Pending> {
    let plan = program.plan();
    let has = |name: &str| plan.inputs.iter().any(|v| v.name == name);
    let inputs: Vec<_> = inputs.iter().copied().filter(|&(name, _)| has(name)).collect();
    session.start_blocking(program, &inputs)
}

fn finish_step(step: StepUnderWay) -> Result<StepMetrics> {
    let mut metrics = step.metrics;
    let outputs = step.pending.wait()?;
    metrics.loss = outputs.scalar(Names::LOSS)?;
    metrics.top1 = outputs.scalar(Names::TOP1)? / metrics.images as f32;
    if metrics.loss.is_finite() {
        return Ok(metrics);
    }
    let problem = format!("the loss is {}; try a smaller learning rate", metrics.loss);
    Err(Error::Diverged { step: metrics.step, problem })
}

fn counter(seed: u64, step: u64, first_sample: usize) -> Result<Tensor> {
    let words = vec![seed as u32, (seed >> 32) as u32, step as u32, first_sample as u32];
    Tensor::u32([4], words)
}
