//! Samples for average pooling.

use super::cases::{geometries, random_geometry};
use super::{AvgPool2d, AvgPool2dGrad, MaxPool2d};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::TensorType;

fn averaging(pool: MaxPool2d, count_include_pad: bool) -> AvgPool2d {
    let MaxPool2d { window, stride, padding, ceil_mode, .. } = pool;
    AvgPool2d { window, stride, padding, ceil_mode, count_include_pad, divisor_override: None }
}

fn every() -> impl Iterator<Item = (AvgPool2d, [usize; 4])> {
    let counted = [false, true].into_iter().flat_map(|count| {
        geometries().into_iter().map(move |(pool, shape)| (averaging(pool, count), shape))
    });
    let divided = geometries().into_iter().skip(3).take(3);
    counted.chain(divided.map(|(pool, shape)| {
        (AvgPool2d { divisor_override: Some(7), ..averaging(pool, true) }, shape)
    }))
}

fn random(draw: &mut Draw) -> (AvgPool2d, [usize; 4]) {
    let (pool, shape) = random_geometry(draw);
    let divisor_override = (draw.size(0, 4) == 0).then(|| draw.size(1, 9) as u32);
    (AvgPool2d { divisor_override, ..averaging(pool, draw.flip()) }, shape)
}

fn avg_case((pool, shape): (AvgPool2d, [usize; 4]), draw: &mut Draw) -> Case {
    Case::new(format!("{shape:?}, {pool:?}"), pool, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn avg(draw: &mut Draw) -> Vec<Case> {
    every().map(|sample| avg_case(sample, draw)).collect()
}

pub(super) fn random_avg(draw: &mut Draw) -> Case {
    let sample = random(draw);
    avg_case(sample, draw)
}

const PLAIN: AvgPool2d = AvgPool2d {
    window: [2, 2],
    stride: [2, 2],
    padding: [0; 4],
    ceil_mode: false,
    count_include_pad: true,
    divisor_override: None,
};

pub(super) fn avg_errors() -> Vec<ErrorCase> {
    let image = || vec![TensorType::f32([1, 2, 5, 5])];
    vec![
        ErrorCase::new(PLAIN, vec![], "takes 1 inputs"),
        ErrorCase::new(PLAIN, vec![TensorType::f32([4])], "batch, channels"),
        ErrorCase::new(AvgPool2d { window: [0, 1], ..PLAIN }, image(), "at least 1"),
        ErrorCase::new(AvgPool2d { padding: [2, 0, 0, 0], ..PLAIN }, image(), "half the window"),
        ErrorCase::new(AvgPool2d { window: [2, 6], ..PLAIN }, image(), "does not fit"),
        ErrorCase::new(
            AvgPool2d { divisor_override: Some(0), ..PLAIN },
            image(),
            "divisor_override must be at least 1",
        ),
    ]
}

fn grad_case((pool, shape): (AvgPool2d, [usize; 4]), draw: &mut Draw) -> Case {
    let output = forward(&pool, &[draw.normal(shape)]).remove(0);
    let grad_output = draw.normal(output.shape().clone());
    let grad = AvgPool2dGrad { pool, input: [shape[2], shape[3]] };
    Case::new(format!("{shape:?}, {pool:?}"), grad, vec![grad_output])
}

pub(super) fn avg_grad(draw: &mut Draw) -> Vec<Case> {
    every().map(|sample| grad_case(sample, draw)).collect()
}

pub(super) fn random_avg_grad(draw: &mut Draw) -> Case {
    let sample = random(draw);
    grad_case(sample, draw)
}

pub(super) fn avg_grad_errors() -> Vec<ErrorCase> {
    let grad = AvgPool2dGrad { pool: PLAIN, input: [7, 4] };
    vec![
        ErrorCase::new(grad, vec![], "takes 1 inputs"),
        ErrorCase::new(grad, vec![TensorType::f32([1, 1, 2, 2])], "planes of 3x2"),
    ]
}
