//! Samples for the optimizers.

use super::{Sgd, SgdForm};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, TensorType};

const PLAIN: Sgd =
    Sgd { momentum: 0.0, weight_decay: 0.0, learning_rate_scale: 1.0, form: SgdForm::Torch };
const ALEXNET: Sgd =
    Sgd { momentum: 0.9, weight_decay: 5e-4, learning_rate_scale: 2.0, form: SgdForm::CudaConvnet };

fn case(op: Sgd, shape: impl Into<Shape>, draw: &mut Draw) -> Case {
    let shape = shape.into();
    let mut inputs: Vec<_> = (0..3).map(|_| draw.normal(shape.clone())).collect();
    inputs.push(draw.uniform([1], 0.01, 0.1));
    Case::new(format!("{op:?} {shape}"), op, inputs)
}

pub(super) fn cases(draw: &mut Draw) -> Vec<Case> {
    let torch = Sgd { form: SgdForm::Torch, ..ALEXNET };
    let mut cases = vec![];
    for op in [PLAIN, ALEXNET, torch, Sgd { learning_rate_scale: 0.0, ..torch }] {
        for shape in [vec![4, 4, 4, 4], vec![8, 3, 5, 7], vec![1], vec![7], vec![5, 4099]] {
            cases.push(case(op, shape, draw));
        }
    }
    cases
}

pub(super) fn random(draw: &mut Draw) -> Case {
    let op = Sgd {
        momentum: draw.pick(&[0.0, 0.5, 0.9, 0.99]),
        weight_decay: draw.pick(&[0.0, 1e-4, 0.1]),
        learning_rate_scale: draw.pick(&[1.0, 2.0, 0.3]),
        form: draw.pick(&[SgdForm::Torch, SgdForm::CudaConvnet]),
    };
    let shape = draw.shape(3, 12);
    case(op, shape, draw)
}

pub(super) fn errors() -> Vec<ErrorCase> {
    let (weight, rate) = (|| TensorType::f32([2, 3]), || TensorType::f32([1]));
    let good = || vec![weight(), weight(), weight(), rate()];
    let mut unequal = good();
    unequal[2] = TensorType::f32([3, 2]);
    let mut rates = good();
    rates[3] = TensorType::f32([2]);
    vec![
        ErrorCase::new(PLAIN, good()[..3].to_vec(), "takes 4 inputs"),
        ErrorCase::new(PLAIN, unequal, "one shape"),
        ErrorCase::new(PLAIN, rates, "learning_rate [1]"),
        ErrorCase::new(Sgd { momentum: f32::NAN, ..PLAIN }, good(), "momentum"),
        ErrorCase::new(Sgd { momentum: -0.1, ..PLAIN }, good(), "momentum"),
        ErrorCase::new(Sgd { weight_decay: -1.0, ..PLAIN }, good(), "weight_decay"),
        ErrorCase::new(Sgd { weight_decay: f32::INFINITY, ..PLAIN }, good(), "weight_decay"),
        ErrorCase::new(Sgd { learning_rate_scale: f32::NAN, ..PLAIN }, good(), "rate_scale"),
    ]
}
