//! Optimizers and schedules against PyTorch in float64: 20 steps of each from the same start, by the
//! oracles of the ops and on every device, and the learning rates of 25 epochs.
//!
//! `tests/pytorch/optimizers.py` writes what is compared with, and says how.

mod common;

use std::collections::HashMap;

use gabor::device::Device;
use gabor::graph::{Bindings, Graph, interpret};
use gabor::nn::{Conv2d, Linear, MaxPool2d, Model, Parameter, Relu, Role};
use gabor::ops::Array;
use gabor::ops::case::Draw;
use gabor::ops::optim::{Adadelta, Adagrad, Adam, AdamW, Lars, Lion, RmsProp, Rule, Sgd, SgdForm};
use gabor::optim::{Clip, Descent, Ema, Group, Method, Metric, Optimizer, Schedule, Scheduler};
use gabor::session::Session;
use gabor::tensor::{Tensor, TensorType};
use gabor::train::{Network, Options, Trainer};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Fixture {
    kept: Vec<usize>,
    problem: HashMap<String, Part>,
    trajectories: Vec<Trajectory>,
    schedules: Vec<Learning>,
}

#[derive(Deserialize)]
struct Part {
    shape: Vec<usize>,
    weight: Vec<f64>,
    target: Vec<f64>,
    slope: Vec<f64>,
    noise: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Trajectory {
    rule: String,
    learning_rate: f64,
    attributes: serde_json::Value,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    ema: Option<f64>,
    group: Option<Group>,
    weights: HashMap<String, Vec<Vec<f64>>>,
    #[serde(default)]
    averages: HashMap<String, Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Learning {
    schedule: Schedule,
    factors: Vec<f64>,
    metrics: Option<Vec<f64>>,
}

const STEPS: usize = 20;
const NAMES: [&str; 2] = ["a", "b"];

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("pytorch/optimizers.json")).unwrap()
}

impl Part {
    fn gradient(&self, step: usize, weight: &[f64]) -> Vec<f64> {
        let noise = &self.noise[step];
        (0..weight.len()).map(|i| self.slope[i] * (weight[i] - self.target[i]) + noise[i]).collect()
    }

    fn tensor(&self, data: &[f64]) -> Tensor {
        Tensor::f32(self.shape.clone(), data.iter().map(|&x| x as f32).collect()).unwrap()
    }

    fn array(&self, data: &[f64]) -> Array {
        Array { shape: self.shape.clone().into(), data: data.to_vec() }
    }
}

fn descent<R: Rule + DeserializeOwned>(case: &Trajectory) -> Box<dyn Optimizer> {
    let rule: R = serde_json::from_value(case.attributes.clone()).unwrap();
    let optimizer = Descent::with(case.learning_rate as f32, rule).decay_biases();
    Box::new(case.group.iter().cloned().fold(optimizer, Descent::group))
}

fn optimizer(case: &Trajectory) -> Box<dyn Optimizer> {
    let mut optimizer = match case.rule.as_str() {
        "sgd" => descent::<Sgd>(case),
        "adam" => descent::<Adam>(case),
        "adamw" => descent::<AdamW>(case),
        "rmsprop" => descent::<RmsProp>(case),
        "adagrad" => descent::<Adagrad>(case),
        "adadelta" => descent::<Adadelta>(case),
        "lion" => descent::<Lion>(case),
        "lars" => descent::<Lars>(case),
        other => panic!("{other}"),
    };
    if let Some(norm) = case.clip_norm {
        optimizer = Box::new(Clip::norm(norm, optimizer));
    }
    // PyTorch's script clips by value first.
    if let Some(limit) = case.clip_value {
        optimizer = Box::new(Clip::value(limit, optimizer));
    }
    match case.ema {
        Some(decay) => Box::new(Ema::new(decay, optimizer)),
        None => optimizer,
    }
}

/// The graph that updates both parameters from the inputs `gradient.NAME` and `learning_rate`.
fn graph(problem: &HashMap<String, Part>, optimizer: &dyn Optimizer) -> Graph {
    let mut graph = Graph::new();
    let rate = graph.input("learning_rate", TensorType::f32([1])).unwrap();
    let mut parameters = vec![];
    for name in NAMES {
        let part = &problem[name];
        let value = graph.state(name, part.tensor(&part.weight)).unwrap();
        let ty = graph.value(value).ty.clone();
        let gradient = graph.input(format!("gradient.{name}"), ty).unwrap();
        parameters.push((
            Parameter { name: name.into(), value, role: Role::Weight, is_trainable: true },
            gradient,
        ));
    }
    optimizer.updates(&mut graph, &parameters, rate).unwrap();
    graph
}

fn rate(case: &Trajectory, step: usize) -> f64 {
    case.learning_rate * (1.0 - step as f64 / (2 * STEPS) as f64)
}

fn assert_near(case: &Trajectory, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    let size = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    for (x, y) in found.iter().zip(expected) {
        let off = (x - y).abs() / size;
        let (rule, attributes) = (&case.rule, &case.attributes);
        assert!(
            off <= tolerance,
            "{rule} {attributes}: {what} is {x}, expected {y}: off by {off:e}"
        );
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn oracles_follow_pytorch_to_the_last_digits() {
    let Fixture { kept, problem, trajectories, .. } = fixture();
    assert!(trajectories.len() >= 25);
    for case in &trajectories {
        let graph = graph(&problem, optimizer(case).as_ref());
        let mut states = Bindings::new();
        for name in NAMES {
            states.insert(name.into(), problem[name].array(&problem[name].weight));
        }
        let mut compared = 0;
        for step in 0..STEPS {
            let mut bindings = states.clone();
            for name in NAMES {
                let gradient = problem[name].gradient(step, &states[name].data);
                bindings.insert(format!("gradient.{name}"), problem[name].array(&gradient));
            }
            let rate = Array { shape: [1].into(), data: vec![rate(case, step)] };
            bindings.insert("learning_rate".into(), rate);
            let values = interpret(&graph, &bindings).unwrap();
            for &(state, new) in graph.updates() {
                states.insert(graph.value(state).name.clone(), values[&new].clone());
            }
            let Some(row) = kept.iter().position(|&k| k == step) else { continue };
            for name in NAMES {
                let what = format!("{name} after step {}", step + 1);
                assert_near(case, &what, &states[name].data, &case.weights[name][row], 1e-12);
                if let Some(averages) = case.averages.get(name) {
                    let average = &states[&format!("ema.{name}")].data;
                    assert_near(case, &format!("ema of {what}"), average, &averages[row], 1e-12);
                }
                compared += 1;
            }
        }
        assert_eq!(compared, 10);
    }
}

fn follows_pytorch_on(device: &Device) {
    let Fixture { kept, problem, trajectories, .. } = fixture();
    for case in &trajectories {
        let graph = graph(&problem, optimizer(case).as_ref());
        let mut session = Session::new(device);
        let mut program = session.compile(&graph).unwrap();
        for step in 0..STEPS {
            let mut inputs = vec![];
            for name in NAMES {
                let weight = session.state(name).unwrap().into_f32();
                let weight: Vec<_> = weight.into_iter().map(f64::from).collect();
                let part = &problem[name];
                inputs
                    .push((format!("gradient.{name}"), part.tensor(&part.gradient(step, &weight))));
            }
            inputs.push(("learning_rate".into(), Tensor::scalar(rate(case, step) as f32)));
            let inputs: Vec<_> = inputs.iter().map(|(name, t)| (name.as_str(), t)).collect();
            session.run(&mut program, &inputs).unwrap();
            let Some(row) = kept.iter().position(|&k| k == step) else { continue };
            for name in NAMES {
                let read = |state: &str| -> Vec<f64> {
                    session.state(state).unwrap().into_f32().into_iter().map(f64::from).collect()
                };
                let what = format!("{name} after step {} on {}", step + 1, device.name());
                // Single precision, and what is divided by the root of a small mean square.
                assert_near(case, &what, &read(name), &case.weights[name][row], 2e-5);
                if let Some(averages) = case.averages.get(name) {
                    let average = read(&format!("ema.{name}"));
                    assert_near(case, &format!("ema of {what}"), &average, &averages[row], 2e-5);
                }
            }
        }
    }
}

#[test]
fn the_cpu_follows_pytorch() {
    follows_pytorch_on(&Device::cpu());
}

#[test]
fn the_gpu_follows_pytorch() {
    if let Some(device) = common::gpu() {
        follows_pytorch_on(&device);
    }
}

#[test]
fn schedules_are_those_of_pytorch() {
    for case in fixture().schedules {
        case.schedule.check().unwrap();
        let epochs = case.factors.len();
        assert!(epochs >= 20);
        let mut scheduler = Scheduler::new(case.schedule.clone(), epochs as u64, 1);
        for (epoch, &expected) in case.factors.iter().enumerate() {
            let factor = scheduler.factor(epoch as u64);
            let off = (factor - expected).abs();
            assert!(off < 1e-12, "{:?}: epoch {epoch}: {factor}, not {expected}", case.schedule);
            if let (Some(metrics), Schedule::Plateau(plateau)) = (&case.metrics, &case.schedule) {
                match plateau.metric {
                    Metric::Loss => scheduler.epoch_ended(metrics[epoch], 0.0),
                    Metric::Top1 => scheduler.epoch_ended(0.0, metrics[epoch]),
                }
            }
        }
    }
}

/// A schedule in finer steps passes through the same values where it is a function of time.
#[test]
fn schedules_do_not_depend_on_the_number_of_steps() {
    for case in fixture().schedules {
        if matches!(case.schedule, Schedule::OneCycle { .. } | Schedule::Plateau(_)) {
            continue;
        }
        let epochs = case.factors.len() as u64;
        let coarse = Scheduler::new(case.schedule.clone(), epochs, 1);
        let fine = Scheduler::new(case.schedule.clone(), epochs, 8);
        for epoch in 0..epochs {
            assert!((coarse.factor(epoch) - fine.factor(8 * epoch)).abs() < 1e-12);
        }
    }
}

/// cuda-convnet's form has no PyTorch to compare with; its rule is short enough to write out.
#[test]
fn the_form_of_cuda_convnet_follows_its_paper() {
    let problem = fixture().problem;
    let rule =
        Sgd { momentum: 0.9, weight_decay: 0.01, form: SgdForm::CudaConvnet, ..Sgd::default() };
    let graph = graph(&problem, &Descent::with(0.1, rule));
    let mut session = Session::new(&Device::cpu());
    let mut program = session.compile(&graph).unwrap();
    let part = &problem["a"];
    let (mut w, mut v) = (part.weight.clone(), vec![0.0; 6]);
    for step in 0..STEPS {
        let rate = 0.1 * 0.9f64.powi(step as i32);
        let gradient = part.gradient(step, &w);
        for i in 0..6 {
            v[i] = 0.9 * v[i] - 0.01 * rate * w[i] - rate * gradient[i];
            w[i] += v[i];
        }
        let other = problem["b"].tensor(&[0.0; 4]);
        let (gradient, rate) = (part.tensor(&gradient), Tensor::scalar(rate as f32));
        let inputs = [("gradient.a", &gradient), ("gradient.b", &other), ("learning_rate", &rate)];
        session.run(&mut program, &inputs).unwrap();
    }
    let found = session.state("a").unwrap().into_f32();
    for (x, y) in found.iter().zip(&w) {
        assert!((f64::from(*x) - y).abs() < 1e-5, "{x}, not {y}");
    }
}

fn small() -> Model {
    Model::new("small", [2, 9, 9])
        .with(Conv2d::new(5, 3).padding(1))
        .with(Relu)
        .with(MaxPool2d::new(3).stride(2))
        .with(Linear::new(4))
}

/// The parameters after three steps on batches of 6, in micro-batches or not.
fn trained(device: &Device, optimizer: impl Optimizer + 'static, micro_batch: usize) -> Trainer {
    let options =
        Options { batch: 6, micro_batch: Some(micro_batch), seed: 3, ..Options::default() };
    let mut trainer = Trainer::new(device, small(), optimizer, options).unwrap();
    let rate = 0.01;
    let mut draw = Draw::new(4);
    for _ in 0..3 {
        let (images, labels) = (draw.normal([6, 2, 9, 9]), draw.labels(6, 4));
        trainer.train_batch(&images, &labels, rate).unwrap();
    }
    trainer
}

fn clipped(name: &str) -> impl Optimizer + 'static {
    let inner = Method::named(name).unwrap().optimizer(0.01, 0.9, 1e-2, &[]);
    Ema::new(0.7, Clip::norm(0.5, Clip::value(0.3, inner)))
}

#[test]
fn micro_batches_are_one_batch_to_every_optimizer() {
    for name in Method::NAMES {
        let whole = trained(&Device::cpu(), clipped(name), 6);
        let parts = trained(&Device::cpu(), clipped(name), 4);
        let (whole, parts) = (whole.network(), parts.network());
        let pairs = whole.parameters().unwrap().into_iter().zip(parts.parameters().unwrap());
        for ((parameter, a), (_, b)) in pairs {
            let (a, b) = (a.into_f32(), b.into_f32());
            // Where a gradient is next to nothing, an optimizer that divides by its size may turn.
            let off = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
            assert!(off * 50 <= a.len(), "{name}: {off} of {} of {parameter}", a.len());
        }
        let step = |network: &Network| network.state("step").unwrap().into_f32();
        assert_eq!((step(whole), step(parts)), (vec![3.0], vec![3.0]));
    }
}

/// What is evaluated, predicted and saved are the averages; what is trained is not.
#[test]
fn averages_are_used_and_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for device in [Some(Device::cpu()), common::gpu()].into_iter().flatten() {
        let mut averaging = trained(&device, clipped("sgd"), 6);
        let images = Draw::new(9).normal([5, 2, 9, 9]);
        let network = averaging.network_mut();
        let prediction = network.predict(&images).unwrap();
        network.save(&path, &[]).unwrap();
        let raw = network.state("conv1.weight").unwrap();
        let average = network.state("ema.conv1.weight").unwrap();
        let saved = network.parameters().unwrap().remove(0);
        assert_eq!(saved, ("conv1.weight".to_owned(), average.clone()));
        assert_ne!(raw, average);
        let mut other = Network::new(&device, small()).unwrap();
        other.load(&path).unwrap();
        assert_eq!(other.predict(&images).unwrap(), prediction);

        let mut plain = trained(&device, Method::default().optimizer(0.01, 0.9, 1e-2, &[]), 6);
        assert_ne!(plain.network_mut().predict(&images).unwrap(), prediction);
    }
}

#[test]
fn a_group_without_learning_rate_is_frozen() {
    let group = Group::new("conv1.*").learning_rate_scale(0.0);
    let frozen = Method::default().optimizer(0.01, 0.9, 1e-2, &[group]);
    let trainer = trained(&Device::cpu(), frozen, 6);
    let free = trained(&Device::cpu(), Method::default().optimizer(0.01, 0.9, 1e-2, &[]), 6);
    let state = |trainer: &Trainer, name: &str| trainer.network().state(name).unwrap();
    assert_ne!(state(&trainer, "conv1.weight"), state(&free, "conv1.weight"));
    assert_ne!(state(&trainer, "fc1.weight"), state(&free, "fc1.weight"));
    let once = Method::default().optimizer(1e-30, 0.0, 0.0, &[]);
    let options = Options { batch: 6, seed: 3, ..Options::default() };
    let still = Trainer::new(&Device::cpu(), small(), once, options).unwrap();
    assert_eq!(state(&trainer, "conv1.weight"), state(&still, "conv1.weight"));
}
