//! Training as a whole: the same on every device, from run to run, in parts, and within limits.

#![cfg(feature = "gpu")]

#[path = "../common/mod.rs"]
mod common;
mod divergence;
mod faults;
mod hardware;
mod images;
mod limits;
mod loss;
mod stages;
mod transfer;

use std::ops::ControlFlow;
use std::sync::Arc;

use gabor::data::{self, Augment, Images, Source};
use gabor::device::Device;
use gabor::error::Error;
use gabor::gpu::{GpuEngine, GpuOptions};
use gabor::nn::{Conv2d, Dropout, Init, Linear, Lrn, MaxPool2d, Model, Relu};
use gabor::ops::case::Draw;
use gabor::optim::{Clip, Sgd};
use gabor::tensor::Tensor;
use gabor::tolerance::Tolerance;
use gabor::train::{Event, Network, Options, Report, StepMetrics, Trainer};
use gabor::zoo;

/// The first digits of both sets.
fn digits(train: usize, test: usize) -> Source {
    let source = data::open("digits").unwrap();
    let first = |set: &dyn data::Dataset, count: usize| {
        let size: usize = set.shape().iter().product();
        let mut pixels = vec![0; count * size];
        let images = pixels.chunks_exact_mut(size).enumerate();
        let labels = images.map(|(i, image)| set.load(i, image).unwrap()).collect();
        let classes = set.classes().to_vec();
        Arc::new(Images::new("digits", set.shape(), classes, pixels, labels).unwrap())
    };
    Source { train: first(&*source.train, train), test: first(&*source.test, test), ..source }
}

/// Every kind of layer that AlexNet has, small. 2x12x11 images, 5 classes.
fn small(dropout: f32) -> Model {
    let model = Model::new("small", [2, 12, 11])
        .with(Conv2d::new(6, 3).padding(1))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(MaxPool2d::new(3).stride(2))
        .with(Conv2d::new(8, 3).groups(2).bias_init(Init::Constant(0.1)))
        .with(Relu)
        .with(Linear::new(12))
        .with(Relu);
    let model = if dropout > 0.0 { model.with(Dropout::new(dropout)) } else { model };
    model.with(Linear::new(5))
}

/// Random images for [`small`].
fn small_batch(seed: u64, count: usize) -> (Tensor, Tensor) {
    let mut draw = Draw::new(seed);
    (draw.normal([count, 2, 12, 11]), draw.labels(count, 5))
}

fn sgd(learning_rate: f32) -> Sgd {
    Sgd::new(learning_rate).momentum(0.9).weight_decay(5e-4)
}

fn fit(trainer: &mut Trainer, source: &Source, epochs: u64) -> (Vec<StepMetrics>, Report) {
    let mut steps = vec![];
    let report = trainer.fit(source, epochs, |event| {
        if let Event::Step(step) = event {
            steps.push(*step);
        }
        ControlFlow::Continue(())
    });
    (steps, report.unwrap())
}

fn parameters(trainer: &Trainer) -> Vec<(String, Tensor)> {
    trainer.network().parameters().unwrap()
}

/// A device of its own, whose counters and failures no other test shares.
fn own_gpu() -> Option<(Device, GpuEngine)> {
    let device = common::gpu_with(GpuOptions { webgpu_limits: true, ..Default::default() })?;
    let Device::Gpu(engine) = &device else { panic!("not a GPU: {device:?}") };
    let engine = engine.clone();
    Some((device, engine))
}

fn devices() -> Vec<Device> {
    [Some(Device::cpu()), common::gpu()].into_iter().flatten().collect()
}

/// Every kind of layer that AlexNet has, for digits, at a hundredth of the arithmetic.
fn tiny_alexnet() -> Model {
    let pool = || MaxPool2d::new(3).stride(2);
    Model::new("tiny-alexnet", [1, 28, 28])
        .with(Conv2d::new(12, 5).stride(2).padding(2))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(Conv2d::new(24, 3).padding(1).groups(2))
        .with(Relu)
        .with(pool())
        .with(Linear::new(64))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(Linear::new(10).weight_init(Init::Normal(0.01)))
}

/// Trains for 50 steps on the CPU and on the GPU, with shuffling, augmentation and dropout, and
/// returns the CPU's losses.
fn check_50_losses(model: fn() -> Model, learning_rate: f32) -> Vec<f32> {
    let source = digits(800, 32);
    let run = |device: &Device| {
        let started = std::time::Instant::now();
        let options = Options { batch: 16, seed: 7, ..Options::default() };
        let mut trainer = Trainer::new(device, model(), sgd(learning_rate), options).unwrap();
        let (steps, _) = fit(&mut trainer, &source, 1);
        println!("{}: {:.1?}", device.name(), started.elapsed());
        steps.iter().map(|s| s.loss).collect::<Vec<_>>()
    };
    let on_cpu = run(&Device::cpu());
    let Some(gpu) = common::gpu() else { return on_cpu };
    let on_gpu = run(&gpu);
    assert_eq!((on_cpu.len(), on_gpu.len()), (50, 50));
    let errors = on_cpu.iter().zip(&on_gpu).map(|(c, g)| ((c - g) / c).abs());
    let worst = errors.clone().fold(0.0, f32::max);
    println!("worst relative difference {worst:.1e}; loss {} to {}", on_cpu[0], on_cpu[49]);
    for (step, error) in errors.enumerate() {
        let (c, g) = (on_cpu[step], on_gpu[step]);
        assert!(error < 1e-3, "step {}: {c} on the CPU, {g} on the GPU", step + 1);
    }
    on_cpu
}

#[test]
fn the_first_50_losses_agree_between_cpu_and_gpu() {
    let losses = check_50_losses(tiny_alexnet, 0.01);
    // Equal losses say nothing unless something was learned.
    let tail: f32 = losses[40..].iter().sum::<f32>() / 10.0;
    assert!(tail < losses[0] - 0.1, "{losses:?}");
}

/// The learning rate is a tenth of what suits this network: at 0.01, and in batches of 16, the first
/// steps are chaotic. There the CPU engine, started from weights that differ in the last bit, is 3e-2
/// away from itself after 50 steps; here 3e-4.
#[test]
fn the_first_50_losses_of_alexnet_small_agree_between_cpu_and_gpu() {
    check_50_losses(|| zoo::alexnet_small([1, 28, 28], 10), 0.001);
}

#[test]
fn the_same_device_twice_gives_the_same_bits() {
    let source = digits(40, 8);
    let train_with = |device: &Device, model: Model, seed| {
        let options = Options { batch: 16, seed, ..Options::default() };
        let mut trainer = Trainer::new(device, model, sgd(0.05), options).unwrap();
        // Batches of 16, 16 and 8.
        let (steps, report) = fit(&mut trainer, &source, 1);
        assert_eq!(steps.len(), 3);
        (parameters(&trainer), steps, report.test)
    };
    let train = |device: &Device| train_with(device, tiny_alexnet(), 3);
    for device in devices() {
        let (first, second) = (train(&device), train(&device));
        assert!(first == second, "{}: another result in the second run", device.name());
        assert!(first.0 != train_with(&device, tiny_alexnet(), 4).0, "the seed decides nothing");
    }
    // A device opened anew, with other pipelines and buffers.
    if let (Some(shared), Some((own, _))) = (common::gpu(), own_gpu()) {
        assert!(train(&shared) == train(&own), "another result on the device opened anew");
    }
    // Enough arithmetic for the threads to share.
    let large = || train_with(&Device::cpu(), zoo::alexnet_small([1, 28, 28], 10), 3);
    let expected = large();
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let actual = pool.install(large);
        for ((name, expected), (_, actual)) in expected.0.iter().zip(&actual.0) {
            assert!(expected == actual, "{threads} threads: {name} differs");
        }
        assert!(expected == actual, "{threads} threads: metrics differ");
    }
}

/// A data set of random 2x12x11 images.
fn small_source(train: usize, test: usize) -> Source {
    let mut draw = Draw::new(17);
    let mut set = |count: usize| {
        let pixels = (0..count * 2 * 12 * 11).map(|_| draw.size(0, 255) as u8).collect();
        let labels = draw.labels(count, 5).into_u32();
        let classes = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        Arc::new(Images::new("noise", [2, 12, 11], classes, pixels, labels).unwrap())
    };
    let (train, test) = (set(train), set(test));
    let normalise = data::Normalise::of(&*train).unwrap();
    Source { train, test, normalise, augment: Augment::none() }
}

#[test]
fn the_last_smaller_batch_is_trained_on_and_weighted_by_its_images() {
    let source = small_source(10, 7);
    for device in devices() {
        let name = device.name();
        // So slow that the parameters stay what they were, to the bit.
        let options = Options { batch: 4, seed: 2, ..Options::default() };
        let optimizer = Sgd::new(1e-30);
        let mut trainer = Trainer::new(&device, small(0.0), optimizer, options.clone()).unwrap();
        let (steps, report) = fit(&mut trainer, &source, 2);
        assert_eq!(steps.iter().map(|s| s.images).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 2]);
        assert_eq!(steps.iter().map(|s| s.epoch).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2]);
        let network = trainer.network_mut();
        let all = network.evaluate(&source.train, &source.normalise, 10).unwrap();
        for epoch in &report.epochs {
            assert!((epoch.loss - all.loss).abs() < 1e-5 * all.loss, "{name}: {epoch:?} {all:?}");
            assert!((epoch.train_top1 - all.top1).abs() < 1e-6, "{name}: {epoch:?} {all:?}");
        }
        // The batch size of an evaluation changes nothing either: 7 are 4 and 3.
        let test = network.evaluate(&source.test, &source.normalise, 7).unwrap();
        assert!((test.loss - report.test.loss).abs() < 1e-5 * test.loss, "{name}");
        assert_eq!((test.top1, test.top5, test.images), (report.test.top1, report.test.top5, 7));
        assert_eq!(test.top5, 1.0, "{name}: five classes");

        // The last batch does train.
        let after = |max_steps| {
            let options = Options { max_steps, ..options.clone() };
            let mut trainer = Trainer::new(&device, small(0.0), sgd(0.1), options).unwrap();
            let (steps, _) = fit(&mut trainer, &source, 1);
            (steps.len(), parameters(&trainer))
        };
        let (two, three) = (after(Some(2)), after(None));
        assert_eq!((two.0, three.0), (2, 3));
        assert!(two.1.iter().zip(&three.1).all(|(a, b)| a.1 != b.1), "{name}: nothing changed");
    }
}

#[test]
fn nothing_is_created_after_the_first_step() {
    let Some((device, engine)) = own_gpu() else { return };
    let options = Options { batch: 6, seed: 2, ..Options::default() };
    let mut trainer = Trainer::new(&device, small(0.5), sgd(0.01), options.clone()).unwrap();
    let counts: Vec<_> = (1..=10)
        .map(|step| {
            let (images, labels) = small_batch(step, 6);
            trainer.train_batch(&images, &labels, 0.01).unwrap();
            engine.counters()
        })
        .collect();
    for (i, pair) in counts.windows(2).enumerate() {
        assert_eq!(pair[1].submits, pair[0].submits + 1, "step {}", i + 2);
    }
    let still = |c: &gabor::gpu::Counters| (c.buffers, c.bind_groups, c.pipelines, c.alive);
    for (i, counters) in counts.iter().enumerate().skip(1) {
        assert_eq!(still(counters), still(&counts[1]), "step {}: {counters:?}", i + 1);
    }
    assert!(counts[1].buffers > 0 && counts[1].bind_groups > 0 && counts[1].pipelines > 0);

    // Through the loop over epochs, whose last batches are smaller. The copies of the states that are
    // taken between epochs go through one buffer; the first evaluation brings programs of its own.
    let source = small_source(20, 7);
    let mut trainer = Trainer::new(&device, small(0.5), sgd(0.01), options).unwrap();
    let mut seen = vec![];
    let report = trainer.fit(&source, 5, |event| {
        match event {
            Event::Step(step) => seen.push((format!("step {}", step.step), engine.counters())),
            Event::Epoch(epoch) => {
                seen.push((format!("epoch {}", epoch.epoch), engine.counters()));
            }
        }
        ControlFlow::Continue(())
    });
    report.unwrap();
    assert_eq!(seen.len(), 5 * (4 + 1));
    let (first, later) = seen.split_at(5);
    for (event, counters) in &first[1..4] {
        assert_eq!(still(counters), still(&first[1].1), "{event}: {counters:?}");
    }
    for (event, counters) in later {
        assert_eq!(still(counters), still(&first[4].1), "{event}: {counters:?}");
    }
    assert!(first[4].1.buffers > first[3].1.buffers, "the evaluation's are counted too");
}

#[test]
fn saved_weights_evaluate_the_same() {
    let source = digits(32, 50);
    let folder = tempfile::tempdir().unwrap();
    for device in devices() {
        let name = device.name();
        let options = Options { batch: 16, ..Options::default() };
        let model = || zoo::lenet([1, 28, 28], 10);
        let mut trainer = Trainer::new(&device, model(), sgd(0.05), options).unwrap();
        fit(&mut trainer, &source, 2);
        let network = trainer.network_mut();
        let before = network.evaluate(&source.test, &source.normalise, 16).unwrap();
        let path = folder.path().join("weights.safetensors");
        network.save(&path, &[("model", "lenet")]).unwrap();

        let mut loaded = Network::new(&device, model()).unwrap();
        loaded.load(&path).unwrap();
        let after = loaded.evaluate(&source.test, &source.normalise, 16).unwrap();
        assert_eq!(before, after, "{name}");
        assert_eq!(network.parameters().unwrap(), loaded.parameters().unwrap(), "{name}");

        // A file that is cut short, or of another network, changes nothing.
        let bytes = std::fs::read(&path).unwrap();
        let cut = folder.path().join("cut.safetensors");
        std::fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
        let message = loaded.load(&cut).unwrap_err().to_string();
        assert!(message.contains("cut.safetensors") && !message.contains('\n'), "{message}");
        let mut other = Network::new(&device, zoo::lenet([1, 28, 28], 7)).unwrap();
        let message = other.load(&path).unwrap_err().to_string();
        assert!(message.contains("fc3.weight") && message.contains("[7, 84]"), "{message}");
        let again = loaded.evaluate(&source.test, &source.normalise, 16).unwrap();
        assert_eq!(before, again, "{name}");
    }
}
