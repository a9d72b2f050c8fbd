//! Samples for local response normalisation.

use super::{AlphaConvention, Lrn, LrnGrad};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::TensorType;

const ALEXNET: Lrn =
    Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0, convention: AlphaConvention::Sum };
/// Squares that matter, so that a wrong window shows.
const STRONG: Lrn = Lrn { alpha: 0.5, k: 1.0, ..ALEXNET };

/// Both conventions, windows odd and even, of one channel and of more than there are, every path of
/// the power; shapes equal, distinct, 1x1, one channel, and more samples than a small binding holds.
fn samples() -> Vec<(Lrn, [usize; 4])> {
    let mean = Lrn { convention: AlphaConvention::Mean, ..STRONG };
    vec![
        (ALEXNET, [4, 4, 4, 4]),
        (STRONG, [2, 7, 5, 3]),
        (mean, [2, 7, 5, 3]),
        (Lrn { size: 4, beta: 0.5, ..mean }, [1, 10, 3, 3]),
        (Lrn { size: 1, beta: 1.0, ..STRONG }, [3, 5, 2, 2]),
        (Lrn { size: 2, beta: 0.6, ..STRONG }, [1, 3, 1, 1]),
        (Lrn { size: 9, beta: 0.0, ..mean }, [2, 4, 3, 1]),
        (Lrn { size: 9, ..mean }, [2, 4, 3, 1]),
        (STRONG, [1, 1, 6, 7]),
        (STRONG, [70, 12, 4, 4]),
    ]
}

fn label(op: &Lrn, shape: [usize; 4]) -> String {
    format!("{op:?} {shape:?}")
}

fn random(draw: &mut Draw) -> (Lrn, [usize; 4]) {
    let op = Lrn {
        size: draw.size(1, 8),
        alpha: draw.pick(&[1e-4, 0.1, 1.0]),
        beta: draw.pick(&[0.75, 0.5, 1.0, 0.3, 2.0]),
        k: draw.pick(&[1.0, 2.0, 0.5]),
        convention: draw.pick(&[AlphaConvention::Sum, AlphaConvention::Mean]),
    };
    (op, [draw.size(1, 3), draw.size(1, 12), draw.size(1, 5), draw.size(1, 5)])
}

fn forward_case((op, shape): (Lrn, [usize; 4]), draw: &mut Draw) -> Case {
    Case::new(label(&op, shape), op, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn forward_cases(draw: &mut Draw) -> Vec<Case> {
    samples().into_iter().map(|sample| forward_case(sample, draw)).collect()
}

pub(super) fn random_forward(draw: &mut Draw) -> Case {
    let sample = random(draw);
    forward_case(sample, draw)
}

pub(super) fn forward_errors() -> Vec<ErrorCase> {
    let image = || vec![TensorType::f32([1, 4, 3, 3])];
    vec![
        ErrorCase::new(ALEXNET, vec![], "takes 1 inputs"),
        ErrorCase::new(ALEXNET, vec![TensorType::f32([4, 3])], "batch, channels"),
        ErrorCase::new(ALEXNET, vec![TensorType::u32([1, 4, 3, 3])], "must be f32"),
        ErrorCase::new(Lrn { size: 0, ..ALEXNET }, image(), "size = 0"),
        ErrorCase::new(Lrn { alpha: f32::NAN, ..ALEXNET }, image(), "alpha"),
        ErrorCase::new(Lrn { beta: -0.5, ..ALEXNET }, image(), "beta"),
        ErrorCase::new(Lrn { k: 0.0, ..ALEXNET }, image(), "more than 0"),
    ]
}

fn grad_case((op, shape): (Lrn, [usize; 4]), draw: &mut Draw) -> Case {
    let mut inputs = vec![draw.normal(shape)];
    inputs.extend(forward(&op, &inputs));
    inputs.push(draw.normal(shape));
    Case::new(label(&op, shape), LrnGrad(op), inputs)
}

pub(super) fn grad_cases(draw: &mut Draw) -> Vec<Case> {
    samples().into_iter().map(|sample| grad_case(sample, draw)).collect()
}

pub(super) fn random_grad(draw: &mut Draw) -> Case {
    let sample = random(draw);
    grad_case(sample, draw)
}

pub(super) fn grad_errors() -> Vec<ErrorCase> {
    let image = || TensorType::f32([1, 4, 3, 3]);
    let other = TensorType::f32([1, 4, 3, 2]);
    vec![
        ErrorCase::new(LrnGrad(ALEXNET), vec![image()], "takes 4 inputs"),
        ErrorCase::new(LrnGrad(ALEXNET), vec![image(), image(), other, image()], "one shape"),
    ]
}
