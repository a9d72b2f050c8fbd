//! What went wrong when training diverges: the layer where numbers went bad first.
//!
//! A step costs nothing more for it: its loss is read anyway, and so is the norm of its gradients where
//! that is watched. Copies of all states are taken now and then ([`Snapshot`]) and looked through on the
//! host, since a shader may do as it likes with NaN. When a loss or a norm has gone bad, the steps since
//! the last copy are run again up to the one that failed, and the last two batches go through a [`probe`],
//! which hands out what every layer computes.

use super::fit::Course;
use super::graphs::{self, GradientPlace, Names};
use super::input::{Feed, lend};
use super::step::counter;
use super::{ImageInput, Loss, Trainer};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Model;
use crate::session::{Outputs, Session};
use crate::tensor::{DType, Tensor};

/// A loss above this many times that of guessing, `ln classes`, counts as exploded.
const EXPLODED: f32 = 1000.0;
/// Values that are looked for where nothing is infinite or NaN, and yet the loss has exploded.
const HUGE: f32 = 1e6;

/// Steps between two copies of the states within an epoch.
pub(super) const SNAPSHOT_STEPS: usize = 256;

/// What to do about it.
pub(super) const REMEDY: &str =
    "try a smaller learning rate (`gabor lr-find`) or clip the gradients (`--clip-norm 5`)";

/// Copies of all states before the batch `index` of an epoch.
pub(super) struct Snapshot {
    pub step: u64,
    pub epoch: u64,
    pub index: usize,
    states: Vec<(String, Tensor)>,
}

impl Snapshot {
    /// Copies the states.
    ///
    /// Errors where the device fails.
    pub fn take(session: &Session, step: u64, epoch: u64, index: usize) -> Result<Self> {
        let read = |name: String| Ok((session.state(&name)?, name));
        let states = session.state_names().into_iter().map(read).collect::<Result<Vec<_>>>()?;
        let states = states.into_iter().map(|(tensor, name)| (name, tensor)).collect();
        Ok(Snapshot { step, epoch, index, states })
    }

    /// Puts the copies back.
    ///
    /// Errors where the device fails.
    pub fn restore(&self, session: &mut Session) -> Result<()> {
        self.states.iter().try_for_each(|(name, tensor)| session.set_state(name, tensor))
    }

    /// Errors where one of `parameters` is not finite: training goes on from it in `step`.
    pub fn check(&self, parameters: &[String]) -> Result<()> {
        for name in parameters {
            let state = self.states.iter().find(|(known, _)| known == name);
            if let Some((_, tensor)) = state
                && is_bad(tensor, f32::MAX)
            {
                let layer = layer_of(name).to_owned();
                let culprit = Culprit { layer, part: Part::State(name.clone()) };
                let problem = format!("{culprit}; {REMEDY}");
                let layer = Some(culprit.layer);
                return Err(Error::Diverged { step: self.step.max(1), layer, problem });
            }
        }
        Ok(())
    }
}

/// Where numbers went bad first.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Culprit {
    /// The layer's path; `images` for the network's input, `loss` for the loss.
    pub layer: String,
    part: Part,
}

#[derive(Clone, PartialEq, Debug)]
enum Part {
    State(String),
    Output,
    Gradient,
}

impl std::fmt::Display for Culprit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layer = &self.layer;
        match &self.part {
            Part::State(name) => {
                write!(f, "values went bad first in layer `{layer}`: its `{name}`")
            }
            Part::Output => write!(f, "values went bad first in layer `{layer}`: its output"),
            Part::Gradient => {
                write!(f, "values went bad first in layer `{layer}`, on the way back")
            }
        }
    }
}

/// Whether a loss says that training has failed: it is not finite, or a thousand times that of
/// guessing.
pub(super) fn is_lost(loss: f32, classes: usize) -> bool {
    !loss.is_finite() || loss > EXPLODED * (classes.max(2) as f32).ln()
}

/// What a [`probe`] saw.
#[derive(Debug)]
pub(super) struct Seen {
    /// Where values are NaN or infinite first; where nothing is, the first huge ones.
    pub not_finite: Option<Culprit>,
    pub huge: Option<Culprit>,
    /// Where gradients are too large first, on the way back.
    pub exploded: Option<Culprit>,
    /// The norm of all gradients taken together.
    pub gradient_norm: f64,
}

/// One micro-batch on its way through the network and back, with everything that layers compute; the
/// states are copies.
pub(super) struct Probe<'a> {
    pub model: &'a Model,
    pub loss: &'a Loss,
    pub device: &'a Device,
    pub states: &'a Session,
    pub seed: u64,
    pub input: &'a ImageInput,
    pub feed: &'a Feed<'a>,
    pub counter: &'a Tensor,
    /// The norm of all gradients above which they have exploded.
    pub limit: Option<f64>,
}

impl Probe<'_> {
    /// Looks through all values on the host: images, then layer by layer its parameters and its output,
    /// the loss, then from the last layer to the first the gradients.
    ///
    /// Errors where the device fails or the values do not fit it.
    pub fn run(&self) -> Result<Seen> {
        let batch = self.feed.len();
        let (graph, places) = graphs::probe(self.model, self.input, self.loss, batch, self.seed)?;
        let mut session = Session::new(self.device);
        let mut program = session.load(self.device.plan(&graph)?)?;
        let mut states = vec![];
        for name in session.state_names() {
            let state = self.states.state(&name)?;
            session.set_state(&name, &state)?;
            states.push((name, state));
        }
        let plan = program.plan();
        let mean = self.input.mean()?;
        let mean = mean.iter().map(|mean| (Names::MEAN, mean));
        let given = self.feed.inputs().chain([(Names::COUNTER, self.counter)]).chain(mean);
        let has = |name: &str| plan.inputs.iter().any(|input| input.name == name);
        let given: Vec<_> = given.filter(|&(name, _)| has(name)).collect();
        let outputs = session.run(&mut program, &given)?;

        let (gradient_norm, exploded) = self.gradients(&places.gradients, &outputs)?;
        let first = |limit: f32| -> Result<Option<Culprit>> {
            let culprit = |layer: &str, part| Some(Culprit { layer: layer.to_owned(), part });
            if self.feed.images.iter().any(|(_, images)| is_bad(images, limit)) {
                return Ok(culprit(Names::IMAGES, Part::Output));
            }
            for (layer, output) in &places.layers {
                let own = states.iter().filter(|(name, _)| layer_of(name) == layer);
                for (name, state) in own {
                    if is_bad(state, limit) {
                        return Ok(culprit(layer, Part::State(name.clone())));
                    }
                }
                if is_bad(outputs.get(output)?, limit) {
                    return Ok(culprit(layer, Part::Output));
                }
            }
            if is_bad(outputs.get(Names::LOSS)?, limit) {
                return Ok(culprit(Names::LOSS, Part::Output));
            }
            for gradient in &places.gradients {
                if is_bad(outputs.get(&gradient.output)?, limit) {
                    return Ok(culprit(&gradient.layer, Part::Gradient));
                }
            }
            Ok(None)
        };
        let (not_finite, huge) = (first(f32::MAX)?, first(HUGE)?);
        Ok(Seen { not_finite, huge, exploded, gradient_norm })
    }

    /// The norm of all gradients of parameters, and the first layer on the way back whose own are too
    /// large.
    fn gradients(
        &self,
        gradients: &[GradientPlace],
        outputs: &Outputs,
    ) -> Result<(f64, Option<Culprit>)> {
        let mut squares: Vec<(&str, f64)> = vec![];
        for gradient in gradients.iter().filter(|gradient| gradient.is_of_parameter) {
            let values = outputs.get(&gradient.output)?.as_f32()?;
            let square = values.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
            match squares.last_mut() {
                Some((layer, sum)) if *layer == gradient.layer => *sum += square,
                _ => squares.push((&gradient.layer, square)),
            }
        }
        let norm = squares.iter().map(|(_, square)| square).sum::<f64>().sqrt();
        // Where all together are above the limit, one of so many layers at least has this much.
        let share = self.limit.map(|limit| limit.powi(2) / squares.len() as f64);
        let exploded = squares.iter().find(|(_, square)| share.is_some_and(|s| *square > s));
        let culprit = |layer: &str| Culprit { layer: layer.to_owned(), part: Part::Gradient };
        Ok((norm, exploded.map(|(layer, _)| culprit(layer))))
    }
}

impl Trainer {
    /// The error for a `step` that has diverged: `error`, with the layer where values went bad first,
    /// where it can be found. Leaves the parameters as they were before the step that went bad.
    pub(super) fn explain_divergence(&mut self, course: &Course, step: u64, error: Error) -> Error {
        let Error::Diverged { problem, .. } = &error else { return error };
        match self.replay(course, step) {
            Ok(Some((step, found))) => {
                let layer = found.culprit.as_ref().map(|culprit| culprit.layer.clone());
                let words = found.culprit.map_or_else(String::new, |c| format!("{c}; "));
                let norm = found.gradient_norm;
                let problem = format!("{words}the gradients' norm is {norm:.3e}; {problem}");
                Error::Diverged { step, layer, problem }
            }
            Ok(None) => error,
            Err(cause) => {
                log::warn!("the layer that went bad first cannot be told: {cause}");
                error
            }
        }
    }

    /// Runs the steps since the last copy of the states again, up to the one that failed, and looks
    /// for the first bad values in it. The step before is looked through too: its loss was fine, but
    /// its gradients may have overflowed.
    fn replay(&mut self, course: &Course, failed: u64) -> Result<Option<(u64, Found)>> {
        let Snapshot { epoch, index, .. } = course.safe;
        course.safe.restore(&mut self.network.session)?;
        self.step = course.safe.step;
        for (batch, index) in course.loader.epoch_from(epoch, index).zip(index..) {
            let mut batch = batch?;
            let step = self.step + 1;
            let rate = self.rate(course, epoch, index);
            let types = self.image_types(batch.len)?;
            let found = lend(&mut batch, types, |feed| {
                if step + 1 >= failed {
                    let found = self.look(feed, step)?;
                    if step >= failed || found.is_certain {
                        return Ok(Some(found));
                    }
                }
                self.start_step(feed, rate, epoch + 1)?.wait()?;
                Ok(None)
            })?;
            if let Some(found) = found {
                return Ok(Some((step, found)));
            }
        }
        Ok(None)
    }

    /// Looks through what `step` computes on a batch, a micro-batch at a time.
    fn look(&self, feed: &Feed, step: u64) -> Result<Found> {
        let batch = feed.len();
        let micro_batch = self.options.micro_batch.unwrap_or(batch);
        let limit = self.norms.limit(self.options.max_gradient_growth);
        let (mut norm, mut huge, mut exploded) = (0.0, None, None);
        for first in (0..batch).step_by(micro_batch) {
            let count = micro_batch.min(batch - first);
            let seen = Probe {
                model: &self.network.model,
                loss: &self.options.loss,
                device: &self.network.device,
                states: &self.network.session,
                seed: self.options.seed,
                input: &self.options.input,
                feed: &feed.part(&(first..first + count))?,
                counter: &counter(self.options.seed, step, first)?,
                limit,
            }
            .run()?;
            norm += seen.gradient_norm * count as f64 / batch as f64;
            if seen.not_finite.is_some() {
                let culprit = seen.not_finite;
                return Ok(Found { culprit, gradient_norm: norm, is_certain: true });
            }
            huge = huge.or(seen.huge);
            exploded = exploded.or(seen.exploded);
        }
        Ok(Found { culprit: huge.or(exploded), gradient_norm: norm, is_certain: false })
    }
}

/// What a replay found in a step.
struct Found {
    culprit: Option<Culprit>,
    /// Of all parameters; of micro-batches the weighted mean, which is no less than that of the batch.
    gradient_norm: f64,
    /// Whether something is NaN or infinite, and not just huge.
    is_certain: bool,
}

/// The path of the layer that a parameter belongs to.
fn layer_of(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or("", |(layer, _)| layer)
}

/// Whether a value is NaN, or its size above `limit`.
fn is_bad(tensor: &Tensor, limit: f32) -> bool {
    if tensor.dtype() != DType::F32 {
        return false;
    }
    tensor.as_f32().is_ok_and(|values| values.iter().any(|v| v.is_nan() || v.abs() > limit))
}
