//! Samples for the softmax family.

use super::{
    Softmax, SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad, SoftmaxCrossEntropyStep, SoftmaxGrad,
    TopK,
};
use crate::ops::Op;
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::{Shape, Tensor, TensorType};

/// Batch and classes: equal and distinct, one sample, one class, not whole vectors, more rows than
/// a workgroup holds, as many classes as ImageNet.
const SIZES: [[usize; 2]; 8] =
    [[4, 4], [7, 10], [1, 10], [3, 1], [130, 17], [4, 1000], [1500, 10], [5, 37]];

fn label([batch, classes]: [usize; 2]) -> String {
    format!("{batch} samples, {classes} classes")
}

/// Logits up to 10,000 in size, of which none may overflow.
fn extreme(draw: &mut Draw) -> Tensor {
    draw.uniform([6, 12], -1e4, 1e4)
}

/// Small whole numbers: every row has equal logits.
fn ties(draw: &mut Draw, [batch, classes]: [usize; 2]) -> Tensor {
    let data = (0..batch * classes).map(|_| draw.size(0, 3) as f32).collect();
    Tensor::f32([batch, classes], data).unwrap_or_else(|_| Tensor::scalar(0.0))
}

fn with_labels(logits: Tensor, draw: &mut Draw) -> Vec<Tensor> {
    let (batch, classes) = (logits.shape().dims()[0], logits.shape().dims()[1]);
    vec![logits, draw.labels(batch, classes)]
}

fn random_size(draw: &mut Draw) -> [usize; 2] {
    [draw.size(1, 20), draw.size(1, 60)]
}

fn cross_entropy_case(size: [usize; 2], draw: &mut Draw) -> Case {
    let logits = draw.normal(size);
    let case = Case::new(label(size), SoftmaxCrossEntropy, with_labels(logits, draw));
    // Among many elements a gradient is too small for a finite difference of their mean.
    if size[0] * size[1] > 3000 { case } else { case.differentiable([0]) }
}

pub(super) fn cross_entropy(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&size| cross_entropy_case(size, draw)).collect();
    let logits = extreme(draw);
    cases.push(Case::new("logits to 1e4", SoftmaxCrossEntropy, with_labels(logits, draw)));
    cases
}

pub(super) fn random_cross_entropy(draw: &mut Draw) -> Case {
    let size = random_size(draw);
    cross_entropy_case(size, draw)
}

pub(super) fn cross_entropy_errors() -> Vec<ErrorCase> {
    let (logits, labels) = (TensorType::f32([3, 4]), TensorType::u32([3]));
    let case = |inputs, says| ErrorCase::new(SoftmaxCrossEntropy, inputs, says);
    vec![
        case(vec![logits.clone()], "takes 2 inputs"),
        case(vec![TensorType::f32([3]), labels.clone()], "[batch, classes]"),
        case(vec![TensorType::f32([3, 2, 2]), labels.clone()], "[batch, classes]"),
        case(vec![TensorType::f32([3, 0]), labels], "empty"),
        case(vec![logits.clone(), TensorType::u32([4])], "u32[3]"),
        case(vec![logits.clone(), TensorType::f32([3])], "u32[3]"),
        case(vec![logits, TensorType::u32([3, 1])], "u32[3]"),
    ]
}

fn grad_case(size: [usize; 2], draw: &mut Draw) -> Case {
    let mut inputs = with_labels(draw.normal(size), draw);
    let mut outputs = forward(&SoftmaxCrossEntropy, &inputs);
    inputs[0] = outputs.remove(1);
    inputs.push(draw.uniform([1], 0.5, 2.0));
    Case::new(label(size), SoftmaxCrossEntropyGrad, inputs)
}

pub(super) fn cross_entropy_grad(draw: &mut Draw) -> Vec<Case> {
    SIZES.iter().map(|&size| grad_case(size, draw)).collect()
}

pub(super) fn random_cross_entropy_grad(draw: &mut Draw) -> Case {
    let size = random_size(draw);
    grad_case(size, draw)
}

pub(super) fn cross_entropy_grad_errors() -> Vec<ErrorCase> {
    let (p, labels, grad) = (TensorType::f32([3, 4]), TensorType::u32([3]), TensorType::f32([1]));
    let case = |inputs, says| ErrorCase::new(SoftmaxCrossEntropyGrad, inputs, says);
    vec![
        case(vec![p.clone(), labels.clone()], "takes 3 inputs"),
        case(vec![p.clone(), TensorType::u32([2]), grad.clone()], "u32[3]"),
        case(vec![p, labels, TensorType::f32([3])], "shape [1]"),
    ]
}

fn step_case(size: [usize; 2], draw: &mut Draw) -> Case {
    let op = SoftmaxCrossEntropyStep { weight: draw.pick(&[1.0, 0.3]), k: draw.size(1, 6) };
    let logits = if draw.flip() { draw.normal(size) } else { ties(draw, size) };
    Case::new(format!("{}, {op:?}", label(size)), op, with_labels(logits, draw))
}

pub(super) fn step(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> = SIZES.iter().map(|&size| step_case(size, draw)).collect();
    let logits = extreme(draw);
    let op = SoftmaxCrossEntropyStep { weight: 1.0, k: 1 };
    cases.push(Case::new("logits to 1e4", op, with_labels(logits, draw)));
    cases
}

pub(super) fn random_step(draw: &mut Draw) -> Case {
    let size = random_size(draw);
    step_case(size, draw)
}

pub(super) fn step_errors() -> Vec<ErrorCase> {
    let (logits, labels) = (TensorType::f32([3, 4]), TensorType::u32([3]));
    let case =
        |k, inputs, says| ErrorCase::new(SoftmaxCrossEntropyStep { weight: 1.0, k }, inputs, says);
    vec![
        case(0, vec![logits.clone(), labels.clone()], "at least 1"),
        case(1, vec![logits.clone()], "takes 2 inputs"),
        case(1, vec![TensorType::f32([3]), labels], "[batch, classes]"),
        case(1, vec![logits.clone(), TensorType::u32([4])], "u32[3]"),
        case(1, vec![logits, TensorType::f32([3])], "u32[3]"),
    ]
}

/// Two axes, and more: planes, one class, one place.
fn shapes() -> Vec<Shape> {
    let flat = SIZES.iter().map(|&size| size.into());
    let planes: [Shape; 5] = [
        [4, 4, 4, 4].into(),
        [2, 3, 5, 7].into(),
        [1, 21, 9, 13].into(),
        [3, 1, 2, 2].into(),
        [2, 5, 37].into(),
    ];
    flat.chain(planes).collect()
}

fn random_shape(draw: &mut Draw) -> Shape {
    if draw.flip() { random_size(draw).into() } else { draw.shape(4, 7) }
}

fn softmax_case(op: impl Op + 'static, shape: Shape, draw: &mut Draw) -> Case {
    let is_large = shape.elements() > 3000;
    let case = Case::new(shape.to_string(), op, vec![draw.normal(shape)]);
    if is_large { case } else { case.differentiable([0]) }
}

pub(super) fn softmax(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> = shapes()
        .into_iter()
        .map(|shape| softmax_case(Softmax { log: false }, shape, draw))
        .collect();
    cases.push(Case::new("logits to 1e4", Softmax { log: false }, vec![extreme(draw)]));
    cases
}

pub(super) fn random_softmax(draw: &mut Draw) -> Case {
    let shape = random_shape(draw);
    softmax_case(Softmax { log: false }, shape, draw)
}

pub(super) fn softmax_errors() -> Vec<ErrorCase> {
    vec![
        ErrorCase::new(Softmax { log: false }, vec![], "takes 1 inputs"),
        ErrorCase::new(Softmax { log: false }, vec![TensorType::u32([2, 2])], "must be f32"),
        ErrorCase::new(Softmax { log: false }, vec![TensorType::f32([2])], "at least two axes"),
        ErrorCase::new(Softmax { log: false }, vec![TensorType::f32([2, 3, 0])], "empty"),
    ]
}

pub(super) fn log_softmax(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> = shapes()
        .into_iter()
        .map(|shape| softmax_case(Softmax { log: true }, shape, draw))
        .collect();
    cases.push(Case::new("logits to 1e4", Softmax { log: true }, vec![extreme(draw)]));
    cases
}

pub(super) fn random_log_softmax(draw: &mut Draw) -> Case {
    let shape = random_shape(draw);
    softmax_case(Softmax { log: true }, shape, draw)
}

pub(super) fn log_softmax_errors() -> Vec<ErrorCase> {
    vec![
        ErrorCase::new(Softmax { log: true }, vec![], "takes 1 inputs"),
        ErrorCase::new(Softmax { log: true }, vec![TensorType::f32([2])], "at least two axes"),
    ]
}

fn softmax_grad_case<F: Op, G: Op + 'static>(
    op: &F,
    grad: G,
    shape: Shape,
    draw: &mut Draw,
) -> Case {
    let mut inputs = vec![draw.normal(shape.clone())];
    let label = shape.to_string();
    // No class near certainty, where the gradient is a difference of nearly equal numbers.
    inputs.extend(forward(op, &[draw.uniform(shape, -2.0, 2.0)]));
    Case::new(label, grad, inputs)
}

pub(super) fn softmax_grad(draw: &mut Draw) -> Vec<Case> {
    let case =
        |shape| softmax_grad_case(&Softmax { log: false }, SoftmaxGrad { log: false }, shape, draw);
    shapes().into_iter().map(case).collect()
}

pub(super) fn random_softmax_grad(draw: &mut Draw) -> Case {
    let shape = random_shape(draw);
    softmax_grad_case(&Softmax { log: false }, SoftmaxGrad { log: false }, shape, draw)
}

pub(super) fn log_softmax_grad(draw: &mut Draw) -> Vec<Case> {
    let case =
        |shape| softmax_grad_case(&Softmax { log: true }, SoftmaxGrad { log: true }, shape, draw);
    shapes().into_iter().map(case).collect()
}

pub(super) fn random_log_softmax_grad(draw: &mut Draw) -> Case {
    let shape = random_shape(draw);
    softmax_grad_case(&Softmax { log: true }, SoftmaxGrad { log: true }, shape, draw)
}

fn grad_errors(op: impl Op + Copy + 'static) -> Vec<ErrorCase> {
    let (a, b) = (TensorType::f32([2, 3]), TensorType::f32([3, 2]));
    vec![
        ErrorCase::new(op, vec![a.clone()], "takes 2 inputs"),
        ErrorCase::new(op, vec![a, b], "same shape"),
    ]
}

pub(super) fn softmax_grad_errors() -> Vec<ErrorCase> {
    grad_errors(SoftmaxGrad { log: false })
}

pub(super) fn log_softmax_grad_errors() -> Vec<ErrorCase> {
    grad_errors(SoftmaxGrad { log: true })
}

fn top_k_case(k: usize, size: [usize; 2], draw: &mut Draw) -> Case {
    let logits = if draw.flip() { draw.normal(size) } else { ties(draw, size) };
    Case::new(format!("{}, k {k}", label(size)), TopK { k }, with_labels(logits, draw))
}

pub(super) fn top_k(draw: &mut Draw) -> Vec<Case> {
    let every = [1, 5].into_iter().flat_map(|k| SIZES.iter().map(move |&size| (k, size)));
    every.map(|(k, size)| top_k_case(k, size, draw)).collect()
}

pub(super) fn random_top_k(draw: &mut Draw) -> Case {
    let (k, size) = (draw.size(1, 8), random_size(draw));
    top_k_case(k, size, draw)
}

pub(super) fn top_k_errors() -> Vec<ErrorCase> {
    let (logits, labels) = (TensorType::f32([3, 4]), TensorType::u32([3]));
    vec![
        ErrorCase::new(TopK { k: 0 }, vec![logits.clone(), labels.clone()], "at least 1"),
        ErrorCase::new(TopK { k: 1 }, vec![logits.clone()], "takes 2 inputs"),
        ErrorCase::new(TopK { k: 1 }, vec![logits, TensorType::u32([1])], "u32[3]"),
        ErrorCase::new(TopK { k: 1 }, vec![TensorType::f32([3]), labels], "[batch, classes]"),
    ]
}
