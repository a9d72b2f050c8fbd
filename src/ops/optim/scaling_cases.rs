//! Samples for loss scaling.

use super::{Count, LossScale, Overflows};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

/// Normal values of which most are small and some beyond half precision.
fn overflows_case(running: bool, shape: Shape, draw: &mut Draw) -> Case {
    let mut values = draw.normal(shape.clone()).into_f32();
    values.iter_mut().for_each(|x| *x *= 30_000.0);
    let largest = [65504.0, -65504.0, 65503.99, 1e30];
    values.iter_mut().zip(largest).for_each(|(x, edge)| *x = edge);
    let mut inputs =
        vec![Tensor::f32(shape.clone(), values).unwrap_or_else(|_| Tensor::scalar(0.0))];
    if running {
        inputs.push(Tensor::scalar(draw.size(0, 9) as f32));
    }
    Case::new(format!("{shape}, running {running}"), Overflows { running }, inputs)
}

pub(super) fn overflows(draw: &mut Draw) -> Vec<Case> {
    let shapes = [vec![4, 4, 4, 4], vec![8, 3, 5, 7], vec![1], vec![7], vec![5, 4099]];
    let both = shapes.into_iter().flat_map(|shape| [(false, shape.clone()), (true, shape)]);
    both.map(|(running, shape)| overflows_case(running, shape.into(), draw)).collect()
}

pub(super) fn random_overflows(draw: &mut Draw) -> Case {
    let (running, shape) = (draw.flip(), draw.shape(3, 25));
    overflows_case(running, shape, draw)
}

pub(super) fn overflows_errors() -> Vec<ErrorCase> {
    let x = TensorType::f32([2, 3]);
    vec![
        ErrorCase::new(Overflows { running: false }, vec![x.clone(), x.clone()], "takes 1 inputs"),
        ErrorCase::new(Overflows { running: true }, vec![x.clone(), x], "shape [1]"),
        ErrorCase::new(Overflows { running: false }, vec![TensorType::u32([2])], "must be f32"),
    ]
}

fn loss_scale_case(values: [f32; 4]) -> Case {
    let op = LossScale { interval: 5, ..LossScale::default() };
    Case::new(format!("{values:?}"), op, values.map(Tensor::scalar).into())
}

/// No overflow, some; the scale grows; it is as large, or as small, as it may be.
pub(super) fn loss_scale(_: &mut Draw) -> Vec<Case> {
    let cases = [
        [1024.0, 2.0, 0.0, 0.1],
        [1024.0, 2.0, 3.0, 0.1],
        [1024.0, 4.0, 0.0, 0.1],
        [1024.0, 4.0, 1.0, 0.1],
        [16_777_216.0, 4.0, 0.0, 0.3],
        [1.0, 0.0, 7.0, 0.3],
    ];
    cases.map(loss_scale_case).into()
}

pub(super) fn random_loss_scale(draw: &mut Draw) -> Case {
    let scale = draw.pick(&[1.0, 256.0, 65536.0]);
    let (steps, overflows) = (draw.size(0, 9) as f32, draw.pick(&[0.0, 0.0, 1.0, 80.0]));
    loss_scale_case([scale, steps, overflows, draw.pick(&[0.0, 0.5])])
}

pub(super) fn loss_scale_errors() -> Vec<ErrorCase> {
    let good = || vec![TensorType::f32([1]); 4];
    let with = |op: LossScale| ErrorCase::new(op, good(), "loss scale");
    let usual = LossScale::default();
    let mut wide = good();
    wide[2] = TensorType::f32([2]);
    vec![
        with(LossScale { interval: 0, ..usual }),
        with(LossScale { growth: 0.5, ..usual }),
        with(LossScale { backoff: 0.0, ..usual }),
        with(LossScale { backoff: 1.5, ..usual }),
        ErrorCase::new(LossScale { growth: f64::NAN, ..usual }, good(), "growth"),
        ErrorCase::new(usual, wide, "input 2 must have shape [1]"),
        ErrorCase::new(usual, good()[1..].to_vec(), "takes 4 inputs"),
    ]
}

fn count_case(step: f32, rate: f32) -> Case {
    let inputs = vec![Tensor::scalar(step), Tensor::scalar(rate)];
    Case::new(format!("step {step}, learning rate {rate}"), Count, inputs)
}

pub(super) fn count(_: &mut Draw) -> Vec<Case> {
    [(0.0, 0.1), (6.0, 0.0), (6.0, -1.0), (40_000.0, 2.5)].map(|(s, r)| count_case(s, r)).into()
}

pub(super) fn random_count(draw: &mut Draw) -> Case {
    count_case(draw.size(0, 999) as f32, draw.pick(&[0.01, -1.0]))
}

pub(super) fn count_errors() -> Vec<ErrorCase> {
    let (one, two) = (TensorType::f32([1]), TensorType::f32([2]));
    vec![
        ErrorCase::new(Count, vec![one.clone(), two], "input 1 must have shape [1]"),
        ErrorCase::new(Count, vec![one], "takes 2 inputs"),
    ]
}
