//! What a run tells TensorBoard.

use std::path::Path;

use super::graphs::{self, Names};
use super::{Event, Network};
use crate::data::{Loader, LoaderConfig, Source, Transforms};
use crate::error::Result;
use crate::io::events::EventWriter;
use crate::session::{Program, Session};
use crate::tensor::Tensor;

/// Event files of a run.
///
/// Each step: `train/loss`, `train/top1`, `train/learning_rate`, and `train/gradient_norm` where it is
/// watched. Each epoch, at its last step:
/// `test/loss`, `test/top1`, `speed/images_per_second`, the first layer's filters as a picture (feature
/// `images`), a
/// histogram of each parameter (`weights/NAME`) and of the loss's gradient with respect to it
/// (`gradients/NAME`). The gradients are those of the first training images, without augmentation and
/// dropout, always the same ones. They are computed by a program of their own, which takes memory
/// for a copy of the network.
#[derive(Debug)]
pub struct Board {
    writer: EventWriter,
    images: Tensor,
    labels: Tensor,
    gradients: Option<(Session, Program)>,
    step: u64,
}

/// Images that the gradients are of, at most.
const MOST_IMAGES: usize = 64;

impl Board {
    /// Starts a file in `folder`. Gradients will be those of the first `batch` training images, 64 at
    /// most.
    ///
    /// Errors where the file cannot be written, or the images cannot be read.
    pub fn create(
        folder: impl AsRef<Path>,
        source: &Source,
        transforms: &Transforms,
        batch: usize,
    ) -> Result<Self> {
        let config = LoaderConfig {
            transforms: transforms.still(),
            ..LoaderConfig::new(batch.min(MOST_IMAGES), source.normalise.clone())
        };
        let loader = Loader::new(source.train.clone(), config)?;
        let [channels, height, width] = loader.shape();
        let (mut images, mut labels) = (vec![], vec![]);
        if let Some(batch) = loader.epoch(0).next() {
            let mut batch = batch?;
            (images, labels) = (std::mem::take(&mut batch.images), batch.labels.clone());
        }
        let images = Tensor::f32([labels.len(), channels, height, width], images)?;
        let labels = Tensor::u32([labels.len()], labels)?;
        let writer = EventWriter::create(folder)?;
        Ok(Board { writer, images, labels, gradients: None, step: 0 })
    }

    /// Writes what there is to say of an event of [`Trainer::fit_with`](super::Trainer::fit_with).
    ///
    /// Errors where the file cannot be written, or the device fails.
    pub fn write(&mut self, event: &Event, network: &Network) -> Result<()> {
        match event {
            Event::Step(step) => {
                self.step = step.step;
                self.writer.scalar("train/loss", step.step, step.loss)?;
                self.writer.scalar("train/top1", step.step, step.top1)?;
                if let Some(norm) = step.gradient_norm {
                    self.writer.scalar("train/gradient_norm", step.step, norm)?;
                }
                self.writer.scalar("train/learning_rate", step.step, step.learning_rate)
            }
            Event::Epoch(epoch) => {
                self.writer.scalar("test/loss", self.step, epoch.test_loss)?;
                self.writer.scalar("test/top1", self.step, epoch.test_top1)?;
                let speed = epoch.images_per_second as f32;
                self.writer.scalar("speed/images_per_second", self.step, speed)?;
                self.parameters(network)?;
                self.writer.flush()
            }
        }
    }

    fn parameters(&mut self, network: &Network) -> Result<()> {
        let parameters = network.parameters()?;
        #[cfg(feature = "images")]
        if let Some((name, filters)) = parameters.iter().find(|(_, t)| t.shape().rank() == 4) {
            use crate::viz;
            let sheet = viz::filters::sheet(filters)?;
            let (width, height) = sheet.dimensions();
            let png = viz::encoded(&sheet)?;
            self.writer.picture(&format!("filters/{name}"), self.step, [width, height], &png)?;
        }
        for (name, tensor) in &parameters {
            self.writer.histogram(&format!("weights/{name}"), self.step, tensor.as_f32()?)?;
        }
        for (name, gradient) in self.gradients(network, &parameters)? {
            self.writer.histogram(&format!("gradients/{name}"), self.step, gradient.as_f32()?)?;
        }
        Ok(())
    }

    fn gradients(
        &mut self,
        network: &Network,
        parameters: &[(String, Tensor)],
    ) -> Result<Vec<(String, Tensor)>> {
        let batch = self.labels.shape().elements();
        if batch == 0 {
            return Ok(vec![]);
        }
        let (mut session, mut program) = match self.gradients.take() {
            Some(ready) => ready,
            None => {
                let mut session = Session::new(network.device());
                let program = session.compile(&graphs::loss_gradients(network.model(), batch)?)?;
                (session, program)
            }
        };
        let known = session.state_names();
        for (name, tensor) in parameters.iter().filter(|(name, _)| known.contains(name)) {
            session.set_state(name, tensor)?;
        }
        let inputs = [(Names::IMAGES, &self.images), (Names::LABELS, &self.labels)];
        let outputs = session.run(&mut program, &inputs)?;
        let gradients = outputs.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix("gradient.")?.to_owned(), tensor.clone()))
        });
        let gradients = gradients.collect();
        self.gradients = Some((session, program));
        Ok(gradients)
    }
}
