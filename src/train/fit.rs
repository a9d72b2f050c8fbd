//! The loop over epochs and their batches.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::divergence::{REMEDY, SNAPSHOT_STEPS, Snapshot};
use super::input::lend;
use super::step::{StepUnderWay, finish_step};
use super::{EpochMetrics, Evaluation, Event, ImageInput, Network, Report, Stage, Trainer};
use crate::data::{Loader, LoaderConfig, Source, Transforms};
use crate::error::{Error, Result};
use crate::optim::Scheduler;

/// Steps under way before the oldest one's metrics are waited for.
const DEPTH: usize = 2;

impl Trainer {
    /// Trains on `source` for `epochs` epochs and evaluates the test set after each. `observe` sees
    /// every step and epoch and may end the run by breaking.
    ///
    /// Errors where data or device fail, and where training diverges: a loss or a parameter is not
    /// finite, the loss is a thousand times that of guessing, or the gradients have
    /// [exploded](super::Options::max_gradient_growth). The error names the layer whose values
    /// went bad first; the parameters are then those before that step.
    pub fn fit(
        &mut self,
        source: &Source,
        epochs: u64,
        mut observe: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Report> {
        self.fit_with(source, epochs, |event, _| observe(event))
    }

    /// [`Trainer::fit`] for an observer that also looks at the network. After an epoch its parameters
    /// are those that were evaluated, and good: no epoch ends in divergence. At a step later ones may be
    /// under way already.
    ///
    /// Errors as [`Trainer::fit`].
    pub fn fit_with(
        &mut self,
        source: &Source,
        epochs: u64,
        observe: impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<Report> {
        self.fit_stages(&[Stage { source: source.clone(), epochs }], observe)
    }

    /// [`Trainer::fit_with`] in stages: for instance on a part of the training set, with the rest to
    /// choose settings by, and then on all of it. The epochs of all stages are those of the schedule,
    /// and an epoch has as many steps as its stage's images make. Which epoch is the best, whether to
    /// stop early and whether a plateau has come is judged in each stage afresh, since it has another
    /// test set; a stage that stops early ends the run.
    ///
    /// Errors as [`Trainer::fit`], and where a stage has no epoch or there is none.
    pub fn fit_stages(
        &mut self,
        stages: &[Stage],
        mut observe: impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<Report> {
        let epochs = stages.iter().map(|stage| stage.epochs).fold(0, u64::saturating_add);
        if stages.iter().any(|stage| stage.epochs == 0) || epochs == 0 {
            return Err(Error::setting("epochs", 0, "must be 1 or more"));
        }
        if self.options.early_stop == Some(0) {
            return Err(Error::setting("early-stop", 0, "must be 1 or more epochs"));
        }
        let loaders: Vec<_> =
            stages.iter().map(|stage| self.loader(&stage.source)).collect::<Result<_>>()?;
        let mut scheduler = Scheduler::new(self.options.schedule.clone(), epochs, 1);
        let parameters: Vec<_> =
            self.network.model.parameter_types()?.into_iter().map(|(name, _)| name).collect();
        let mut report = Report {
            epochs: vec![],
            test: Evaluation { loss: f32::NAN, top1: 0.0, top5: 0.0, images: 0 },
            best: None,
            train_time: Duration::ZERO,
            steps: 0,
            is_interrupted: false,
            is_stopped_early: false,
        };
        let mut first = 0;
        for (stage, loader) in stages.iter().zip(loaders) {
            scheduler.stage_begins(loader.batches() as u64);
            let safe = Snapshot::take(&self.network.session, self.step, first, 0)?;
            safe.check(&parameters)?;
            let parameters = parameters.clone();
            let sums = Sums::default();
            let mut course = Course { loader, scheduler, epochs, parameters, safe, sums };
            if self.stage(&mut course, stage, first, &mut report, &mut observe)?.is_break() {
                break;
            }
            (scheduler, first) = (course.scheduler, first + stage.epochs);
        }
        Ok(report)
    }

    /// The epochs of a stage, of which the first is `first`, counted from 0. Breaks where the run is to
    /// end.
    fn stage(
        &mut self,
        course: &mut Course,
        stage: &Stage,
        first: u64,
        report: &mut Report,
        observe: &mut impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Stage { source, epochs } = stage;
        let testing = LoaderConfig {
            transforms: course.loader.config().transforms.still(),
            ..LoaderConfig::new(self.options.batch, source.normalise.clone())
        };
        report.best = None;
        for epoch in first..first + epochs {
            course.sums = Sums::default();
            let started = Instant::now();
            let mut flow = self.epoch(course, epoch, observe)?;
            let time = started.elapsed();
            report.train_time += time;
            report.steps = self.step;
            self.renew(course, epoch + 1, 0)?;
            report.test = self.network.evaluate_with(&source.test, testing.clone())?;
            if !report.test.loss.is_finite() {
                let problem = format!("the loss of the test set is {}; {REMEDY}", report.test.loss);
                return Err(Error::Diverged { step: self.step, layer: None, problem });
            }
            course.scheduler.epoch_ended(report.test.loss.into(), report.test.top1.into());
            let sums = &course.sums;
            if sums.images > 0 {
                let is_best = report.note_best(epoch + 1, self.options.best_by);
                let metrics = EpochMetrics {
                    epoch: epoch + 1,
                    loss: (sums.loss / sums.images as f64) as f32,
                    train_top1: (sums.correct / sums.images as f64) as f32,
                    test_loss: report.test.loss,
                    test_top1: report.test.top1,
                    images_per_second: sums.images as f64 / time.as_secs_f64(),
                    learning_rate: sums.learning_rate,
                    seconds: time.as_secs_f64(),
                    is_best,
                };
                report.epochs.push(metrics);
                let asked = observe(&Event::Epoch(metrics), &self.network);
                flow = if flow.is_break() { flow } else { asked };
            }
            report.is_interrupted = flow.is_break();
            if flow.is_break() || self.is_at_last_step() {
                return Ok(ControlFlow::Break(()));
            }
            let best = report.best.map_or(first, |best| best.epoch);
            if self.options.early_stop.is_some_and(|most| epoch + 1 - best >= most) {
                report.is_stopped_early = epoch + 1 < course.epochs;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The training images of `source` in batches, for whose sizes all is compiled: nothing is built
    /// after the first step.
    ///
    /// Errors where the images do not suit the network, or a step does not fit the device.
    pub(super) fn loader(&mut self, source: &Source) -> Result<Loader> {
        let own = || source.augment.clone().into();
        let transforms = self.options.transforms.clone().unwrap_or_else(own);
        self.check_source(source, &transforms)?;
        let last = source.train.len() % self.options.batch;
        if last > 0 {
            self.prepare(last)?;
        }
        let loader = Loader::new(
            source.train.clone(),
            LoaderConfig {
                seed: self.options.seed,
                shuffle: true,
                transforms,
                on_device: self.options.input != ImageInput::Values,
                weights: self.options.weights.clone(),
                ..LoaderConfig::new(self.options.batch, source.normalise.clone())
            },
        )?;
        match &self.options.input {
            ImageInput::Bytes(own) if loader.preparation() != Some(&**own) => {
                let remedy = "is for other transforms, data or normalisation than those that are \
                              trained with";
                Err(Error::setting("input", "bytes", remedy))
            }
            _ => Ok(loader),
        }
    }

    fn is_at_last_step(&self) -> bool {
        self.options.max_steps.is_some_and(|max| self.step >= max)
    }

    fn epoch(
        &mut self,
        course: &mut Course,
        epoch: u64,
        observe: &mut impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut under_way = VecDeque::new();
        let mut flow = ControlFlow::Continue(());
        for (index, batch) in course.loader.epoch(epoch).enumerate() {
            if flow.is_break() || self.is_at_last_step() {
                break;
            }
            if index > 0 && index.is_multiple_of(SNAPSHOT_STEPS) {
                // The steps up to here are known to be good before their outcome is kept.
                while !under_way.is_empty() && flow.is_continue() {
                    flow = self.next_metrics(&mut under_way, course, observe)?;
                }
                self.renew(course, epoch, index)?;
            }
            let rate = self.rate(course, epoch, index);
            let mut batch = batch?;
            let types = self.image_types(batch.len)?;
            let step = lend(&mut batch, types, |feed| self.start_step(feed, rate, epoch + 1))?;
            under_way.push_back(step);
            if let Some(recording) = &mut self.recording {
                recording.after_step(self.step, &self.network.session)?;
            }
            if under_way.len() > DEPTH {
                flow = self.next_metrics(&mut under_way, course, observe)?;
            }
        }
        while !under_way.is_empty() {
            let next = self.next_metrics(&mut under_way, course, observe)?;
            if next.is_break() {
                flow = next;
            }
        }
        Ok(flow)
    }

    /// The learning rate of a step.
    pub(super) fn rate(&self, course: &Course, epoch: u64, index: usize) -> f32 {
        let batches = course.loader.batches() as u64;
        let factor = course.scheduler.factor(epoch * batches + index as u64);
        (f64::from(self.optimizer.learning_rate()) * factor) as f32
    }

    /// Copies the states where they are good.
    fn renew(&mut self, course: &mut Course, epoch: u64, index: usize) -> Result<()> {
        let snapshot = Snapshot::take(&self.network.session, self.step, epoch, index)?;
        match snapshot.check(&course.parameters) {
            // The step before gave a good loss, so it was its gradients.
            Err(Error::Diverged { problem, layer, .. }) => {
                let fallback = Error::Diverged { step: self.step, layer, problem };
                return Err(self.explain_divergence(course, self.step + 1, fallback));
            }
            checked => checked?,
        }
        course.safe = snapshot;
        Ok(())
    }

    /// Waits for the oldest step under way. Where it has diverged, the error says what went wrong.
    fn next_metrics(
        &mut self,
        under_way: &mut VecDeque<StepUnderWay>,
        course: &mut Course,
        observe: &mut impl FnMut(&Event, &Network) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(step) = under_way.pop_front() else { return Ok(ControlFlow::Continue(())) };
        let finished = finish_step(step).and_then(|metrics| self.check_gradients(metrics));
        let metrics = match finished {
            Err(Error::Diverged { step, layer, problem }) => {
                // The device takes nothing new before these are read.
                for later in under_way.drain(..) {
                    let _ = later.wait();
                }
                let fallback = Error::Diverged { step, layer, problem };
                return Err(self.explain_divergence(course, step, fallback));
            }
            finished => finished?,
        };
        let sums = &mut course.sums;
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

/// What a run goes by, and where it is.
pub(super) struct Course {
    pub loader: Loader,
    pub scheduler: Scheduler,
    /// Epochs of the run.
    epochs: u64,
    /// The names of what must be finite.
    pub parameters: Vec<String>,
    /// The last copies of the states that are known to be good.
    pub safe: Snapshot,
    sums: Sums,
}

/// Weighted sums over an epoch, and the learning rate of its last step.
#[derive(Default)]
struct Sums {
    loss: f64,
    correct: f64,
    images: usize,
    learning_rate: f32,
}
