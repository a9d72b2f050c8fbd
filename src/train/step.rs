//! A step of training: one run of a program, or one for each micro-batch and one that updates.

use super::divergence::{REMEDY, is_lost};
use super::graphs::Names;
use super::input::Feed;
use super::network::check_labels;
use super::{StepMetrics, Trainer};
use crate::error::{Error, Result};
use crate::optim::GradientNorm;
use crate::session::{Pending, Program, Session};
use crate::tensor::{Tensor, TensorType};

/// A step that may still be under way.
pub(super) struct StepUnderWay {
    pending: Pending,
    metrics: StepMetrics,
    classes: usize,
}

impl StepUnderWay {
    /// Waits for the step, whatever came of it.
    ///
    /// Errors where the device has failed.
    pub(super) fn wait(self) -> Result<()> {
        self.pending.wait().map(|_| ())
    }
}

impl Trainer {
    /// One step on a batch, to its end.
    ///
    /// Errors where the loss is not finite or the device fails.
    pub fn train_batch(
        &mut self,
        images: &Tensor,
        labels: &Tensor,
        learning_rate: f32,
    ) -> Result<StepMetrics> {
        let step = self.start_step(&Feed::values(images, labels), learning_rate, 1)?;
        finish_step(step)
    }

    pub(super) fn start_step(
        &mut self,
        feed: &Feed,
        learning_rate: f32,
        epoch: u64,
    ) -> Result<StepUnderWay> {
        check_labels(&feed.labels, self.network.classes)?;
        let batch = feed.len();
        self.check_images(feed)?;
        self.prepare(batch)?;
        let classes = self.network.classes;
        self.step += 1;
        let rate = Tensor::scalar(learning_rate);
        let metrics = StepMetrics {
            step: self.step,
            epoch,
            loss: f32::NAN,
            top1: f32::NAN,
            learning_rate,
            images: batch,
            gradient_norm: None,
            loss_scale: None,
        };
        if let Some(program) = self.training.get_mut(&batch) {
            let counter = counter(self.options.seed, self.step, 0)?;
            let mean = self.options.input.mean()?;
            let mut inputs: Vec<_> = feed.inputs().collect();
            inputs.extend([(Names::COUNTER, &counter), (Names::LEARNING_RATE, &rate)]);
            inputs.extend(mean.iter().map(|mean| (Names::MEAN, mean)));
            let pending = start(&mut self.network.session, program, &inputs)?;
            return Ok(StepUnderWay { pending, metrics, classes });
        }
        let mut outputs = self.accumulate(feed)?;
        let program = self.applying.as_mut();
        let program = program.ok_or_else(|| Error::Usage("no program applies gradients".into()))?;
        let inputs = [(Names::LEARNING_RATE, &rate)];
        let applied = start(&mut self.network.session, program, &inputs)?.wait()?;
        outputs.extend(applied.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())));
        Ok(StepUnderWay { pending: Pending::ready(outputs), metrics, classes })
    }

    /// What the programs take images as.
    pub(super) fn image_types(&self, batch: usize) -> Result<Vec<(&'static str, TensorType)>> {
        self.options.input.types(&self.network.model, batch)
    }

    /// Errors unless the images are what the programs take.
    fn check_images(&self, feed: &Feed) -> Result<()> {
        let batch = feed.len();
        for (name, ty) in self.image_types(batch)? {
            let given = feed.inputs().find(|&(given, _)| given == name).map(|(_, t)| t.ty());
            if given.as_ref() != Some(&ty) {
                let given = given.map_or("missing".to_owned(), |ty| ty.to_string());
                return Err(Error::Usage(format!(
                    "`{name}` is {given}; {batch} labels and the model call for {ty}"
                )));
            }
        }
        Ok(())
    }

    /// Runs the micro-batches of a batch, one after another, and returns its loss and top-1.
    fn accumulate(&mut self, feed: &Feed) -> Result<Vec<(String, Tensor)>> {
        let batch = feed.len();
        let micro_batch = self.options.micro_batch.unwrap_or(batch);
        let mean = self.options.input.mean()?;
        let (mut loss, mut top1) = (0.0, 0.0);
        for first in (0..batch).step_by(micro_batch) {
            let count = micro_batch.min(batch - first);
            let part = feed.part(&(first..first + count))?;
            let counter = counter(self.options.seed, self.step, first)?;
            let share = count as f32 / batch as f32;
            let share_input = Tensor::scalar(share);
            let mut inputs: Vec<_> = part.inputs().collect();
            inputs.extend([(Names::COUNTER, &counter), (Names::SHARE, &share_input)]);
            inputs.extend(mean.iter().map(|mean| (Names::MEAN, mean)));
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

/// Waits for a step and reads its loss and hits.
///
/// Errors where the loss is not finite or has exploded, or the device has failed.
pub(super) fn finish_step(step: StepUnderWay) -> Result<StepMetrics> {
    let mut metrics = step.metrics;
    let outputs = step.pending.wait()?;
    metrics.loss = outputs.scalar(Names::LOSS)?;
    metrics.top1 = outputs.scalar(Names::TOP1)? / metrics.images as f32;
    if outputs.iter().any(|(name, _)| name == GradientNorm::SQUARE) {
        metrics.gradient_norm = Some(outputs.scalar(GradientNorm::SQUARE)?.sqrt());
    }
    if outputs.iter().any(|(name, _)| name == Names::LOSS_SCALE) {
        metrics.loss_scale = Some(outputs.scalar(Names::LOSS_SCALE)?);
    }
    if !is_lost(metrics.loss, step.classes) {
        return Ok(metrics);
    }
    let problem = format!("the loss is {}", metrics.loss);
    Err(Error::Diverged {
        step: metrics.step,
        layer: None,
        problem: format!("{problem}; {REMEDY}"),
    })
}

pub(super) fn counter(seed: u64, step: u64, first_sample: usize) -> Result<Tensor> {
    let words = vec![seed as u32, (seed >> 32) as u32, step as u32, first_sample as u32];
    Tensor::u32([4], words)
}
