//! Samples for clipping and averaging.

use super::{ClipFactor, ClipValue, Ema, ScaleBy, SquareSum};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

fn shapes() -> Vec<Shape> {
    vec![[4, 4, 4, 4].into(), [8, 3, 5, 7].into(), [1].into(), [7].into(), [5, 4099].into()]
}

fn square_sum_case(running: bool, shape: Shape, draw: &mut Draw) -> Case {
    let mut inputs = vec![draw.normal(shape.clone())];
    if running {
        inputs.push(draw.uniform([1], 0.0, 100.0));
    }
    Case::new(format!("{shape}, running {running}"), SquareSum { running }, inputs)
}

pub(super) fn square_sum(draw: &mut Draw) -> Vec<Case> {
    let both = shapes().into_iter().flat_map(|shape| [(false, shape.clone()), (true, shape)]);
    both.map(|(running, shape)| square_sum_case(running, shape, draw)).collect()
}

pub(super) fn random_square_sum(draw: &mut Draw) -> Case {
    let (running, shape) = (draw.flip(), draw.shape(3, 25));
    square_sum_case(running, shape, draw)
}

pub(super) fn square_sum_errors() -> Vec<ErrorCase> {
    let x = TensorType::f32([2, 3]);
    vec![
        ErrorCase::new(SquareSum { running: false }, vec![x.clone(), x.clone()], "takes 1 inputs"),
        ErrorCase::new(SquareSum { running: true }, vec![x.clone(), x], "shape [1]"),
        ErrorCase::new(SquareSum { running: false }, vec![TensorType::u32([2])], "must be f32"),
    ]
}

fn clip_factor_case(max_norm: f64, draw: &mut Draw) -> Case {
    let inputs = vec![draw.uniform([1], 0.5, 50.0)];
    Case::new(format!("at most {max_norm}"), ClipFactor { max_norm }, inputs)
}

pub(super) fn clip_factor(draw: &mut Draw) -> Vec<Case> {
    [0.1, 1.0, 5.0, 100.0].map(|max_norm| clip_factor_case(max_norm, draw)).into()
}

pub(super) fn random_clip_factor(draw: &mut Draw) -> Case {
    let max_norm = draw.pick(&[0.5, 2.0, 4.0, 1e9]);
    clip_factor_case(max_norm, draw)
}

pub(super) fn clip_factor_errors() -> Vec<ErrorCase> {
    let sum = || vec![TensorType::f32([1])];
    vec![
        ErrorCase::new(ClipFactor { max_norm: 0.0 }, sum(), "max_norm"),
        ErrorCase::new(ClipFactor { max_norm: f64::NAN }, sum(), "max_norm"),
        ErrorCase::new(ClipFactor { max_norm: 1.0 }, vec![TensorType::f32([2])], "shape [1]"),
    ]
}

fn scale_by_case(shape: Shape, draw: &mut Draw) -> Case {
    let inputs = vec![draw.normal(shape.clone()), draw.uniform([1], 0.1, 2.0)];
    Case::new(shape.to_string(), ScaleBy, inputs)
}

pub(super) fn scale_by(draw: &mut Draw) -> Vec<Case> {
    shapes().into_iter().map(|shape| scale_by_case(shape, draw)).collect()
}

pub(super) fn random_scale_by(draw: &mut Draw) -> Case {
    let shape = draw.shape(3, 12);
    scale_by_case(shape, draw)
}

pub(super) fn scale_by_errors() -> Vec<ErrorCase> {
    let x = TensorType::f32([2, 3]);
    vec![
        ErrorCase::new(ScaleBy, vec![x.clone()], "takes 2 inputs"),
        ErrorCase::new(ScaleBy, vec![x.clone(), x], "shape [1]"),
    ]
}

fn clip_value_case(limit: f64, shape: Shape, draw: &mut Draw) -> Case {
    Case::new(format!("{shape}, {limit}"), ClipValue { limit }, vec![draw.normal(shape)])
}

pub(super) fn clip_value(draw: &mut Draw) -> Vec<Case> {
    shapes().into_iter().map(|shape| clip_value_case(0.75, shape, draw)).collect()
}

pub(super) fn random_clip_value(draw: &mut Draw) -> Case {
    let (limit, shape) = (draw.pick(&[0.1, 1.0, 3.0]), draw.shape(3, 12));
    clip_value_case(limit, shape, draw)
}

pub(super) fn clip_value_errors() -> Vec<ErrorCase> {
    let x = || vec![TensorType::f32([2, 3])];
    vec![
        ErrorCase::new(ClipValue { limit: -1.0 }, x(), "must be positive"),
        ErrorCase::new(ClipValue { limit: f64::NAN }, x(), "must be positive"),
        ErrorCase::new(ClipValue { limit: 1.0 }, vec![], "takes 1 inputs"),
    ]
}

fn ema_case(decay: f64, step: f32, shape: Shape, draw: &mut Draw) -> Case {
    let label = format!("{shape}, decay {decay}, step {step}");
    let inputs = vec![draw.normal(shape.clone()), draw.normal(shape), Tensor::scalar(step)];
    Case::new(label, Ema { decay }, inputs)
}

pub(super) fn ema(draw: &mut Draw) -> Vec<Case> {
    let both = shapes().into_iter().flat_map(|shape| [(1.0, shape.clone()), (2.0, shape)]);
    both.map(|(step, shape)| ema_case(0.9, step, shape, draw)).collect()
}

pub(super) fn random_ema(draw: &mut Draw) -> Case {
    let (decay, step) = (draw.pick(&[0.0, 0.5, 0.999]), draw.size(1, 3) as f32);
    let shape = draw.shape(3, 12);
    ema_case(decay, step, shape, draw)
}

pub(super) fn ema_errors() -> Vec<ErrorCase> {
    let (x, step) = (|| TensorType::f32([2, 3]), || TensorType::f32([1]));
    let ema = Ema { decay: 0.9 };
    vec![
        ErrorCase::new(ema, vec![x(), x()], "takes 3 inputs"),
        ErrorCase::new(ema, vec![x(), TensorType::f32([6]), step()], "one shape"),
        ErrorCase::new(ema, vec![x(), x(), x()], "step [1]"),
        ErrorCase::new(Ema { decay: 1.0 }, vec![x(), x(), step()], "less than 1"),
    ]
}
