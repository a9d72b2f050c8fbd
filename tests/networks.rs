//! Three steps of SGD on whole networks against PyTorch in f64: losses, logits and every gradient,
//! from the same weights. `tests/pytorch/networks.py` makes the fixture.

mod common;

use std::collections::HashMap;
use std::path::Path;

use gabor::device::Device;
use gabor::graph::Graph;
use gabor::nn::{Mode, Model, Role};
use gabor::ops::optim::{Sgd, Update};
use gabor::ops::softmax::SoftmaxCrossEntropy;
use gabor::session::Session;
use gabor::tensor::{Shape, Tensor, TensorType};
use gabor::zoo;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    networks: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    name: String,
    size: usize,
    batch: usize,
    classes: usize,
    rate: f32,
    steps: Vec<Step>,
    running: HashMap<String, f64>,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    logits: Vec<f64>,
    gradients: HashMap<String, Gradient>,
}

#[derive(Deserialize)]
struct Gradient {
    norm: f64,
    elements: Vec<f64>,
}

/// Numbers uniform in -1..1 from SplitMix64, seeded by the FNV-1a hash of a name.
fn drawn(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (1..=count as u64).map(move |i| {
        let z = hash.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

fn start(name: &str, ty: &TensorType) -> Tensor {
    let values = drawn(name, ty.elements());
    let data = match ty.dims() {
        [_] if name.ends_with("weight") => values.map(|u| (0.1 * u + 1.0) as f32).collect(),
        [_] => {
            let is_norm = name.split('.').any(|p| p.starts_with("bn") || p == "downsample");
            let shift = if is_norm { 2.5 } else { 0.0 };
            values.map(|u| (0.1 * u + shift) as f32).collect()
        }
        _ => {
            let bound = (6.0 / ty.shape.per_sample() as f64).sqrt();
            values.map(|u| (u * bound) as f32).collect()
        }
    };
    Tensor::f32(ty.shape.clone(), data).unwrap()
}

/// Forward, loss, backward and update. Gradients are outputs `gradient.NAME`. Dropout is off where
/// the network has any, and batch norm is as in training.
fn step_graph(model: &Model, record: &Record) -> Graph {
    let mode = if record.name == "alexnet" { Mode::Evaluate } else { Mode::Train };
    let mut graph = Graph::new();
    let images = graph.input("images", model.input_type(record.batch).unwrap()).unwrap();
    let labels = graph.input("labels", TensorType::u32([record.batch])).unwrap();
    let rate = graph.input("rate", TensorType::f32([1])).unwrap();
    let forward = model.forward(&mut graph, images, mode, 0).unwrap();
    let loss = graph.add_all(SoftmaxCrossEntropy, &[forward.logits, labels]).unwrap()[0];
    graph.output("loss", loss).unwrap();
    graph.output("logits", forward.logits).unwrap();
    let values: Vec<_> = forward.parameters.iter().map(|p| p.value).collect();
    let gradients = graph.gradients(loss, &values).unwrap();
    for (parameter, gradient) in forward.parameters.iter().zip(gradients) {
        graph.output(format!("gradient.{}", parameter.name), gradient).unwrap();
        let ty = graph.value(parameter.value).ty.clone();
        let velocity = format!("velocity.{}", parameter.name);
        let velocity = graph.state(velocity, gabor::graph::Initial::zeros(ty)).unwrap();
        let rule = Sgd { momentum: 0.875, weight_decay: 1.0 / 1024.0, ..Sgd::default() };
        let sgd = Update(rule);
        let new = graph.add_all(sgd, &[parameter.value, velocity, gradient, rate]).unwrap();
        graph.update(parameter.value, new[0]).unwrap();
        graph.update(velocity, new[1]).unwrap();
        assert!(matches!(parameter.role, Role::Weight | Role::Bias));
    }
    graph
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// How far `actual` is from `expected`, as a share of its size.
fn apart(actual: impl Iterator<Item = f64>, expected: &[f64]) -> f64 {
    norm(actual.zip(expected).map(|(a, e)| a - e)) / norm(expected.iter().copied())
}

/// The largest deviations of logits and gradients from PyTorch's over three steps.
fn deviations(record: &Record, device: &Device) -> (f64, f64) {
    let size = record.size;
    let model = zoo::build(&record.name, [3, size, size], record.classes).unwrap();
    let graph = step_graph(&model, record);
    let mut session = Session::new(device);
    let mut program = session.compile(&graph).unwrap();
    for (name, ty) in model.parameter_types().unwrap() {
        if !name.contains("running") {
            session.set_state(&name, &start(&name, &ty)).unwrap();
        }
    }
    let labels = (0..record.batch).map(|i| (i * 5 % record.classes) as u32).collect();
    let labels = Tensor::u32([record.batch], labels).unwrap();
    let rate = Tensor::scalar(record.rate);
    let (mut logits_apart, mut gradients_apart) = (0.0_f64, 0.0_f64);
    for (i, step) in record.steps.iter().enumerate() {
        let shape = Shape::new([record.batch, 3, size, size]);
        let images = drawn(&format!("images {i}"), shape.elements()).map(|x| x as f32).collect();
        let images = Tensor::f32(shape, images).unwrap();
        let inputs = [("images", &images), ("labels", &labels), ("rate", &rate)];
        let outputs = session.run(&mut program, &inputs).unwrap();
        let loss = f64::from(outputs.scalar("loss").unwrap());
        assert!((loss / step.loss - 1.0).abs() < 1e-4, "step {i}: loss {loss}, {}", step.loss);
        let values = |name: &str| outputs.get(name).unwrap().as_f32().unwrap().to_vec();
        let logits = values("logits");
        logits_apart = logits_apart.max(apart(logits.into_iter().map(f64::from), &step.logits));
        assert!(step.gradients.len() > 10);
        // A bias before a batch norm has no gradient but rounding: nothing to be compared by itself.
        let largest = step.gradients.values().map(|g| g.norm).fold(0.0, f64::max);
        for (name, expected) in &step.gradients {
            let gradient = values(&format!("gradient.{name}"));
            let size = norm(gradient.iter().map(|&x| f64::from(x)));
            let places = drawn(name, 32).map(|u| (u + 1.0) / 2.0 * gradient.len() as f64);
            let sample = places.map(|p| f64::from(gradient[(p as usize).min(gradient.len() - 1)]));
            // Relative to the tensor's size: its norm spread over the sampled elements.
            let scale = expected.norm.max(1e-3 * largest);
            let spread = scale * (32.0 / gradient.len() as f64).sqrt();
            let off = norm(sample.zip(&expected.elements).map(|(a, e)| a - e)) / spread;
            let off = off.max((size - expected.norm).abs() / scale);
            assert!(off.is_finite(), "step {i}: {name}");
            gradients_apart = gradients_apart.max(off);
        }
    }
    for (name, expected) in &record.running {
        let running = session.state(name).unwrap();
        let size = norm(running.as_f32().unwrap().iter().map(|&x| f64::from(x)));
        assert!((size / expected - 1.0).abs() < 1e-5, "{name}: {size}, {expected}");
    }
    (logits_apart, gradients_apart)
}

fn three_steps(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch/networks.json");
    let fixture: Fixture = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let record = fixture.networks.iter().find(|record| record.name == name).unwrap();
    let devices = std::iter::once(Device::cpu()).chain(common::full_gpu());
    for device in devices {
        let (logits, gradients) = deviations(record, &device);
        println!("{name} on {}: logits {logits:.1e}, gradients {gradients:.1e}", device.name());
        assert!(logits < 1e-4, "{name} on {}: the logits differ by {logits:e}", device.name());
        assert!(gradients < 1e-3, "{name} on {}: the gradients by {gradients:e}", device.name());
    }
}

#[test]
fn alexnet_takes_the_steps_of_pytorch() {
    three_steps("alexnet");
}

#[test]
fn resnet_takes_the_steps_of_pytorch() {
    three_steps("resnet-18");
}

#[test]
fn mobilenet_takes_the_steps_of_pytorch() {
    three_steps("mobilenet-v1");
}
