//! Samples for the optimizers.

use super::{Adadelta, Adagrad, Adam, AdamW, Lars, Lion, RmsProp, Rule, Sgd, SgdForm, Update};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

/// A step of `rule` on random tensors. Mean squares are positive and at least the square of a mean.
fn case<R: Rule>(rule: R, shape: impl Into<Shape>, draw: &mut Draw) -> Case {
    let (shape, op) = (shape.into(), Update(rule.clone()));
    let label = format!("{rule:?} {shape}");
    let mut inputs = vec![draw.normal(shape.clone())];
    for state in op.states() {
        inputs.push(match state {
            "velocity" | "momentum_buffer" | "exp_avg" => draw.normal(shape.clone()),
            "grad_avg" => draw.uniform(shape.clone(), -0.5, 0.5),
            _ => draw.uniform(shape.clone(), 0.3, 2.0),
        });
    }
    inputs.push(draw.normal(shape));
    inputs.push(draw.uniform([1], 0.01, 0.1));
    for number in op.numbers() {
        inputs.push(match number {
            "step" => Tensor::scalar(draw.pick(&[1.0, 2.0, 3.0, 7.0, 60.0, 900.0, 50_000.0])),
            _ => draw.uniform([1], 0.5, 20.0),
        });
    }
    Case::new(label, op, inputs)
}

fn cases<R: Rule>(rules: &[R], draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![];
    for (i, rule) in rules.iter().enumerate() {
        for shape in [vec![4, 4, 4, 4], vec![8, 3, 5, 7], vec![1], vec![7]] {
            cases.push(case(rule.clone(), shape, draw));
        }
        if i == 0 {
            cases.push(case(rule.clone(), [5, 4099], draw));
            let mut skipped = case(rule.clone(), [3, 11], draw);
            let rate = 2 + Update(rule.clone()).states().count();
            skipped.inputs[rate] = Tensor::scalar(-1.0);
            cases.push(Case {
                label: format!("{}, a step that does not count", skipped.label),
                ..skipped
            });
        }
    }
    cases
}

fn random<R: Rule>(rule: R, draw: &mut Draw) -> Case {
    let decay = draw.pick(&[0.0, 1e-4, 0.1]);
    let scale = draw.pick(&[1.0, 2.0, 0.3]);
    let shape = draw.shape(3, 12);
    case(rule.tuned(decay, scale), shape, draw)
}

/// What every rule refuses, and `faulty` ones with a part of the message.
fn errors<R: Rule + Default>(faulty: &[(R, &'static str)]) -> Vec<ErrorCase> {
    let op = Update(R::default());
    let tensors = 2 + op.states().count();
    let good = |op: &Update<R>| -> Vec<TensorType> {
        let tensors = (0..2 + op.states().count()).map(|_| TensorType::f32([2, 3]));
        tensors.chain((0..1 + op.numbers().count()).map(|_| TensorType::f32([1]))).collect()
    };
    let mut unequal = good(&op);
    unequal[tensors - 1] = TensorType::f32([3, 2]);
    let mut rates = good(&op);
    rates[tensors] = TensorType::f32([2]);
    let tuned = |decay, scale| Update(R::default().tuned(decay, scale));
    let mut cases = vec![
        ErrorCase::new(op.clone(), good(&op)[1..].to_vec(), "inputs"),
        ErrorCase::new(op.clone(), unequal, "one shape"),
        ErrorCase::new(op.clone(), rates, "learning_rate [1]"),
        ErrorCase::new(tuned(-1.0, 1.0), good(&op), "weight_decay"),
        ErrorCase::new(tuned(f64::INFINITY, 1.0), good(&op), "weight_decay"),
        ErrorCase::new(tuned(0.0, f64::NAN), good(&op), "rate_scale"),
    ];
    for (rule, says) in faulty {
        let op = Update(rule.clone());
        cases.push(ErrorCase::new(op.clone(), good(&op), says));
    }
    cases
}

const TORCH: Sgd = Sgd {
    momentum: 0.9,
    dampening: 0.0,
    nesterov: false,
    weight_decay: 5e-4,
    learning_rate_scale: 2.0,
    form: SgdForm::Torch,
};

pub(super) fn sgd(draw: &mut Draw) -> Vec<Case> {
    let rules = [
        TORCH,
        Sgd::default(),
        Sgd { form: SgdForm::CudaConvnet, ..TORCH },
        Sgd { learning_rate_scale: 0.0, ..TORCH },
        Sgd { nesterov: true, ..TORCH },
        Sgd { dampening: 0.25, ..TORCH },
    ];
    cases(&rules, draw)
}

pub(super) fn random_sgd(draw: &mut Draw) -> Case {
    let momentum = draw.pick(&[0.0, 0.5, 0.9, 0.99]);
    let rule = match draw.size(0, 3) {
        0 => Sgd { form: SgdForm::CudaConvnet, momentum, ..TORCH },
        1 => Sgd { nesterov: true, ..TORCH },
        2 => Sgd { dampening: 0.5, momentum, ..TORCH },
        _ => Sgd { momentum, ..TORCH },
    };
    random(rule, draw)
}

pub(super) fn sgd_errors() -> Vec<ErrorCase> {
    errors(&[
        (Sgd { momentum: f64::NAN, ..TORCH }, "momentum"),
        (Sgd { momentum: -0.1, ..TORCH }, "momentum"),
        (Sgd { nesterov: true, momentum: 0.0, ..TORCH }, "nesterov"),
        (Sgd { nesterov: true, form: SgdForm::CudaConvnet, ..TORCH }, "nesterov"),
        (Sgd { dampening: 0.1, form: SgdForm::CudaConvnet, ..TORCH }, "dampening"),
    ])
}

pub(super) fn adam(draw: &mut Draw) -> Vec<Case> {
    let decaying = Adam { weight_decay: 0.1, learning_rate_scale: 0.5, ..Adam::default() };
    let rules = [
        Adam::default(),
        decaying,
        Adam { amsgrad: true, ..decaying },
        Adam { betas: [0.0, 0.0], eps: 0.1, ..decaying },
    ];
    cases(&rules, draw)
}

pub(super) fn random_adam(draw: &mut Draw) -> Case {
    let betas = [draw.pick(&[0.0, 0.5, 0.9]), draw.pick(&[0.9, 0.99, 0.999])];
    let (eps, amsgrad) = (draw.pick(&[1e-8, 1e-3]), draw.flip());
    random(Adam { betas, eps, amsgrad, ..Adam::default() }, draw)
}

pub(super) fn adam_errors() -> Vec<ErrorCase> {
    errors(&[
        (Adam { betas: [1.0, 0.9], ..Adam::default() }, "betas"),
        (Adam { betas: [0.9, -0.1], amsgrad: true, ..Adam::default() }, "betas"),
        (Adam { eps: f64::NAN, ..Adam::default() }, "eps"),
    ])
}

pub(super) fn adamw(draw: &mut Draw) -> Vec<Case> {
    let rules =
        [AdamW::default(), AdamW { amsgrad: true, learning_rate_scale: 2.0, ..AdamW::default() }];
    cases(&rules, draw)
}

pub(super) fn random_adamw(draw: &mut Draw) -> Case {
    let (betas, amsgrad) = ([draw.pick(&[0.5, 0.9]), draw.pick(&[0.9, 0.999])], draw.flip());
    random(AdamW { betas, amsgrad, ..AdamW::default() }, draw)
}

pub(super) fn adamw_errors() -> Vec<ErrorCase> {
    errors(&[
        (AdamW { betas: [1.5, 0.9], ..AdamW::default() }, "betas"),
        (AdamW { eps: -1.0, ..AdamW::default() }, "eps"),
    ])
}

pub(super) fn rmsprop(draw: &mut Draw) -> Vec<Case> {
    let plain = RmsProp::default();
    let both = RmsProp { momentum: 0.9, centered: true, weight_decay: 0.01, ..plain };
    cases(
        &[plain, both, RmsProp { momentum: 0.0, ..both }, RmsProp { centered: false, ..both }],
        draw,
    )
}

pub(super) fn random_rmsprop(draw: &mut Draw) -> Case {
    let (alpha, momentum) = (draw.pick(&[0.9, 0.99]), draw.pick(&[0.0, 0.9]));
    let centered = draw.flip();
    random(RmsProp { alpha, momentum, centered, ..RmsProp::default() }, draw)
}

pub(super) fn rmsprop_errors() -> Vec<ErrorCase> {
    errors(&[
        (RmsProp { alpha: 1.0, ..RmsProp::default() }, "alpha"),
        (RmsProp { momentum: f64::NAN, ..RmsProp::default() }, "momentum"),
        (RmsProp { eps: -1.0, ..RmsProp::default() }, "eps"),
    ])
}

pub(super) fn adagrad(draw: &mut Draw) -> Vec<Case> {
    let falling = Adagrad { lr_decay: 0.1, weight_decay: 0.01, ..Adagrad::default() };
    cases(&[Adagrad::default(), falling], draw)
}

pub(super) fn random_adagrad(draw: &mut Draw) -> Case {
    let (lr_decay, eps) = (draw.pick(&[0.0, 0.01, 1.0]), draw.pick(&[1e-10, 0.1]));
    random(Adagrad { lr_decay, eps, ..Adagrad::default() }, draw)
}

pub(super) fn adagrad_errors() -> Vec<ErrorCase> {
    errors(&[
        (Adagrad { lr_decay: -1.0, ..Adagrad::default() }, "lr_decay"),
        (Adagrad { eps: f64::INFINITY, ..Adagrad::default() }, "eps"),
    ])
}

pub(super) fn adadelta(draw: &mut Draw) -> Vec<Case> {
    let decaying = Adadelta { rho: 0.95, weight_decay: 0.1, ..Adadelta::default() };
    cases(&[Adadelta::default(), decaying], draw)
}

pub(super) fn random_adadelta(draw: &mut Draw) -> Case {
    let (rho, eps) = (draw.pick(&[0.0, 0.9, 0.99]), draw.pick(&[1e-6, 0.1]));
    random(Adadelta { rho, eps, ..Adadelta::default() }, draw)
}

pub(super) fn adadelta_errors() -> Vec<ErrorCase> {
    errors(&[
        (Adadelta { rho: 1.0, ..Adadelta::default() }, "rho"),
        (Adadelta { eps: f64::NAN, ..Adadelta::default() }, "eps"),
    ])
}

pub(super) fn lion(draw: &mut Draw) -> Vec<Case> {
    cases(&[Lion::default(), Lion { weight_decay: 0.1, ..Lion::default() }], draw)
}

pub(super) fn random_lion(draw: &mut Draw) -> Case {
    let betas = [draw.pick(&[0.5, 0.9, 0.95]), draw.pick(&[0.9, 0.98, 0.99])];
    random(Lion { betas, ..Lion::default() }, draw)
}

pub(super) fn lion_errors() -> Vec<ErrorCase> {
    errors(&[(Lion { betas: [0.9, 1.0], ..Lion::default() }, "betas")])
}

/// The ratio of a layer whose weight or gradient is all zero, too.
pub(super) fn lars(draw: &mut Draw) -> Vec<Case> {
    let decaying = Lars { weight_decay: 5e-4, trust_coefficient: 0.02, ..Lars::default() };
    let mut cases = cases(&[Lars::default(), decaying], draw);
    for input in [4, 5] {
        let mut zero = case(decaying, [3, 5], draw);
        zero.label += " with a norm of 0";
        zero.inputs[input] = Tensor::scalar(0.0);
        cases.push(zero);
    }
    cases
}

pub(super) fn random_lars(draw: &mut Draw) -> Case {
    let (momentum, trust) = (draw.pick(&[0.0, 0.9]), draw.pick(&[1e-3, 0.1]));
    random(Lars { momentum, trust_coefficient: trust, ..Lars::default() }, draw)
}

pub(super) fn lars_errors() -> Vec<ErrorCase> {
    errors(&[
        (Lars { momentum: -1.0, ..Lars::default() }, "momentum"),
        (Lars { trust_coefficient: f64::NAN, ..Lars::default() }, "trust_coefficient"),
    ])
}
