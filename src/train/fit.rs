//! The loop over epochs and their batches.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::network::lend;
use super::step::{StepUnderWay, finish_step};
use super::{EpochMetrics, Evaluation, Event, Report, Trainer};
use crate::data::{Loader, LoaderConfig, Source, Transforms};
use crate::error::{Error, Result};
use crate::optim::Scheduler;

/// Steps under way before the oldest one's metrics are waited for.
const DEPTH: usize = 2;

impl Trainer {
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
                    images_per_second: sums.images as f64 / time.as_secs_f64(),
                };
                report.epochs.push(metrics);
                if flow.is_continue() {
                    flow = observe(&Event::Epoch(metrics));
                } else {
                    let _ = observe(&Event::Epoch(metrics));
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
        observe: &mut impl FnMut(&Event) -> ControlFlow<()>,
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
                flow = next_metrics(&mut under_way, sums, observe)?;
            }
        }
        while !under_way.is_empty() {
            let next = next_metrics(&mut under_way, sums, observe)?;
            if next.is_break() {
                flow = next;
            }
        }
        Ok(flow)
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

/// Weighted sums over an epoch.
#[derive(Default)]
struct Sums {
    loss: f64,
    correct: f64,
    images: usize,
}

fn next_metrics(
    under_way: &mut VecDeque<StepUnderWay>,
    sums: &mut Sums,
    observe: &mut impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let Some(step) = under_way.pop_front() else { return Ok(ControlFlow::Continue(())) };
    let metrics = finish_step(step)?;
    sums.loss += f64::from(metrics.loss) * metrics.images as f64;
    sums.correct += f64::from(metrics.top1) * metrics.images as f64;
    sums.images += metrics.images;
    Ok(observe(&Event::Step(metrics)))
}
