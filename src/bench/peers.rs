//! Fixed workloads for the comparison with other frameworks: the same shapes, the same arithmetic
//! and the same format of results as the programs that time those.
//!
//! Matrix products, the convolutions of AlexNet (2014) and VGG, an overlapping max pool, and the
//! training steps of two networks with SGD (momentum 0.9, weight decay 5e-4 on all parameters) on
//! one fixed batch. A convolution's `fwdbwd` computes the output, the input's gradient and the
//! weight's gradient.

use std::time::Instant;

use super::measure::median;
use super::workload::random_batch;
use super::{Budget, Runner, Time, Workload, measure, process};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Bindings, Graph, interpret};
use crate::nn::{Mode, Model};
use crate::ops::Array;
use crate::ops::case::Draw;
use crate::ops::conv::Conv2d;
use crate::ops::gemm::MatMul;
use crate::ops::pool::MaxPool2d;
use crate::ops::softmax::SoftmaxCrossEntropy;
use crate::optim::Sgd;
use crate::session::Session;
use crate::tensor::{Tensor, TensorType};
use crate::train::{Names, Precision};
use crate::zoo;

/// A workload that other frameworks are timed on too.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in results.
    pub name: String,
    /// Images, or 1.
    pub batch: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    MatMul { n: usize },
    Conv { shape: Conv, is_backward: bool },
    MaxPool,
    Train { model: &'static str },
}

/// A convolution of square images without bias.
#[derive(Clone, Copy, Debug)]
struct Conv {
    batch: usize,
    channels: usize,
    side: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

#[rustfmt::skip]
const CONVS: [(&str, Conv); 5] = [
    ("conv1", Conv { batch: 4, channels: 3, side: 224, outputs: 64, kernel: 11, stride: 4, padding: 2 }),
    ("conv2", Conv { batch: 4, channels: 64, side: 27, outputs: 192, kernel: 5, stride: 1, padding: 2 }),
    ("conv3", Conv { batch: 4, channels: 192, side: 13, outputs: 384, kernel: 3, stride: 1, padding: 1 }),
    ("conv5", Conv { batch: 4, channels: 256, side: 13, outputs: 256, kernel: 3, stride: 1, padding: 1 }),
    ("vgg3x3", Conv { batch: 2, channels: 64, side: 56, outputs: 64, kernel: 3, stride: 1, padding: 1 }),
];

/// All workloads.
pub fn all() -> Vec<Peer> {
    let gemms = [512, 1024].map(|n| Peer::new(format!("gemm{n}"), 1, Kind::MatMul { n }));
    let convs = CONVS.into_iter().flat_map(|(name, shape)| {
        [("fwd", false), ("fwdbwd", true)].map(|(part, is_backward)| {
            let kind = Kind::Conv { shape, is_backward };
            Peer::new(format!("{name}_{part}"), shape.batch, kind)
        })
    });
    let rest = [
        Peer::new("maxpool_fwdbwd", 4, Kind::MaxPool),
        Peer::new("cifar_quick_train", 64, Kind::Train { model: "cifar-quick" }),
        Peer::new("alexnet_train", 4, Kind::Train { model: "alexnet-2014" }),
    ];
    gemms.into_iter().chain(convs).chain(rest).collect()
}

/// The time of a workload, in the format that the other frameworks' programs print.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Timing {
    /// `gabor` and its version.
    pub peer: String,
    /// The device's name.
    pub device: String,
    /// The workload's name.
    pub workload: String,
    /// Images a run.
    pub batch: usize,
    /// Milliseconds: the median.
    pub ms: f64,
    /// Billions of floating-point operations, those of convolutions and matrix products only.
    pub gflop: Option<f64>,
    /// Billions of floating-point operations a second.
    pub gflops: Option<f64>,
    /// How many measurements there were.
    pub runs: usize,
    /// The shortest run.
    pub ms_min: f64,
    /// The longest run.
    pub ms_max: f64,
}

/// How a training step starts.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct First {
    /// `gabor` and its version.
    pub peer: String,
    /// The device's name.
    pub device: String,
    /// The workload's name.
    pub workload: String,
    /// Images a step.
    pub batch: usize,
    /// Seconds from the start of the process to the end of the first step. Linux only.
    pub process_to_first_step_s: Option<f64>,
    /// The first step, compilation and allocation included.
    pub first_step_ms: f64,
    /// The median of the steps after the second.
    pub steady_step_ms: f64,
    /// The most memory that the process had. Linux only.
    pub peak_rss_mib: Option<u64>,
    /// All steps.
    pub step_ms: Vec<f64>,
    /// The loss before each step's update.
    pub losses: Vec<f32>,
}

/// How far a result is from the oracle's.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Check {
    /// `gabor` and its version.
    pub peer: String,
    /// The device's name.
    pub device: String,
    /// The workload's name and the result's.
    pub check: String,
    /// The largest error, over the largest value.
    pub max_abs_err_over_max_abs: f64,
    /// Whether that is less than 1e-4.
    pub ok: bool,
}

fn this_peer() -> String {
    concat!("gabor-", env!("CARGO_PKG_VERSION")).into()
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Peer {
    fn new(name: impl Into<String>, batch: usize, kind: Kind) -> Self {
        Peer { name: name.into(), batch, kind }
    }

    /// Whether this is a network's training step.
    pub fn is_training(&self) -> bool {
        matches!(self.kind, Kind::Train { .. })
    }

    /// The floating-point operations of convolutions and matrix products: a gradient counts as much
    /// as the forward pass, and the first layer needs no input gradient.
    ///
    /// Errors where the network cannot be built.
    pub fn flops(&self) -> Result<Option<u64>> {
        Ok(match self.kind {
            Kind::MatMul { n } => Some(2 * (n as u64).pow(3)),
            Kind::Conv { shape, is_backward } => {
                Some(shape.flops() * if is_backward { 3 } else { 1 })
            }
            Kind::MaxPool => None,
            Kind::Train { .. } => {
                let mut graph = Graph::new();
                let model = self.model()?;
                let images = graph.input(Names::IMAGES, model.input_type(self.batch)?)?;
                model.forward(&mut graph, images, Mode::Evaluate, 1)?;
                // Taps in the padding count, as they do elsewhere; an op's own cost leaves them out.
                let products = graph.nodes().iter().filter_map(|node| match node.op.name() {
                    "conv2d" | "linear" => {
                        let terms = node.types.inputs[1].shape.per_sample();
                        Some(2 * (node.types.outputs[0].elements() * terms) as u64)
                    }
                    _ => None,
                });
                let factors = std::iter::once(2).chain(std::iter::repeat(3));
                Some(products.zip(factors).map(|(flops, factor)| factor * flops).sum())
            }
        })
    }

    /// The network, where this is a training step.
    fn model(&self) -> Result<Model> {
        let Kind::Train { model } = self.kind else {
            let what =
                format!("{} is not a training step; take one, as cifar_quick_train", self.name);
            return Err(Error::Usage(what));
        };
        let (input, classes) = zoo::find(model)?.home;
        zoo::build(model, input, classes)
    }

    /// What is timed.
    ///
    /// Errors where the network cannot be built for this batch.
    pub fn workload(&self) -> Result<Workload> {
        if self.is_training() {
            let sgd = Sgd::new(1e-3).momentum(0.9).weight_decay(5e-4).decay_biases();
            return Workload::training_step(&self.model()?, &sgd, self.batch, Precision::F32);
        }
        Workload::resident(self.graph()?)
    }

    /// The graph of a workload that is not a training step, its data as states.
    fn graph(&self) -> Result<Graph> {
        let mut draw = Draw::new(1);
        let mut graph = Graph::new();
        let mut random = |graph: &mut Graph, name: &str, dims: &[usize]| {
            graph.state(name, draw.uniform(dims.to_vec(), -1.0, 1.0))
        };
        match self.kind {
            Kind::MatMul { n } => {
                let (x, y) = (random(&mut graph, "x", &[n, n])?, random(&mut graph, "y", &[n, n])?);
                let z = graph.add(MatMul::default(), &[x, y])?;
                graph.output("z", z)?;
            }
            Kind::Conv { shape: c, is_backward } => {
                let x = random(&mut graph, "x", &[c.batch, c.channels, c.side, c.side])?;
                let w = random(&mut graph, "w", &[c.outputs, c.channels, c.kernel, c.kernel])?;
                let y = graph.add(Conv2d::new(c.stride, c.padding), &[x, w])?;
                graph.output("y", y)?;
                if is_backward {
                    let ones = ones(&graph.value(y).ty)?;
                    let seed = graph.state("gy", ones)?;
                    let gradients = graph.gradients_from(&[(y, seed)], &[x, w])?;
                    graph.output("gx", gradients[0])?;
                    graph.output("gw", gradients[1])?;
                }
            }
            Kind::MaxPool => {
                let x = random(&mut graph, "x", &[self.batch, 64, 55, 55])?;
                let y = graph.add_all(MaxPool2d::new(3, 2), &[x])?[0];
                let seed = ones(&graph.value(y).ty)?;
                let seed = graph.state("gy", seed)?;
                let gx = graph.gradients_from(&[(y, seed)], &[x])?[0];
                graph.output("y", y)?;
                graph.output("gx", gx)?;
            }
            // It has inputs, and is built elsewhere.
            Kind::Train { .. } => {}
        }
        Ok(graph)
    }

    /// Times it.
    ///
    /// Errors where the device fails or cannot hold it.
    pub fn measure(&self, device: &Device, budget: &Budget) -> Result<Timing> {
        let flops = self.flops()?;
        let time: Time = measure(device, &self.workload()?, budget)?;
        Ok(Timing {
            peer: this_peer(),
            device: device.name(),
            workload: self.name.clone(),
            batch: self.batch,
            ms: rounded(time.median * 1e3),
            gflop: flops.map(|flops| rounded(flops as f64 / 1e9)),
            gflops: flops.map(|flops| rounded(time.giga_per_second(flops))),
            runs: time.runs,
            ms_min: rounded(time.min * 1e3),
            ms_max: rounded(time.max * 1e3),
        })
    }

    /// Takes eight training steps from a cold start.
    ///
    /// Errors where this is not a training step, or the device fails.
    pub fn first(&self, device: &Device) -> Result<First> {
        self.model()?;
        let workload = self.workload()?;
        let (mut step_ms, mut losses, mut age) = (vec![], vec![], None);
        let mut start = Instant::now();
        let mut runner = Runner::new(device, &workload, 1)?;
        for step in 0..8 {
            let loss = runner.run()?.scalar(Names::LOSS)?;
            step_ms.push(rounded(start.elapsed().as_secs_f64() * 1e3));
            losses.push(loss);
            if step == 0 {
                age = process::age();
            }
            start = Instant::now();
        }
        let mut later = step_ms[2..].to_vec();
        later.sort_by(f64::total_cmp);
        Ok(First {
            peer: this_peer(),
            device: device.name(),
            workload: self.name.clone(),
            batch: self.batch,
            process_to_first_step_s: age.map(rounded),
            first_step_ms: step_ms[0],
            steady_step_ms: median(&later),
            peak_rss_mib: process::peak_memory(),
            step_ms,
            losses,
        })
    }

    /// Compares the results with the oracle's. Of a training step: the loss, and on a GPU the losses
    /// of the steps after it with the CPU engine's, which see the updates.
    ///
    /// Errors where the device fails.
    pub fn check(&self, device: &Device) -> Result<Vec<Check>> {
        if self.is_training() {
            return self.check_training(device);
        }
        let graph = self.graph()?;
        let expected = interpret(&graph, &Bindings::new())?;
        let mut session = Session::new(device);
        let mut program = session.compile(&graph)?;
        let outputs = session.run(&mut program, &[])?;
        let checks = graph.outputs().iter().map(|(name, value)| {
            let actual = outputs.get(name)?.as_f32()?;
            Ok(self.compare(device, name, actual, &expected[value].data))
        });
        checks.collect()
    }

    fn check_training(&self, device: &Device) -> Result<Vec<Check>> {
        let losses = |device: &Device, steps: usize| -> Result<Vec<f32>> {
            let mut runner = Runner::new(device, &self.workload()?, 1)?;
            (0..steps).map(|_| runner.run()?.scalar(Names::LOSS)).collect()
        };
        let actual = losses(device, 4)?;
        let mut checks = vec![self.compare(device, "loss", &actual[..1], &[self.oracle_loss()?])];
        if !matches!(device, Device::Cpu) {
            let expected: Vec<_> = losses(&Device::Cpu, 4)?.into_iter().map(f64::from).collect();
            checks.push(self.compare(device, "losses", &actual, &expected));
        }
        Ok(checks)
    }

    /// The loss of the first step, computed in double precision by the ops' oracles.
    fn oracle_loss(&self) -> Result<f64> {
        let model = self.model()?;
        let mut graph = Graph::new();
        let images = graph.input(Names::IMAGES, model.input_type(self.batch)?)?;
        let labels = graph.input(Names::LABELS, TensorType::u32([self.batch]))?;
        let logits = model.forward(&mut graph, images, Mode::Train, 1)?.logits;
        let loss = graph.add_all(SoftmaxCrossEntropy, &[logits, labels])?[0];
        let batch = random_batch(&model, self.batch)?;
        let bindings: Bindings =
            batch.into_iter().map(|(name, tensor)| (name, Array::from(&tensor))).collect();
        let computed = interpret(&graph, &bindings)?;
        Ok(computed[&loss].data[0])
    }

    fn compare(&self, device: &Device, name: &str, actual: &[f32], expected: &[f64]) -> Check {
        let pairs = actual.iter().zip(expected);
        // A maximum of floats would pass over a NaN.
        let largest_error = pairs
            .map(|(&a, e)| (f64::from(a) - e).abs())
            .fold(0.0, |worst, e| if e > worst || e.is_nan() { e } else { worst });
        let largest = expected.iter().fold(0.0, |most: f64, e| most.max(e.abs()));
        let error = largest_error / largest;
        Check {
            peer: this_peer(),
            device: device.name(),
            check: format!("{}.{name}", self.name),
            max_abs_err_over_max_abs: error,
            ok: error < 1e-4 && actual.len() == expected.len(),
        }
    }
}

impl Conv {
    fn flops(self) -> u64 {
        let side = (self.side + 2 * self.padding - self.kernel) / self.stride + 1;
        let outputs = self.batch * self.outputs * side * side;
        2 * (outputs * self.channels * self.kernel * self.kernel) as u64
    }
}

fn ones(ty: &TensorType) -> Result<Tensor> {
    Tensor::f32(ty.shape.clone(), vec![1.0; ty.elements()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gflop(name: &str) -> Option<f64> {
        let peer = all().into_iter().find(|p| p.name == name).unwrap();
        peer.flops().unwrap().map(|flops| rounded(flops as f64 / 1e9))
    }

    /// The figures that the PyTorch program prints.
    #[test]
    fn arithmetic_is_counted_as_elsewhere() {
        for (name, expected) in [
            ("gemm512", 0.2684),
            ("conv1_fwd", 0.5622),
            ("conv2_fwdbwd", 5.3748),
            ("cifar_quick_train", 4.408),
            ("alexnet_train", 16.5783),
        ] {
            assert_eq!(gflop(name), Some(expected), "{name}");
        }
        assert_eq!(gflop("maxpool_fwdbwd"), None);
    }

    #[test]
    fn results_are_checked() {
        let peer = all().into_iter().find(|p| p.name == "maxpool_fwdbwd").unwrap();
        let device = Device::cpu();
        let checks = peer.check(&device).unwrap();
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|c| c.ok), "{checks:?}");
        assert!(!peer.compare(&device, "y", &[1.0, 2.001], &[1.0, 2.0]).ok);
        assert!(!peer.compare(&device, "y", &[f32::NAN, 2.0], &[1.0, 2.0]).ok);
    }
}
