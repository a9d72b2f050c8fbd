//! Evaluation by the mean of several views of an image.

use super::network::{Evaluation, Network, check_labels};
use crate::data::Loader;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

impl Network {
    /// [`Network::evaluate_with`] where every image becomes `views`.
    pub(super) fn evaluate_views(&mut self, loader: &Loader, views: usize) -> Result<Evaluation> {
        let (mut loss, mut top1, mut top5, mut images) = (0.0, 0usize, 0usize, 0);
        for batch in loader.epoch(0) {
            let mut batch = batch?;
            let labels = Tensor::u32([batch.len], batch.labels.clone())?;
            check_labels(&labels, self.classes)?;
            let shape = self.model.input_type(batch.len * views)?.shape;
            let input = Tensor::f32(shape, std::mem::take(&mut batch.images))?;
            let output = self.predict(&input)?;
            batch.images = input.into_f32();
            let of_views = output.as_f32()?;
            if of_views.len() != batch.len * views * self.classes {
                return Err(Error::Usage("the network does not give a row for each image".into()));
            }
            let of_images = of_views.chunks_exact((views * self.classes).max(1));
            for (of_views, &label) in of_images.zip(&batch.labels) {
                let mean = mean(of_views, self.classes);
                let own = mean[label as usize];
                // As many others before it as come first; of equals the lower class is.
                let rank = mean
                    .iter()
                    .enumerate()
                    .filter(|&(class, &p)| p > own || (p == own && class < label as usize));
                let rank = rank.count();
                top1 += usize::from(rank == 0);
                top5 += usize::from(rank < 5);
                loss -= own.max(f64::MIN_POSITIVE).ln();
                images += 1;
            }
        }
        let share = |sum: f64| (sum / images.max(1) as f64) as f32;
        Ok(Evaluation {
            loss: share(loss),
            top1: share(top1 as f64),
            top5: share(top5 as f64),
            images,
        })
    }
}

/// The mean of the rows.
fn mean(rows: &[f32], classes: usize) -> Vec<f64> {
    let mut mean = vec![0.0; classes];
    let count = rows.len() / classes.max(1);
    for row in rows.chunks_exact(classes.max(1)) {
        mean.iter_mut().zip(row).for_each(|(sum, &p)| *sum += f64::from(p));
    }
    mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f64);
    mean
}
