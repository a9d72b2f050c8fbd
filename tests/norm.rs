//! Networks with normalisation: running statistics in training and evaluation, on every device.

#![cfg(feature = "gpu")]

mod common;

use gabor::device::Device;
use gabor::nn::{
    BatchNorm2d, ContrastNorm, Conv2d, GroupNorm, Init, InstanceNorm, LayerNorm, Linear, Lrn,
    LrnWithinChannel, Model, Relu, Sequential,
};
use gabor::ops::case::Draw;
use gabor::optim::Sgd;
use gabor::tensor::Tensor;
use gabor::tolerance::Tolerance;
use gabor::train::{Network, Options, Trainer};

fn devices() -> Vec<Device> {
    [Some(Device::cpu()), common::gpu()].into_iter().flatten().collect()
}

/// Batch normalisation of the images themselves, of convolutions in a block, and of dense activations.
fn with_batch_norm() -> Model {
    let block = Sequential::new()
        .with(Conv2d::new(6, 3).padding(1).no_bias())
        .with(BatchNorm2d::new().momentum(0.3));
    Model::new("normalised", [3, 7, 5])
        .with(BatchNorm2d::new().eps(1e-3))
        .with_named("block", block)
        .with(Relu)
        .with(Linear::new(8).no_bias())
        .with(BatchNorm2d::new().no_affine())
        .with(Linear::new(4))
}

fn batch(seed: u64, count: usize) -> (Tensor, Tensor) {
    let mut draw = Draw::new(seed);
    let images = draw.normal([count, 3, 7, 5]);
    let data = images.as_f32().unwrap().iter().map(|x| 1.5 * x + 0.4).collect();
    (Tensor::f32([count, 3, 7, 5], data).unwrap(), draw.labels(count, 4))
}

fn trainer(device: &Device, model: Model, batch: usize, micro_batch: Option<usize>) -> Trainer {
    let options = Options { batch, micro_batch, seed: 3, ..Options::default() };
    Trainer::new(device, model, Sgd::new(0.05).momentum(0.9).weight_decay(1e-4), options).unwrap()
}

fn state(network: &Network, name: &str) -> Vec<f64> {
    let tensor = network.state(name).unwrap();
    tensor.as_f32().unwrap().iter().map(|&x| x.into()).collect()
}

/// Mean and unbiased variance of some samples' channels.
fn statistics(images: &Tensor, samples: std::ops::Range<usize>) -> [Vec<f64>; 2] {
    let &[_, channels, height, width] = images.shape().dims() else { panic!("{images:?}") };
    let values = |c: usize| {
        let data = images.as_f32().unwrap();
        let planes = samples.clone().map(move |n| &data[(n * channels + c) * height * width..]);
        planes.flat_map(move |p| &p[..height * width]).map(|&x| f64::from(x)).collect::<Vec<_>>()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let variance = |values: &[f64]| {
        let mean = mean(values);
        values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
    };
    let each = |f: &dyn Fn(&[f64]) -> f64| (0..channels).map(|c| f(&values(c))).collect();
    [each(&mean), each(&variance)]
}

#[test]
fn losses_and_running_statistics_agree_between_cpu_and_gpu() {
    let run = |device: &Device| {
        let mut trainer = trainer(device, with_batch_norm(), 8, None);
        let losses = (0..12).map(|step| {
            let (images, labels) = batch(step % 3, 8);
            trainer.train_batch(&images, &labels, 0.05).unwrap().loss
        });
        let losses: Vec<_> = losses.collect();
        (losses, trainer.network().parameters().unwrap())
    };
    let (losses, parameters) = run(&Device::cpu());
    assert!(losses[11] < 0.5 * losses[0], "{losses:?}");
    let Some(gpu) = common::gpu() else { return };
    let (on_gpu, gpu_parameters) = run(&gpu);
    for (step, (cpu, gpu)) in losses.iter().zip(&on_gpu).enumerate() {
        let apart = ((cpu - gpu) / cpu).abs();
        assert!(apart < 1e-3, "step {}: {cpu} on the CPU, {gpu} on the GPU", step + 1);
    }
    let running = parameters.iter().zip(&gpu_parameters);
    let running = running.filter(|((name, _), _)| name.contains("running"));
    let mut compared = 0;
    for ((name, cpu), (_, gpu)) in running {
        let f64s = |t: &Tensor| t.as_f32().unwrap().iter().map(|&x| x.into()).collect::<Vec<f64>>();
        let checked = Tolerance::single(280).times(16.0).check(f64s(gpu), &f64s(cpu));
        checked.unwrap_or_else(|e| panic!("{name}: {e}"));
        compared += 1;
    }
    assert_eq!(compared, 6);
    assert_eq!(run(&gpu).0, on_gpu, "another result in the second run");
}

/// `running = 0.9 * running + 0.1 * batch`, from 0 and 1, with the unbiased variance.
#[test]
fn running_statistics_follow_pytorchs_rule_for_each_micro_batch() {
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            let mut trainer = trainer(&device, with_batch_norm(), 8, micro_batch);
            let (mut mean, mut variance) = (vec![0.0; 3], vec![1.0; 3]);
            for seed in 0..3 {
                let (images, labels) = batch(seed, 8);
                trainer.train_batch(&images, &labels, 0.05).unwrap();
                let size = micro_batch.unwrap_or(8);
                for first in (0..8).step_by(size) {
                    let part = first..(first + size).min(8);
                    let [batch_mean, batch_variance] = statistics(&images, part);
                    let average = |running: &mut Vec<f64>, new: Vec<f64>| {
                        running.iter_mut().zip(new).for_each(|(r, new)| *r = 0.9 * *r + 0.1 * new);
                    };
                    average(&mut mean, batch_mean);
                    average(&mut variance, batch_variance);
                }
                for (name, expected) in [("running_mean", &mean), ("running_var", &variance)] {
                    let actual = state(trainer.network(), &format!("bn1.{name}"));
                    let checked = Tolerance::single(280).check(actual, expected);
                    checked.unwrap_or_else(|e| panic!("{} {name}: {e}", device.name()));
                }
            }
        }
    }
}

#[test]
fn evaluation_goes_by_the_running_statistics_and_changes_nothing() {
    let model =
        || Model::new("first", [3, 7, 5]).with(BatchNorm2d::new().eps(1e-3)).with(Linear::new(4));
    for device in devices() {
        let name = device.name();
        let mut trainer = trainer(&device, model(), 8, None);
        for seed in 0..4 {
            let (images, labels) = batch(seed, 8);
            trainer.train_batch(&images, &labels, 0.05).unwrap();
        }
        let network = trainer.network_mut();
        let before = network.parameters().unwrap();
        let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "bn1.weight",
            "bn1.bias",
            "bn1.running_mean",
            "bn1.running_var",
            "fc1.weight",
            "fc1.bias",
        ];
        assert_eq!(names, expected);
        assert_eq!(network.model().summary(1).unwrap().parameters, 3 + 3 + 4 * 105 + 4);

        // A single image, which has no use for statistics of its own, by hand.
        let (images, _) = batch(9, 1);
        let probabilities = network.predict(&images).unwrap();
        let [weight, bias, mean, variance, dense, offset] =
            expected.map(|name| state(network, name));
        let x: Vec<f64> = images.as_f32().unwrap().iter().map(|&x| x.into()).collect();
        let y: Vec<f64> = x
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let c = i / 35;
                (x - mean[c]) / (variance[c] + f64::from(1e-3f32)).sqrt() * weight[c] + bias[c]
            })
            .collect();
        let logits: Vec<f64> = (0..4)
            .map(|o| {
                offset[o] + dense[o * 105..][..105].iter().zip(&y).map(|(w, y)| w * y).sum::<f64>()
            })
            .collect();
        let total: f64 = logits.iter().map(|z| z.exp()).sum();
        let expected: Vec<f64> = logits.iter().map(|z| z.exp() / total).collect();
        let actual = probabilities.as_f32().unwrap().iter().map(|&p| p.into());
        Tolerance::single(105)
            .times(4.0)
            .check(actual, &expected)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(before, network.parameters().unwrap(), "{name}: evaluation changes states");
        // An image's result does not depend on those beside it.
        let (many, _) = batch(9, 1);
        let pair = [many.as_f32().unwrap(), batch(8, 1).0.as_f32().unwrap()].concat();
        let pair = network.predict(&Tensor::f32([2, 3, 7, 5], pair).unwrap()).unwrap();
        let apart = pair.as_f32().unwrap().iter().zip(probabilities.as_f32().unwrap());
        assert!(apart.take(4).all(|(a, b)| (a - b).abs() < 1e-6), "{name}");
    }
}

#[test]
fn running_statistics_are_saved_and_loaded_with_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for device in devices() {
        let name = device.name();
        let mut trainer = trainer(&device, with_batch_norm(), 8, Some(4));
        let (images, labels) = batch(1, 8);
        trainer.train_batch(&images, &labels, 0.05).unwrap();
        let network = trainer.network_mut();
        network.save(&path, &[]).unwrap();
        let mut loaded = Network::new(&device, with_batch_norm()).unwrap();
        loaded.load(&path).unwrap();
        assert_eq!(network.parameters().unwrap(), loaded.parameters().unwrap(), "{name}");
        assert!(state(&loaded, "block.bn1.running_var").iter().all(|v| (v - 1.0).abs() > 1e-6));
        assert_eq!(network.predict(&images).unwrap(), loaded.predict(&images).unwrap(), "{name}");

        // Without them the file is not of this network.
        let other = Model::new("other", [3, 7, 5]).with(Linear::new(4));
        let mut other = Network::new(&device, other).unwrap();
        other.predict(&images).unwrap();
        other.save(&path, &[]).unwrap();
        let message = loaded.load(&path).unwrap_err().to_string();
        assert!(message.contains("bn1"), "{message}");
    }
}

#[test]
fn every_other_normalisation_trains_alike_on_cpu_and_gpu() {
    let model = || {
        Model::new("all", [3, 7, 5])
            .with(InstanceNorm::new())
            .with(Conv2d::new(6, 3).padding(1))
            .with(GroupNorm::new(3))
            .with(Relu)
            .with(LrnWithinChannel::new(3, 0.5))
            .with(Conv2d::new(6, 3).padding(1))
            .with(InstanceNorm::new().affine())
            .with(Relu)
            .with(ContrastNorm::new(3, 0.5))
            .with(ContrastNorm::new(3, 0.5).subtract_mean())
            .with(Lrn::alexnet())
            .with(LayerNorm::new())
            .with(LayerNorm::new().last_axes(2).no_bias())
            .with(Linear::new(4).weight_init(Init::Normal(0.05)))
    };
    let run = |device: &Device, micro_batch| {
        let mut trainer = trainer(device, model(), 6, micro_batch);
        let (images, labels) = batch(5, 6);
        (0..10).map(|_| trainer.train_batch(&images, &labels, 0.01).unwrap().loss).collect()
    };
    let losses: Vec<f32> = run(&Device::cpu(), None);
    assert!(losses[9] < 0.7 * losses[0], "{losses:?}");
    // None of them looks beyond a sample, so that micro-batches change nothing.
    let parts = run(&Device::cpu(), Some(2));
    let others = [Some(parts), common::gpu().map(|gpu| run(&gpu, None))];
    for other in others.into_iter().flatten() {
        for (step, (a, b)) in losses.iter().zip(&other).enumerate() {
            assert!(((a - b) / a).abs() < 1e-3, "step {}: {a} and {b}", step + 1);
        }
    }
}

#[test]
fn what_cannot_be_normalised_is_refused_with_the_layers_name() {
    let build = |model: Model, batch: usize| {
        let options = Options { batch, ..Options::default() };
        let made = Trainer::new(&Device::cpu(), model, Sgd::new(0.1), options);
        made.map(|_| ()).unwrap_err().to_string()
    };
    let dense = || Model::new("dense", [1, 2, 2]).with(Linear::new(3)).with(BatchNorm2d::new());
    let message = build(dense(), 1);
    assert!(message.contains("bn1") && message.contains("larger batch"), "{message}");
    let message = build(Model::new("groups", [3, 4, 4]).with(GroupNorm::new(2)), 4);
    assert!(message.contains("gn1") && message.contains("3 channels"), "{message}");
    let message = build(Model::new("axes", [3, 4, 4]).with(LayerNorm::new().last_axes(5)), 4);
    assert!(message.contains("ln1") && message.contains("5 axes"), "{message}");
    let message = build(Model::new("m", [3, 4, 4]).with(BatchNorm2d::new().momentum(2.0)), 4);
    assert!(message.contains("bn1") && message.contains("momentum"), "{message}");
}
