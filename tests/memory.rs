//! What training steps need in memory, and less of it by computing activations again.

#![cfg(feature = "gpu")]

mod common;

use std::collections::HashSet;

use gabor::device::Device;
use gabor::graph::{Footprint, Graph, Kind, Plan, PlanStep, Recompute, Target, recompute};
use gabor::kernel::Adapter;
use gabor::nn::{
    BatchNorm2d, Conv2d, Dropout, Linear, Lrn, MaxPool2d, Model, Relu, Residual, Sequential,
};
use gabor::ops::case::Draw;
use gabor::optim::{Clip, GradientNorm, Sgd};
use gabor::session::Session;
use gabor::tensor::Tensor;
use gabor::train::{Names, Options, Trainer, training_step};
use gabor::zoo;

fn graph(model: &str, batch: usize) -> Graph {
    let (input, classes) = zoo::find(model).unwrap().home;
    let model = zoo::build(model, input, classes).unwrap();
    training_step(&model, &Sgd::new(0.01).momentum(0.9), batch, 1).unwrap()
}

/// The CPU, and a GPU without limits to the size of its buffers.
fn targets() -> [Target; 2] {
    let adapter = Adapter { max_buffer_bytes: u64::MAX, ..Adapter::webgpu_default() };
    [Target::Cpu, Target::Gpu(adapter)]
}

fn plans(model: &str, batch: usize) -> impl Iterator<Item = Plan> {
    let graph = graph(model, batch);
    targets().into_iter().map(move |target| Plan::new(&graph, &target).unwrap())
}

#[test]
fn alexnet_takes_little_more_than_what_is_alive_at_one_time() {
    for model in ["alexnet", "alexnet-2014"] {
        for batch in [4, 32, 128] {
            for plan in plans(model, batch) {
                let footprint = plan.footprint();
                let ratio = footprint.slot_ratio();
                assert!(ratio <= 1.15, "{model}, batch {batch}: {ratio}");
                assert!(footprint.ratio() <= ratio, "states and inputs are no more than needed");
            }
        }
    }
}

#[test]
fn the_parts_of_a_footprint_add_up() {
    for plan in plans("resnet-18", 2) {
        let footprint = plan.footprint();
        let Footprint { parameters, optimizer, inputs, slots, peak, .. } = footprint;
        assert_eq!(parameters + optimizer + inputs + slots, peak);
        let alive: u64 = Kind::ALL.into_iter().map(|kind| footprint.of(kind)).sum();
        assert_eq!(alive, plan.slots_lower_bound);
        assert_eq!(footprint.lower_bound, peak - slots + alive);
        // Momenta, and two running statistics for each of 4,800 channels.
        assert_eq!(parameters, 4 * 11_689_512);
        assert_eq!(optimizer, parameters + 2 * 4 * 4_800);
    }
}

/// A parameter is updated as soon as its gradient is there and nothing reads its old value any more: of
/// the largest gradients only one is there at a time.
#[test]
fn gradients_of_parameters_die_young() {
    let (input, classes) = zoo::find("alexnet-2014").unwrap().home;
    let model = zoo::alexnet_2014(input, classes);
    let sgd = Sgd::new(0.01).momentum(0.9);
    // Neither their norm nor limits of their elements keep them.
    let watched = GradientNorm::new(Clip::value(1.0, sgd.clone()));
    let watched = training_step(&model, &watched, 4, 1).unwrap();
    let watched = targets().map(|target| Plan::new(&watched, &target).unwrap());
    for plan in plans("alexnet-2014", 4).chain(watched) {
        let gradients = plan.slots.iter().filter(|t| t.kind == Kind::ParameterGradient);
        let mut alive = vec![0; plan.steps.len()];
        for t in gradients.clone() {
            alive[t.first..=t.last].iter_mut().for_each(|bytes| *bytes += t.bytes);
        }
        let (most, largest) = (alive.iter().max().unwrap(), gradients.map(|t| t.bytes).max());
        assert!(*most <= largest.unwrap() + (1 << 20), "{most} bytes of gradients at one time");
        let last_backward =
            plan.steps.iter().rposition(|s| matches!(s, PlanStep::Run { is_backward: true, .. }));
        let updates = plan.steps.iter().take(last_backward.unwrap());
        let updates = updates.filter(|s| s.label().starts_with("update."));
        assert!(updates.count() >= 12, "updates wait for the end");
    }
}

/// Everything that could go wrong the second time: dropout, batch normalisation with its running
/// statistics, values that several read, ops in place, pooling and normalisation with two results.
fn mixed() -> Model {
    let block = Sequential::new()
        .with(Conv2d::new(6, 3).padding(1).no_bias())
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Dropout::new(0.3));
    Model::new("mixed", [2, 12, 11])
        .with(Conv2d::new(6, 3).padding(1))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(MaxPool2d::new(3).stride(2))
        .with(Residual::new(block).then(Relu))
        .with(Conv2d::new(8, 3))
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Linear::new(12))
        .with(Relu)
        .with(Dropout::new(0.4))
        .with(Linear::new(5))
}

/// The losses of three steps and all that is kept after them, running statistics too.
fn three_steps(device: &Device, recompute: Recompute, micro_batch: Option<usize>) -> Vec<Tensor> {
    let options = Options { batch: 6, micro_batch, seed: 3, recompute, ..Options::default() };
    let sgd = Sgd::new(0.1).momentum(0.9);
    let mut trainer = Trainer::new(device, mixed(), sgd, options).unwrap();
    let mut draw = Draw::new(8);
    let mut kept = vec![];
    for _ in 0..3 {
        let (images, labels) = (draw.normal([6, 2, 12, 11]), draw.labels(6, 5));
        let loss = trainer.train_batch(&images, &labels, 0.1).unwrap().loss;
        kept.push(Tensor::scalar(loss));
    }
    kept.extend(trainer.network().parameters().unwrap().into_iter().map(|(_, tensor)| tensor));
    kept
}

#[test]
fn activations_that_are_computed_again_change_no_bit() {
    for device in [Some(Device::cpu()), common::gpu()].into_iter().flatten() {
        for micro_batch in [None, Some(4)] {
            let expected = three_steps(&device, Recompute::None, micro_batch);
            assert_eq!(expected.len(), 3 + 17, "parameters and running statistics");
            for which in [Recompute::Cheap, Recompute::Full] {
                let found = three_steps(&device, which, micro_batch);
                assert!(found == expected, "{which:?} on {}", device.name());
            }
        }
    }
}

/// Whatever is kept, what is computed again is the same.
#[test]
fn any_choice_of_activations_can_be_computed_again() {
    let device = Device::cpu();
    let step = training_step(&mixed(), &Sgd::new(0.1).momentum(0.9), 3, 7).unwrap();
    let forward: Vec<_> = step.nodes().iter().take_while(|n| !n.is_backward).collect();
    let mut draw = Draw::new(4);
    let inputs = [
        (Names::IMAGES, draw.normal([3, 2, 12, 11])),
        (Names::LABELS, draw.labels(3, 5)),
        (Names::COUNTER, Tensor::u32([4], vec![7, 0, 1, 0]).unwrap()),
        (Names::LEARNING_RATE, Tensor::scalar(0.1)),
    ];
    let run = |graph: &Graph| {
        let mut session = Session::new(&device);
        let mut program = session.compile(graph).unwrap();
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        for _ in 0..2 {
            session.run(&mut program, &inputs).unwrap();
        }
        let names = session.state_names();
        names.into_iter().map(|n| (session.state(&n).unwrap(), n)).map(|(t, n)| (n, t)).collect()
    };
    let mut expected: Vec<(String, Tensor)> = run(&step);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut most = 0;
    for _ in 0..40 {
        let outputs = forward.iter().flat_map(|n| n.outputs.clone());
        let kept: HashSet<_> = outputs.filter(|_| draw.size(0, 3) == 0).collect();
        let graph = recompute(&step, &|v| kept.contains(&v));
        most = most.max(graph.nodes().len() - step.nodes().len());
        let mut found: Vec<(String, Tensor)> = run(&graph);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(found == expected, "with {kept:?} kept");
    }
    assert!(most > forward.len() / 2, "only {most} nodes were repeated");
}

/// Peaks and arithmetic of the plan, without running it.
#[test]
fn recomputation_saves_a_third_of_the_memory_of_a_resnet() {
    let none = graph("resnet-18", 32);
    for target in targets() {
        let plan = |which: Recompute| Plan::new(&which.apply(none.clone()), &target).unwrap();
        let [none, cheap, full] = [Recompute::None, Recompute::Cheap, Recompute::Full].map(plan);
        let share = |plan: &Plan| plan.memory() as f64 / none.memory() as f64;
        assert!(share(&cheap) <= 0.7, "cheap: {}", share(&cheap));
        assert!(share(&full) <= 0.7, "full: {}", share(&full));
        // A forward pass is a third of a step.
        let extra = |plan: &Plan| plan.cost().flops as f64 / none.cost().flops as f64;
        assert!(extra(&cheap) <= 1.05, "cheap: {}", extra(&cheap));
        assert!(extra(&full) <= 1.0 + 1.0 / 3.0, "full: {}", extra(&full));
    }
}
