//! Losses with smoothed labels and weighted classes.

use super::*;
use gabor::train::Loss;

const BATCH: usize = 8;
const CLASSES: usize = 5;

/// The loss, and its gradient with respect to the last layer's bias, from probabilities and labels.
fn expected(loss: &Loss, probabilities: &[f32], labels: &[u32]) -> (f64, Vec<f64>) {
    let weight = |c: usize| loss.class_weights.get(c).map_or(1.0, |&w| f64::from(w));
    let s = loss.label_smoothing;
    let (mut value, mut gradient) = (0.0, vec![0.0; CLASSES]);
    for (row, &label) in probabilities.chunks(CLASSES).zip(labels) {
        let target = |c: usize| {
            let spread = weight(c) * s / CLASSES as f64;
            if c == label as usize { weight(c) * (1.0 - s) + spread } else { spread }
        };
        let mass: f64 = (0..CLASSES).map(target).sum();
        for (c, &p) in row.iter().enumerate() {
            value -= target(c) * f64::from(p).ln() / BATCH as f64;
            gradient[c] += (mass * f64::from(p) - target(c)) / BATCH as f64;
        }
    }
    (value, gradient)
}

#[test]
fn labels_are_smoothed_and_classes_weighted() {
    let (images, labels) = small_batch(4, BATCH);
    let weights = vec![0.5, 2.0, 0.25, 1.5, 1.0];
    let losses = [
        Loss::default(),
        Loss { label_smoothing: 0.2, ..Loss::default() },
        Loss { class_weights: weights.clone(), ..Loss::default() },
        Loss { label_smoothing: 0.1, class_weights: weights },
    ];
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            for loss in &losses {
                let loss = loss.clone();
                let options =
                    Options { batch: BATCH, micro_batch, loss: loss.clone(), ..Options::default() };
                let optimizer = Sgd::new(0.1).momentum(0.9);
                let mut trainer = Trainer::new(&device, small(0.0), optimizer, options).unwrap();
                let before = trainer.network_mut().predict(&images).unwrap();
                let (value, gradient) =
                    expected(&loss, before.as_f32().unwrap(), labels.as_u32().unwrap());
                let step = trainer.train_batch(&images, &labels, 0.1).unwrap();
                let tolerance = Tolerance::single(8 * 12 * 11);
                tolerance.check([f64::from(step.loss)], &[value]).unwrap();
                let found = trainer.network().state("velocity.fc2.bias").unwrap().into_f32();
                let found: Vec<_> = found.into_iter().map(f64::from).collect();
                let checked = tolerance.check(found, &gradient);
                checked.unwrap_or_else(|e| panic!("{}: {loss:?}: {e}", device.name()));
                // Evaluation is plain, whatever is trained with.
                let source = small_source(4, 7);
                let test =
                    trainer.network_mut().evaluate(&source.test, &source.normalise, 7).unwrap();
                let mut plain = Network::new(&device, small(0.0)).unwrap();
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("weights.safetensors");
                trainer.network().save(&path, &[]).unwrap();
                plain.load(&path).unwrap();
                assert_eq!(plain.evaluate(&source.test, &source.normalise, 7).unwrap(), test);
            }
        }
    }
}

#[test]
fn losses_out_of_range_are_refused() {
    let losses = [
        Loss { label_smoothing: 1.0, ..Loss::default() },
        Loss { label_smoothing: f64::NAN, ..Loss::default() },
        Loss { class_weights: vec![1.0; 4], ..Loss::default() },
        Loss { class_weights: vec![1.0, 1.0, -1.0, 1.0, 1.0], ..Loss::default() },
    ];
    for (loss, says) in losses.into_iter().zip(["smoothing", "smoothing", "5 finite", "5 finite"]) {
        let options = Options { loss, ..Options::default() };
        let made = Trainer::new(&Device::cpu(), small(0.0), sgd(0.1), options);
        let message = made.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(says) && !message.contains('\n'), "{message}");
    }
}
