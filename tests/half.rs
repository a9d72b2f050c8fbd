//! Values in half precision: every op that may have them, on every device and with every kernel, against
//! its oracle; and training with a scaled loss.

mod common;

use gabor::device::Device;
use gabor::graph::{Graph, Kind, Plan, Slot, Target};
use gabor::nn::{BatchNorm2d, Conv2d, Linear, Lrn, MaxPool2d, Model, Relu, Residual, Sequential};
use gabor::ops::case::{Draw, agrees, oracle};
use gabor::ops::registry::entries;
use gabor::optim::{Adam, Optimizer, Sgd};
use gabor::session::{Program, Session};
use gabor::tensor::{DType, Tensor};
use gabor::tolerance::Tolerance;
use gabor::train::{Names, Options, Precision, Trainer, training_step_with};

/// What every op and kernel gives on a device, compared with the oracle: more than `least` of them, unless
/// `GABOR_OP` asks for some.
fn parity(device: &Device, least: usize) {
    let filter = std::env::var("GABOR_OP").unwrap_or_default();
    let (mut failures, mut checked) = (vec![], 0);
    for entry in entries().filter(|entry| entry.name.contains(&filter)) {
        for (case, types) in (entry.cases)(&mut Draw::new(1)).iter().filter_map(common::in_half) {
            let variants = match device.target() {
                Target::Cpu => vec![None],
                Target::Gpu(adapter) => {
                    let variants = case.op.variants(&types, &adapter).unwrap();
                    variants.iter().map(|v| Some(v.name)).collect()
                }
            };
            assert!(!variants.is_empty(), "{} ({}): no variant", entry.name, case.label);
            let expected = oracle(case.op.as_ref(), &case.inputs).unwrap();
            for variant in variants {
                let outputs = common::run(&case, &types, device, variant);
                for (i, (output, expected)) in outputs.iter().zip(&expected).enumerate() {
                    let mut tolerance = case.op.tolerance(&types, variant);
                    if types.outputs[i].dtype == DType::F16 {
                        tolerance = tolerance.stored_as_half();
                    }
                    if let Err(problem) = agrees(output, &expected.data, tolerance) {
                        let name = variant.unwrap_or("cpu");
                        let label = &case.label;
                        failures.push(format!("{} ({label}) {name} {i}: {problem}", entry.name));
                    }
                    checked += 1;
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {checked}:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > least || !filter.is_empty() && checked > 0, "{checked} were compared");
}

#[test]
fn cpu_agrees_with_the_oracle() {
    parity(&Device::cpu(), 100);
}

#[test]
fn gpu_agrees_with_the_oracle() {
    if let Some(device) = half_gpu(common::full_gpu()) {
        parity(&device, 300);
    }
}

#[test]
fn gpu_agrees_with_the_oracle_with_checked_shaders() {
    if let Some(device) = half_gpu(common::checked_gpu()) {
        parity(&device, 300);
    }
}

/// The device, where it has half precision.
fn half_gpu(device: Option<Device>) -> Option<Device> {
    let device = device?;
    let Target::Gpu(adapter) = device.target() else { return None };
    if !adapter.f16 {
        eprintln!("\n*** NOT TESTED IN HALF PRECISION: {} has none ***\n", adapter.name);
    }
    adapter.f16.then_some(device)
}

/// Convolutions, pooling, both normalisations, a sum of two branches and dense layers.
fn network() -> Model {
    let branch =
        Sequential::new().with(Conv2d::new(8, 3).padding(1)).with(BatchNorm2d::new()).with(Relu);
    Model::new("half", [1, 12, 12])
        .with(Conv2d::new(8, 3))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(MaxPool2d::new(3).stride(2))
        .with(Residual::new(branch))
        .with(Linear::new(12))
        .with(Relu)
        .with(Linear::new(5))
}

const BATCH: usize = 10;

/// Five classes: noise around five pictures.
fn batch(seed: u64) -> (Tensor, Tensor) {
    let pictures = Draw::new(1).normal([5, 144]).into_f32();
    let noise = Draw::new(seed).normal([BATCH, 144]).into_f32();
    let pixels = noise.iter().enumerate().map(|(i, noise)| pictures[i % 720] + 0.3 * noise);
    let images = Tensor::f32([BATCH, 1, 12, 12], pixels.collect()).unwrap();
    (images, Tensor::u32([BATCH], (0..BATCH as u32).map(|i| i % 5).collect()).unwrap())
}

fn step(optimizer: &dyn Optimizer, precision: Precision) -> Graph {
    let options = Options { seed: 3, precision, ..Options::default() };
    training_step_with(&network(), optimizer, &options, BATCH).unwrap()
}

/// A training step in half precision at work.
struct Step {
    session: Session,
    program: Program,
}

impl Step {
    fn new(device: &Device, optimizer: &dyn Optimizer) -> Self {
        let mut session = Session::new(device);
        let program = session.compile(&step(optimizer, Precision::F16)).unwrap();
        Step { session, program }
    }

    /// The loss of a step, and the scale of the next one's.
    fn run(&mut self, seed: u64, rate: f32) -> (f32, f32) {
        let ((images, labels), rate) = (batch(seed), Tensor::scalar(rate));
        let inputs =
            [(Names::IMAGES, &images), (Names::LABELS, &labels), (Names::LEARNING_RATE, &rate)];
        let outputs = self.session.run(&mut self.program, &inputs).unwrap();
        let [loss, scale] = [Names::LOSS, Names::LOSS_SCALE].map(|n| outputs.scalar(n).unwrap());
        (loss, scale)
    }

    /// All states but those of the scale and running statistics, which every step changes.
    fn states(&self) -> Vec<(String, Tensor)> {
        let names = self.session.state_names();
        let kept = names.iter().filter(|n| !n.contains("loss_scale") && !n.contains("running"));
        kept.map(|n| (n.clone(), self.session.state(n).unwrap())).collect()
    }
}

fn devices() -> Vec<Device> {
    [Some(Device::cpu()), half_gpu(common::full_gpu())].into_iter().flatten().collect()
}

#[test]
fn a_step_with_an_overflow_changes_nothing_but_the_scale() {
    for device in devices() {
        let mut step = Step::new(&device, &Adam::new(0.01));
        step.run(7, 0.01);
        step.session.set_state("loss_scale", &Tensor::scalar(16_777_216.0)).unwrap();
        let before = step.states();
        assert!(
            before.iter().any(|(name, value)| name == "step" && value.as_f32().unwrap() == [1.0])
        );
        let (loss, scale) = step.run(8, 0.01);
        assert_eq!(scale, 8_388_608.0, "{}", device.name());
        assert!(loss.is_finite());
        assert_eq!(step.states(), before, "{}", device.name());
        // Halved again and again, until gradients fit.
        let scales: Vec<_> = (0..20).map(|_| step.run(8, 0.01).1).collect();
        let fits = scales.windows(2).position(|pair| pair[0] == pair[1]).unwrap();
        assert!(scales[..=fits].windows(2).all(|pair| pair[1] == 0.5 * pair[0]), "{scales:?}");
        assert!((64.0..8_388_608.0).contains(&scales[fits]), "{scales:?}");
        assert_ne!(step.states(), before);
    }
}

#[test]
fn the_first_gradients_are_those_of_single_precision() {
    // Plain descent with a rate of 1: the weights change by the gradients.
    let sgd = Sgd::new(1.0);
    let initial = |graph: &Graph| {
        let mut session = Session::new(&Device::cpu());
        session.compile(graph).unwrap();
        let names = session.state_names().into_iter().filter(|n| n.ends_with("weight"));
        names.map(|n| (n.clone(), session.state(&n).unwrap().into_f32())).collect::<Vec<_>>()
    };
    let single = step(&sgd, Precision::F32);
    let before = initial(&single);
    let mut session = Session::new(&Device::cpu());
    let mut program = session.compile(&single).unwrap();
    let ((images, labels), rate) = (batch(7), Tensor::scalar(1.0));
    let inputs =
        [(Names::IMAGES, &images), (Names::LABELS, &labels), (Names::LEARNING_RATE, &rate)];
    let loss = session.run(&mut program, &inputs).unwrap().scalar(Names::LOSS).unwrap();
    for device in devices() {
        let mut half = Step::new(&device, &sgd);
        half.session.set_state("loss_scale", &Tensor::scalar(1024.0)).unwrap();
        let (half_loss, _) = half.run(7, 1.0);
        // A value passes some 40 roundings on its way to the gradient of the first layer.
        let tolerance = Tolerance::single(1).stored_as_half().times(40.0);
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        tolerance.check([f64::from(half_loss)], &[f64::from(loss)]).unwrap();
        for (name, before) in &before {
            let gradient = |session: &Session| -> Vec<f64> {
                let after = session.state(name).unwrap().into_f32();
                before.iter().zip(after).map(|(b, a)| f64::from(b - a)).collect()
            };
            let (exact, rounded) = (gradient(&session), gradient(&half.session));
            let apart: Vec<_> = exact.iter().zip(&rounded).map(|(e, r)| e - r).collect();
            tolerance.check([norm(&exact) + norm(&apart)], &[norm(&exact)]).unwrap_or_else(|e| {
                panic!("{}: {name}: {e}", device.name());
            });
        }
    }
}

#[test]
fn training_learns_and_agrees_between_devices() {
    let losses = devices().into_iter().map(|device| {
        let mut step = Step::new(&device, &Sgd::new(0.005).momentum(0.9));
        (0..30).map(|i| step.run(20 + i, 0.005).0).collect::<Vec<_>>()
    });
    let losses: Vec<_> = losses.collect();
    for losses in &losses {
        assert!(losses[29] < 0.8 && losses[0] > 1.6, "{losses:?}");
    }
    if let [cpu, gpu] = &losses[..] {
        let tolerance = Tolerance::single(1).stored_as_half().times(40.0);
        let cpu: Vec<_> = cpu[..3].iter().map(|&x| f64::from(x)).collect();
        tolerance.check(gpu[..3].iter().map(|&x| f64::from(x)), &cpu).unwrap();
    }
}

#[test]
fn micro_batches_add_up_to_the_batch_and_count_their_overflows() {
    for device in devices() {
        let run = |micro_batch| {
            let precision = Precision::F16;
            let options =
                Options { batch: BATCH, micro_batch, precision, seed: 3, ..Options::default() };
            // Without statistics over the batch.
            let layers = Model::new("plain", [1, 12, 12]).with(Conv2d::new(8, 3)).with(Relu);
            let model = layers.with(MaxPool2d::new(2)).with(Linear::new(5));
            let mut trainer = Trainer::new(&device, model, Sgd::new(0.1), options).unwrap();
            let (images, labels) = batch(5);
            let scales: Vec<_> = (0..12)
                .map(|_| trainer.train_batch(&images, &labels, 0.1).unwrap().loss_scale.unwrap())
                .collect();
            (scales, trainer.network().parameters().unwrap())
        };
        let ((scales, whole), (micro_scales, parts)) = (run(None), run(Some(4)));
        assert_eq!(scales.last(), micro_scales.last(), "{scales:?} {micro_scales:?}");
        for ((name, whole), (_, part)) in whole.iter().zip(&parts) {
            let values = |tensor: &Tensor| -> Vec<f64> {
                tensor.as_f32().unwrap().iter().map(|&x| f64::from(x)).collect()
            };
            let tolerance = Tolerance::single(1).stored_as_half().times(40.0);
            tolerance.check(values(part), &values(whole)).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[test]
fn activations_take_half_of_the_memory() {
    let Some(device) = half_gpu(common::full_gpu()) else { return };
    let bytes = |precision, layer: &str| {
        let plan = Plan::new(&step(&Sgd::new(0.1), precision), &device.target()).unwrap();
        let is_own = |slot: &&Slot| slot.kind == Kind::Activation && slot.name.starts_with(layer);
        plan.slots.iter().filter(is_own).map(|slot| slot.bytes).max().unwrap()
    };
    for (layer, elements) in [("relu1", 8000), ("pool1", 1280)] {
        assert_eq!(bytes(Precision::F32, layer), 4 * elements, "{layer}");
        // The indices of a pool's maxima stay whole words.
        let size = if layer.starts_with("pool") { 4 } else { 2 };
        assert_eq!(bytes(Precision::F16, layer), size * elements, "{layer}");
    }
}
