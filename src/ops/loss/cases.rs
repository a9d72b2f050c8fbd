//! Samples for the loss of classes.

use super::{NllLoss, NllLossGrad, Reduction};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::ops::softmax::Softmax;
use crate::tensor::{Shape, Tensor, TensorType};

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

fn shapes() -> Vec<Shape> {
    vec![
        [4, 4, 4, 4].into(),
        [7, 10].into(),
        [2, 3, 5, 7].into(),
        [1, 10].into(),
        [3, 1].into(),
        [150, 17].into(),
        [4, 300].into(),
        [1, 5, 9, 13].into(),
        [2, 6, 31].into(),
    ]
}

/// What is drawn for a case beside its shape.
#[derive(Clone, Copy)]
struct Form {
    loss: NllLoss,
    is_soft: bool,
    is_weighted: bool,
}

fn forms(draw: &mut Draw) -> Form {
    let loss = NllLoss {
        ignore_index: draw.pick(&[0, 1, 2, 100u32.wrapping_neg()]),
        label_smoothing: draw.pick(&[0.0, 0.1, 0.5, 1.0]),
        reduction: draw.pick(&REDUCTIONS),
    };
    Form { loss, is_soft: draw.flip(), is_weighted: draw.flip() }
}

/// `[log_probabilities, target, weight]`; at least one label counts.
fn inputs(form: Form, shape: &Shape, draw: &mut Draw) -> Vec<Tensor> {
    let (dims, classes) = (shape.dims(), shape.dims()[1]);
    let mut inputs = forward(&Softmax { log: true }, &[draw.normal(shape.clone())]);
    if form.is_soft {
        inputs.extend(forward(&Softmax { log: false }, &[draw.normal(shape.clone())]));
    } else {
        let mut rows = dims.to_vec();
        rows.remove(1);
        let count = rows.iter().product();
        let labels = draw.labels(count, classes).into_u32();
        let is_counted = labels.iter().any(|&label| label != form.loss.ignore_index);
        let labels = if is_counted { labels } else { vec![(classes > 1).into(); count] };
        inputs.push(Tensor::u32(rows, labels).unwrap_or_else(|_| Tensor::scalar(0.0)));
    }
    if form.is_weighted {
        inputs.push(draw.uniform([classes], 0.2, 2.0));
    }
    inputs
}

fn label(form: Form, shape: &Shape) -> String {
    let kind = if form.is_soft { "probabilities" } else { "labels" };
    let weighted = if form.is_weighted { ", weighted" } else { "" };
    format!("{:?} {shape}, {kind}{weighted}", form.loss)
}

fn counts(form: Form, inputs: &[Tensor]) -> bool {
    let labels = inputs[1].as_u32().unwrap_or_default();
    form.is_soft || labels.iter().any(|&label| label != form.loss.ignore_index)
}

fn case(mut form: Form, shape: Shape, draw: &mut Draw) -> Case {
    let inputs = inputs(form, &shape, draw);
    if !counts(form, &inputs) {
        form.loss.ignore_index = u32::MAX;
    }
    let is_large = shape.elements() > 1000;
    let case = Case::new(label(form, &shape), form.loss, inputs);
    match (is_large, form.is_soft) {
        (true, _) => case,
        (false, true) => case.differentiable([0, 1]),
        (false, false) => case.differentiable([0]),
    }
}

/// Every combination of target, weight and reduction, over the shapes in turn.
fn every() -> Vec<(Form, Shape)> {
    let shapes = shapes();
    let mut every = vec![];
    for (i, reduction) in REDUCTIONS.into_iter().cycle().take(24).enumerate() {
        let loss = NllLoss {
            ignore_index: if i % 2 == 0 { 1 } else { NllLoss::default().ignore_index },
            label_smoothing: [0.0, 0.1][i / 3 % 2],
            reduction,
        };
        let form = Form { loss, is_soft: i / 6 % 2 == 1, is_weighted: i / 12 % 2 == 1 };
        every.push((form, shapes[i % shapes.len()].clone()));
        every.push((form, shapes[(i + 2) % shapes.len()].clone()));
    }
    every
}

pub(super) fn nll_loss(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> =
        every().into_iter().map(|(form, shape)| case(form, shape, draw)).collect();
    // From logits to 1e4 in size.
    let x = forward(&Softmax { log: true }, &[draw.uniform([6, 12], -1e4, 1e4)]);
    let inputs: Vec<_> = x.into_iter().chain([draw.labels(6, 12)]).collect();
    for label_smoothing in [0.0, 0.1] {
        let loss = NllLoss { label_smoothing, ..NllLoss::default() };
        cases.push(Case::new(format!("logits to 1e4, {label_smoothing}"), loss, inputs.clone()));
    }
    cases
}

fn random_shape(draw: &mut Draw) -> Shape {
    if draw.flip() { draw.shape(2, 40) } else { draw.shape(4, 7) }
}

pub(super) fn random_nll_loss(draw: &mut Draw) -> Case {
    let (form, shape) = (forms(draw), random_shape(draw));
    case(form, shape, draw)
}

pub(super) fn nll_loss_errors() -> Vec<ErrorCase> {
    let x = || TensorType::f32([3, 4, 2]);
    let labels = || TensorType::u32([3, 2]);
    let case = |inputs, says| ErrorCase::new(NllLoss::default(), inputs, says);
    let smooth = NllLoss { label_smoothing: 1.5, ..NllLoss::default() };
    vec![
        case(vec![x()], "takes 2 to 3 inputs"),
        case(vec![TensorType::f32([3]), labels()], "[batch, classes, ...]"),
        case(vec![x(), TensorType::u32([3, 4])], "u32[3, 2]"),
        case(vec![x(), TensorType::f32([3, 2])], "u32[3, 2]"),
        case(vec![x(), labels(), TensorType::f32([3])], "f32[4]"),
        case(vec![x(), labels(), TensorType::u32([4])], "must be f32"),
        ErrorCase::new(smooth, vec![x(), labels()], "label_smoothing"),
    ]
}

fn grad_case(mut form: Form, of_target: bool, shape: Shape, draw: &mut Draw) -> Case {
    form.is_soft |= of_target;
    let mut inputs = inputs(form, &shape, draw);
    if !counts(form, &inputs) {
        form.loss.ignore_index = u32::MAX;
    }
    let outputs = forward(&form.loss, &inputs);
    let grad = match form.loss.reduction {
        Reduction::None => draw.normal(outputs[0].shape().clone()),
        _ => draw.uniform([1], 0.5, 2.0),
    };
    let label = format!("{} of_target {of_target}", label(form, &shape));
    let values = inputs[usize::from(!of_target)].clone();
    let weight = inputs.split_off(2);
    let mut inputs = vec![values, grad, outputs[1].clone()];
    inputs.extend(weight);
    let classes = shape.dims()[1];
    Case::new(label, NllLossGrad { loss: form.loss, classes, of_target }, inputs)
}

pub(super) fn nll_loss_grad(draw: &mut Draw) -> Vec<Case> {
    let every = every().into_iter().enumerate();
    every.map(|(i, (form, shape))| grad_case(form, i % 3 == 2, shape, draw)).collect()
}

pub(super) fn random_nll_loss_grad(draw: &mut Draw) -> Case {
    let (form, shape, of_target) = (forms(draw), random_shape(draw), draw.flip());
    grad_case(form, of_target, shape, draw)
}

pub(super) fn nll_loss_grad_errors() -> Vec<ErrorCase> {
    let op = |of_target| NllLossGrad { loss: NllLoss::default(), classes: 4, of_target };
    let (labels, one) = (|| TensorType::u32([3, 2]), || TensorType::f32([1]));
    vec![
        ErrorCase::new(op(false), vec![labels(), one()], "takes 3 to 4 inputs"),
        ErrorCase::new(op(true), vec![labels(), one(), one()], "no gradient"),
        ErrorCase::new(op(false), vec![labels(), labels(), one()], "must be f32"),
        ErrorCase::new(op(false), vec![labels(), TensorType::f32([3]), one()], "grad_loss"),
        ErrorCase::new(op(false), vec![TensorType::f32([3, 5]), one(), one()], "4 classes"),
        ErrorCase::new(op(false), vec![labels(), one(), one(), one()], "f32[4]"),
    ]
}
