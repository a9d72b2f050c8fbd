//! Samples for the losses of pairs.

use super::{Pair, PairLoss, PairLossGrad, Reduction, Side};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

const PAIRS: [Pair; 9] = [
    Pair::Mse,
    Pair::L1,
    Pair::SmoothL1 { beta: 0.6 },
    Pair::SmoothL1 { beta: 0.0 },
    Pair::Huber { delta: 0.7 },
    Pair::BceWithLogits { weight: false, pos_weight: false },
    Pair::BceWithLogits { weight: true, pos_weight: false },
    Pair::BceWithLogits { weight: false, pos_weight: true },
    Pair::BceWithLogits { weight: true, pos_weight: true },
];
const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

/// The shapes that a weight over `shape` may have: all of it, one axis, a leading or a trailing run.
fn weight_shape(shape: &Shape, draw: &mut Draw) -> Shape {
    let dims = shape.dims();
    let axis = draw.size(0, dims.len() - 1);
    match draw.size(0, 4) {
        0 => shape.clone(),
        1 => [1].into(),
        2 => {
            let mut one = vec![1; dims.len()];
            one[axis] = dims[axis];
            one.into()
        }
        3 => dims[axis..].to_vec().into(),
        _ => {
            let mut leading = dims.to_vec();
            leading[axis + 1..].fill(1);
            leading.into()
        }
    }
}

fn inputs(pair: Pair, shape: &Shape, draw: &mut Draw) -> Vec<Tensor> {
    let mut inputs = vec![draw.normal(shape.clone())];
    match pair {
        Pair::BceWithLogits { weight, pos_weight } => {
            inputs.push(draw.uniform(shape.clone(), 0.0, 1.0));
            for _ in 0..u8::from(weight) + u8::from(pos_weight) {
                let shape = weight_shape(shape, draw);
                inputs.push(draw.uniform(shape, 0.3, 3.0));
            }
        }
        _ => inputs.push(draw.normal(shape.clone())),
    }
    inputs
}

fn case(loss: PairLoss, shape: Shape, draw: &mut Draw) -> Case {
    let inputs = inputs(loss.pair, &shape, draw);
    let weights: String = inputs[2..].iter().map(|w| format!(", weight {}", w.shape())).collect();
    let label = format!("{loss:?} {shape}{weights}");
    let case = Case::new(label, loss, inputs);
    // Among many elements a gradient is too small for a finite difference of their mean.
    if shape.elements() > 1000 { case } else { case.differentiable([0, 1]) }
}

/// Every loss with every reduction, over shapes in turn.
fn every() -> Vec<(PairLoss, Shape)> {
    let shapes: [Shape; 5] =
        [[4, 4, 4, 4].into(), [2, 3, 5, 7].into(), [7].into(), [1].into(), [5, 1, 9].into()];
    let mut every = vec![];
    for pair in PAIRS {
        for reduction in REDUCTIONS {
            for skip in [0, 2] {
                let shape = shapes[(every.len() + skip) % shapes.len()].clone();
                every.push((PairLoss { pair, reduction }, shape));
            }
        }
    }
    let large = PairLoss { pair: Pair::Mse, reduction: Reduction::Mean };
    every.push((large, [5, 4099].into()));
    every.push((PairLoss { pair: PAIRS[8], ..large }, [3, 4, 501].into()));
    every
}

/// Logits to 1e4 in size, of which none may overflow.
fn extreme(draw: &mut Draw) -> Vec<Tensor> {
    vec![draw.uniform([6, 12], -1e4, 1e4), draw.uniform([6, 12], 0.0, 1.0)]
}

pub(super) fn pair_loss(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> =
        every().into_iter().map(|(loss, shape)| case(loss, shape, draw)).collect();
    let loss = PairLoss { pair: PAIRS[5], reduction: Reduction::None };
    cases.push(Case::new("logits to 1e4", loss, extreme(draw)));
    cases
}

pub(super) fn random_pair_loss(draw: &mut Draw) -> Case {
    let loss = PairLoss { pair: draw.pick(&PAIRS), reduction: draw.pick(&REDUCTIONS) };
    let rank = draw.size(1, 4);
    let shape = draw.shape(rank, 8);
    case(loss, shape, draw)
}

pub(super) fn pair_loss_errors() -> Vec<ErrorCase> {
    let x = || TensorType::f32([2, 3, 4]);
    let loss = |pair| PairLoss { pair, reduction: Reduction::Mean };
    let two = |pair| ErrorCase::new(loss(pair), vec![x(), x()], "give a finite number");
    let weighted = |dims: &[usize]| {
        let inputs = vec![x(), x(), TensorType::f32(dims.to_vec())];
        ErrorCase::new(loss(PAIRS[6]), inputs, "one run of axes")
    };
    vec![
        ErrorCase::new(loss(Pair::Mse), vec![x()], "takes 2 inputs"),
        ErrorCase::new(loss(Pair::L1), vec![x(), TensorType::f32([24])], "same shape"),
        ErrorCase::new(loss(Pair::Mse), vec![x(), TensorType::u32([2, 3, 4])], "must be f32"),
        ErrorCase::new(loss(PAIRS[8]), vec![x(), x(), x()], "takes 4 inputs"),
        two(Pair::SmoothL1 { beta: -1.0 }),
        two(Pair::Huber { delta: 0.0 }),
        weighted(&[3]),
        weighted(&[2, 1, 4]),
        weighted(&[2, 2, 3, 4]),
    ]
}

fn grad_case(loss: PairLoss, side: Side, shape: Shape, draw: &mut Draw) -> Case {
    let mut inputs = inputs(loss.pair, &shape, draw);
    let grad = match loss.reduction {
        Reduction::None => draw.normal(shape.clone()),
        _ => draw.uniform([1], 0.5, 2.0),
    };
    inputs.insert(2, grad);
    Case::new(format!("{loss:?} {side:?} {shape}"), PairLossGrad { loss, side }, inputs)
}

pub(super) fn pair_loss_grad(draw: &mut Draw) -> Vec<Case> {
    let every = every().into_iter().flat_map(|(loss, shape)| {
        [Side::Input, Side::Target].map(|side| (loss, side, shape.clone()))
    });
    let mut cases: Vec<_> =
        every.map(|(loss, side, shape)| grad_case(loss, side, shape, draw)).collect();
    let loss = PairLoss { pair: PAIRS[5], reduction: Reduction::Mean };
    let mut inputs = extreme(draw);
    inputs.push(Tensor::scalar(1.0));
    cases.push(Case::new("logits to 1e4", PairLossGrad { loss, side: Side::Input }, inputs));
    cases
}

pub(super) fn random_pair_loss_grad(draw: &mut Draw) -> Case {
    let loss = PairLoss { pair: draw.pick(&PAIRS), reduction: draw.pick(&REDUCTIONS) };
    let side = draw.pick(&[Side::Input, Side::Target]);
    let rank = draw.size(1, 4);
    let shape = draw.shape(rank, 8);
    grad_case(loss, side, shape, draw)
}

pub(super) fn pair_loss_grad_errors() -> Vec<ErrorCase> {
    let x = || TensorType::f32([2, 3]);
    let op = |reduction| PairLossGrad {
        loss: PairLoss { pair: Pair::Mse, reduction },
        side: Side::Input,
    };
    vec![
        ErrorCase::new(op(Reduction::Mean), vec![x(), x()], "takes 3 inputs"),
        ErrorCase::new(op(Reduction::Mean), vec![x(), x(), x()], "grad_loss must be f32[1]"),
        ErrorCase::new(
            op(Reduction::None),
            vec![x(), x(), TensorType::f32([1])],
            "grad_loss must be f32[2, 3]",
        ),
    ]
}
