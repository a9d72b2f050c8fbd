//! Graphs as a whole: gradients of networks against finite differences, plans against the oracle,
//! and what graphs refuse.

#![cfg(feature = "gpu")]

#[path = "../common/mod.rs"]
mod common;
mod fusion;
mod loss;
mod wild;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use gabor::device::Device;
use gabor::graph::{Bindings, Graph, Origin, Plan, PlanStep, interpret};
use gabor::ops::arith::Binary;
use gabor::ops::case::Draw;
use gabor::ops::conv::Conv2d;
use gabor::ops::dropout::Dropout;
use gabor::ops::elementwise::{Add, AddScaled, Unary};
use gabor::ops::gemm::Linear;
use gabor::ops::lrn::{AlphaConvention, Lrn};
use gabor::ops::norm::{Norm, Over};
use gabor::ops::optim::{Sgd, SgdForm, Update};
use gabor::ops::pool::MaxPool2d;
use gabor::ops::shape::Reshape;
use gabor::ops::softmax::SoftmaxCrossEntropy;
use gabor::ops::{Array, Value};
use gabor::session::Session;
use gabor::tensor::{Shape, Tensor, TensorType};
use gabor::tolerance::Tolerance;

const LRN: Lrn = Lrn { size: 3, alpha: 0.3, beta: 0.75, k: 1.5, convention: AlphaConvention::Sum };
/// Overlapping windows that keep the extents.
const POOL: MaxPool2d = MaxPool2d {
    window: [3; 2],
    stride: [1; 2],
    padding: [1; 4],
    dilation: [1; 2],
    ceil_mode: false,
};

/// A state with normal values times `scale`.
fn parameter(
    graph: &mut Graph,
    draw: &mut Draw,
    name: &str,
    shape: impl Into<Shape>,
    scale: f32,
) -> Value {
    let tensor = draw.normal(shape);
    let values = tensor.as_f32().unwrap().iter().map(|x| scale * x).collect();
    graph.state(name, Tensor::f32(tensor.shape().clone(), values).unwrap()).unwrap()
}

/// An input, and the value that the oracle gets for it.
fn input(graph: &mut Graph, bindings: &mut Bindings, name: &str, tensor: &Tensor) -> Value {
    bindings.insert(name.to_owned(), Array::from(tensor));
    graph.input(name, tensor.ty()).unwrap()
}

/// Compares the gradients of `loss` with central differences of the forward graph, in f64, at some
/// elements of each of `parameters`.
fn check_gradients(graph: &Graph, loss: Value, parameters: &[Value], bindings: &Bindings) {
    const STEP: f64 = 1e-5;
    let mut differentiated = graph.clone();
    let gradients = differentiated.gradients(loss, parameters).unwrap();
    let computed = interpret(&differentiated, bindings).unwrap();
    let here = computed[&loss].data[0];
    let mut draw = Draw::new(11);
    for (&parameter, gradient) in parameters.iter().zip(&gradients) {
        let info = graph.value(parameter);
        let gradient = &computed[gradient];
        assert_eq!(gradient.shape, info.ty.shape, "{}", info.name);
        assert!(gradient.data.iter().any(|&g| g != 0.0), "{}: all zero", info.name);
        let at = |element: usize, step: f64| {
            let mut moved = bindings.clone();
            let mut array = computed[&parameter].clone();
            array.data[element] += step;
            moved.insert(info.name.clone(), array);
            interpret(graph, &moved).unwrap()[&loss].data[0]
        };
        let (mut numeric, mut expected, mut kinks) = (vec![], vec![], 0);
        for _ in 0..16 {
            let element = draw.size(0, gradient.data.len() - 1);
            let (up, down) = (at(element, STEP), at(element, -STEP));
            // Where the slopes to both sides differ there is a kink within the step.
            let bend = (up - 2.0 * here + down).abs() / STEP;
            if bend > 1e-2 * (1.0 + gradient.data[element].abs()) {
                kinks += 1;
                continue;
            }
            numeric.push((up - down) / (2.0 * STEP));
            expected.push(gradient.data[element]);
        }
        assert!(kinks <= 3, "{}: {kinks} kinks", info.name);
        // Each difference carries the rounding of a whole forward pass, not of one op.
        let tolerance = Tolerance::finite_difference(here, STEP).times(4.0);
        tolerance.check(numeric, &expected).unwrap_or_else(|e| panic!("{}: {e}", info.name));
    }
}

#[test]
fn the_gradients_of_a_small_network_are_its_slopes() {
    let mut draw = Draw::new(3);
    let (mut graph, mut bindings) = (Graph::new(), Bindings::new());
    let images = input(&mut graph, &mut bindings, "images", &draw.normal([3, 4, 9, 7]));
    let labels = input(&mut graph, &mut bindings, "labels", &draw.labels(3, 5));
    let counter = Tensor::u32([4], vec![5, 6, 7, 0]).unwrap();
    let counter = input(&mut graph, &mut bindings, "counter", &counter);
    let mut named = |graph: &mut Graph, name: &str, shape: &[usize], scale| {
        parameter(graph, &mut draw, name, shape, scale)
    };
    let w1 = named(&mut graph, "conv1.weight", &[6, 2, 3, 3], 0.3);
    let b1 = named(&mut graph, "conv1.bias", &[6], 0.3);
    let w2 = named(&mut graph, "conv2.weight", &[5, 6, 3, 2], 0.3);
    let b2 = named(&mut graph, "conv2.bias", &[5], 0.3);
    let w3 = named(&mut graph, "fc.weight", &[5, 5 * 3], 0.3);
    let b3 = named(&mut graph, "fc.bias", &[5], 0.3);

    let conv = Conv2d { stride: [2, 1], padding: [1, 1, 1, 0], ..Conv2d::default() }.groups(2);
    let x = graph.add(conv, &[images, w1, b1]).unwrap();
    let x = graph.add(Unary::Relu, &[x]).unwrap();
    let x = graph.add_all(LRN, &[x]).unwrap()[0];
    let pool = MaxPool2d { window: [3, 2], stride: [2, 1], padding: [1, 0, 0, 0], ..POOL };
    let x = graph.add_all(pool, &[x]).unwrap()[0];
    let x = graph.add(Conv2d::new(1, 1), &[x, w2, b2]).unwrap();
    let x = graph.add(Unary::Tanh, &[x]).unwrap();
    let x = graph.add_all(MaxPool2d { stride: [2; 2], ..POOL }, &[x]).unwrap()[0];
    let x = graph.add(Dropout { p: 0.25, layer: 1 }, &[x, counter]).unwrap();
    let logits = graph.add(Linear, &[x, w3, b3]).unwrap();
    let loss = graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap()[0];

    assert_eq!(graph.trainable(loss), [w1, b1, w2, b2, w3, b3]);
    check_gradients(&graph, loss, &[w1, b1, w2, b2, w3, b3, images], &bindings);
}

#[test]
fn the_gradients_of_a_residual_block_with_batch_norm_are_its_slopes() {
    let mut draw = Draw::new(6);
    let (mut graph, mut bindings) = (Graph::new(), Bindings::new());
    let images = input(&mut graph, &mut bindings, "images", &draw.normal([3, 4, 5, 4]));
    let labels = input(&mut graph, &mut bindings, "labels", &draw.labels(3, 4));
    let mut parameters = vec![images];
    let mut named = |graph: &mut Graph, name: &str, shape: &[usize], scale| {
        let value = parameter(graph, &mut draw, name, shape, scale);
        parameters.push(value);
        value
    };
    let mut x = images;
    for (layer, activated) in [("1", true), ("2", false)] {
        let name = |what: &str| format!("{what}{layer}");
        let kernel = named(&mut graph, &name("kernel"), &[4, 4, 3, 3], 0.3);
        let weight = named(&mut graph, &name("weight"), &[4], 1.0);
        let bias = named(&mut graph, &name("bias"), &[4], 0.3);
        x = graph.add(Conv2d::new(1, 1), &[x, kernel]).unwrap();
        let norm = Norm { over: Over::Batch, eps: 1e-5 };
        x = graph.add_all(norm, &[x, weight, bias]).unwrap()[0];
        if activated {
            x = graph.add(Unary::Relu, &[x]).unwrap();
        }
    }
    x = graph.add(Add, &[x, images]).unwrap();
    x = graph.add(Unary::Relu, &[x]).unwrap();
    let weight = named(&mut graph, "layer.weight", &[4, 5, 4], 1.0);
    x = graph.add_all(Norm { over: Over::Last(3), eps: 1e-5 }, &[x, weight]).unwrap()[0];
    let dense = named(&mut graph, "dense", &[4, 4 * 5 * 4], 0.2);
    let logits = graph.add(Linear, &[x, dense]).unwrap();
    let loss = graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap()[0];
    check_gradients(&graph, loss, &parameters, &bindings);
}

#[test]
fn the_gradients_of_a_residual_block_with_a_shared_kernel_are_its_slopes() {
    let mut draw = Draw::new(4);
    let (mut graph, mut bindings) = (Graph::new(), Bindings::new());
    let images = input(&mut graph, &mut bindings, "images", &draw.normal([2, 3, 5, 6]));
    let labels = input(&mut graph, &mut bindings, "labels", &draw.labels(2, 4));
    let shared = parameter(&mut graph, &mut draw, "shared", [3, 3, 3, 3], 0.25);
    let bias = parameter(&mut graph, &mut draw, "bias", [3], 0.25);
    let dense = parameter(&mut graph, &mut draw, "dense", [4, 3 * 5 * 6], 0.2);

    let mut x = images;
    for _ in 0..2 {
        let skip = x;
        x = graph.add(Conv2d::new(1, 1), &[x, shared, bias]).unwrap();
        x = graph.add(Unary::LeakyRelu { slope: 0.1 }, &[x]).unwrap();
        x = graph.add(Conv2d::new(1, 1), &[x, shared]).unwrap();
        x = graph.add(Add, &[skip, x]).unwrap();
        x = graph.add(Unary::Relu, &[x]).unwrap();
    }
    // The same value twice in one op.
    let x = graph.add(Add, &[x, x]).unwrap();
    let logits = graph.add(Linear, &[x, dense]).unwrap();
    let loss = graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap()[0];

    check_gradients(&graph, loss, &[shared, bias, dense, images], &bindings);
}

#[test]
fn gradients_of_a_shared_parameter_add_up() {
    let mut draw = Draw::new(5);
    let (a, b) = (draw.normal([2, 6]), draw.normal([2, 6]));
    let (weight, labels) = (draw.uniform([3, 6], -0.5, 0.5), draw.labels(2, 3));
    // The weight once under one name, once under two.
    let gradients = |names: &[&str]| {
        let (mut graph, mut bindings) = (Graph::new(), Bindings::new());
        let a = input(&mut graph, &mut bindings, "a", &a);
        let b = input(&mut graph, &mut bindings, "b", &b);
        let labels = input(&mut graph, &mut bindings, "labels", &labels);
        let weights: Vec<_> =
            names.iter().map(|&n| graph.state(n, weight.clone()).unwrap()).collect();
        let first = graph.add(Linear, &[a, weights[0]]).unwrap();
        let second = graph.add(Linear, &[b, weights[names.len() - 1]]).unwrap();
        let logits = graph.add(Add, &[first, second]).unwrap();
        let loss = graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap()[0];
        let gradients = graph.gradients(loss, &weights).unwrap();
        let computed = interpret(&graph, &bindings).unwrap();
        gradients.iter().map(|g| computed[g].data.clone()).collect::<Vec<_>>()
    };
    let (shared, apart) = (gradients(&["w"]), gradients(&["w1", "w2"]));
    let sum: Vec<f64> = apart[0].iter().zip(&apart[1]).map(|(x, y)| x + y).collect();
    assert!(apart[0] != apart[1] && sum.iter().any(|&x| x.abs() > 1e-3));
    for (shared, sum) in shared[0].iter().zip(&sum) {
        assert!((shared - sum).abs() < 1e-14, "{shared} {sum}");
    }
}

/// A state that is read, updated in place and read again in its old and its new value.
#[test]
fn reshaping_costs_nothing_where_nobody_else_reads_the_value() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([4, 6])).unwrap();
    let y = graph.add(Binary::Mul, &[x, x]).unwrap();
    let flat = graph.add(Reshape { shape: [24].into() }, &[y]).unwrap();
    let z = graph.add(Unary::Tanh, &[flat]).unwrap();
    graph.output("z", z).unwrap();
    let copies = |graph: &Graph| {
        let plan = Plan::new(graph, &Device::cpu().target()).unwrap();
        plan.steps.iter().filter(|s| matches!(s, PlanStep::Copy { .. })).count()
    };
    assert_eq!(copies(&graph), 0);
    graph.output("y", y).unwrap();
    assert_eq!(copies(&graph), 1);
}

#[test]
fn old_and_new_value_of_a_state_can_both_be_read() {
    let mut graph = Graph::new();
    let state = graph.state("s", Tensor::f32([3], vec![1.0, -2.0, 3.0]).unwrap()).unwrap();
    let new = graph.add(Unary::Relu, &[state]).unwrap();
    graph.update(state, new).unwrap();
    let sum = graph.add(Add, &[new, state]).unwrap();
    let other = graph.add(Unary::Sigmoid, &[sum]).unwrap();
    graph.output("old", state).unwrap();
    graph.output("new", new).unwrap();
    graph.output("sum", sum).unwrap();
    graph.output("other", other).unwrap();
    let devices = [Some(Device::cpu()), common::gpu()];
    for device in devices.iter().flatten() {
        let mut session = Session::new(device);
        let mut program = session.compile(&graph).unwrap();
        let outputs = session.run(&mut program, &[]).unwrap();
        let get = |name| outputs.get(name).unwrap().as_f32().unwrap().to_vec();
        assert_eq!(get("old"), [1.0, -2.0, 3.0], "{}", device.name());
        assert_eq!(get("new"), [1.0, 0.0, 3.0], "{}", device.name());
        assert_eq!(get("sum"), [2.0, -2.0, 6.0], "{}", device.name());
        assert_eq!(session.state("s").unwrap().as_f32().unwrap(), [1.0, 0.0, 3.0]);
    }
}

/// The message of an error, which must be one line.
fn message<T: std::fmt::Debug>(result: gabor::error::Result<T>) -> String {
    let message = result.expect_err("an error").to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn mistakes_are_named() {
    let mut graph = Graph::new();
    let ty = TensorType::f32([2, 3]);
    let x = graph.input("x", ty.clone()).unwrap();
    let weight = graph.state("weight", Tensor::zeros(&TensorType::f32([4, 3]))).unwrap();
    let idle = graph.state("idle", Tensor::zeros(&TensorType::f32([4, 3]))).unwrap();
    let labels = graph.input("labels", TensorType::u32([2])).unwrap();

    for error in
        [message(graph.input("x", ty.clone())), message(graph.state("x", Tensor::zeros(&ty)))]
    {
        assert!(error.contains("`x`") && error.contains("already"), "{error}");
    }
    let logits = graph.add(Linear, &[x, weight]).unwrap();
    graph.output("logits", logits).unwrap();
    assert!(message(graph.output("logits", x)).contains("`logits`"));

    let error = message(graph.in_layer("fc1", |g| g.add(Linear, &[x, logits])));
    assert!(error.contains("`fc1`") && error.contains("[2, 3], [2, 4]"), "{error}");

    let error = message(graph.gradients(logits, &[weight]));
    assert!(error.contains("single value") && error.contains("[2, 4]"), "{error}");
    let loss = graph.add_all(SoftmaxCrossEntropy, &[logits, labels]).unwrap()[0];
    let error = message(graph.gradients(loss, &[weight, idle]));
    assert!(error.contains("`idle`") && error.contains("does not depend"), "{error}");
    let error = message(graph.gradients(loss, &[labels]));
    assert!(error.contains("`labels`"), "{error}");

    let error = message(graph.update(weight, logits));
    assert!(error.contains("`weight`") && error.contains("[4, 3]"), "{error}");
    assert!(message(graph.update(x, logits)).contains("`x` is not a state"));
    assert!(message(graph.update(weight, idle)).contains("computed by an op"));
    let new = graph.add(Unary::Tanh, &[weight]).unwrap();
    graph.update(weight, new).unwrap();
    assert!(message(graph.update(weight, new)).contains("`weight` is updated twice"));

    let mut other = Graph::new();
    let stranger = loss;
    assert!(message(other.add(Unary::Relu, &[stranger])).contains("not of this graph"));
}

#[test]
fn an_input_stays_until_it_is_given_again() {
    let mut graph = Graph::new();
    let sizes = [("a", 3), ("b", 100), ("c", 5)];
    for (name, size) in sizes {
        let x = graph.input(name, TensorType::f32([size])).unwrap();
        let doubled = graph.add(Add, &[x, x]).unwrap();
        graph.output(name, doubled).unwrap();
    }
    for device in [Some(Device::cpu()), common::gpu()].iter().flatten() {
        let mut session = Session::new(device);
        let mut program = session.compile(&graph).unwrap();
        let mut held = [0.0; 3];
        // Which are given, in which order.
        let runs: [&[usize]; 7] = [&[2, 0, 1], &[2, 0], &[1], &[], &[0, 1], &[2, 1], &[0]];
        for (run, given) in runs.iter().enumerate() {
            let tensors = given.iter().map(|&i| {
                held[i] = (10 * run + i + 1) as f32;
                let (name, size) = sizes[i];
                (name, Tensor::f32([size], vec![held[i]; size]).unwrap())
            });
            let tensors: Vec<_> = tensors.collect();
            let inputs: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
            let outputs = session.run(&mut program, &inputs).unwrap();
            for ((name, size), value) in sizes.iter().zip(held) {
                let output = outputs.get(name).unwrap().as_f32().unwrap();
                assert_eq!(output, vec![2.0 * value; *size], "`{name}` in run {run}");
            }
        }
    }
}

#[test]
fn runs_refuse_what_does_not_fit() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorType::f32([2, 3])).unwrap();
    let y = graph.add(Unary::Tanh, &[x]).unwrap();
    graph.output("y", y).unwrap();
    let good = Tensor::f32([2, 3], vec![0.5; 6]).unwrap();
    for device in [Some(Device::cpu()), common::gpu()].iter().flatten() {
        let mut session = Session::new(device);
        let mut program = session.compile(&graph).unwrap();
        assert!(message(session.run(&mut program, &[])).contains("`x` was never given"));
        let error = message(session.run(&mut program, &[("z", &good)]));
        assert!(error.contains("unknown input `z`") && error.contains("known: x"), "{error}");
        let flat = Tensor::f32([6], vec![0.5; 6]).unwrap();
        let error = message(session.run(&mut program, &[("x", &flat)]));
        assert!(error.contains("`x` is f32[2, 3]") && error.contains("f32[6]"), "{error}");
        let outputs = session.run(&mut program, &[("x", &good)]).unwrap();
        let error = message(outputs.get("logits"));
        assert!(error.contains("unknown output `logits`") && error.contains("known: y"), "{error}");
        let tanh = outputs.get("y").unwrap().as_f32().unwrap()[5];
        assert!((tanh - 0.5f32.tanh()).abs() < 1e-6);
        // Another graph that takes the name of a state for something else.
        let mut graph = Graph::new();
        let s = graph.state("s", Tensor::scalar(1.0)).unwrap();
        let new = graph.add(Unary::Tanh, &[s]).unwrap();
        graph.update(s, new).unwrap();
        session.compile(&graph).unwrap();
        let mut graph = Graph::new();
        let s = graph.state("s", Tensor::zeros(&TensorType::f32([2]))).unwrap();
        graph.output("s", s).unwrap();
        let error = message(session.compile(&graph));
        assert!(error.contains("`s` is f32[1]") && error.contains("f32[2]"), "{error}");
        let error = message(session.set_state("s", &good));
        assert!(error.contains("`s` is f32[1]"), "{error}");
        assert!(message(session.state("t")).contains("unknown state `t`"));
    }
}
