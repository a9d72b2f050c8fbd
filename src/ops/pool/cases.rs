//! Samples for the pooling ops.

use super::{MaxPool2d, MaxPool2dGrad};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::{Tensor, TensorType};

fn pool(window: usize, stride: usize, padding: usize, ceil_mode: bool) -> MaxPool2d {
    MaxPool2d { window: [window; 2], stride: [stride; 2], padding: [padding; 4], ceil_mode }
}

/// Parameters and input shapes: AlexNet's overlapping windows, equal and distinct extents, every
/// side padded differently, windows of the whole plane, gaps between windows, many planes.
pub(super) fn geometries() -> Vec<(MaxPool2d, [usize; 4])> {
    let uneven =
        MaxPool2d { window: [4, 5], stride: [3, 1], padding: [1, 2, 0, 2], ceil_mode: true };
    vec![
        (pool(2, 2, 0, false), [4, 4, 4, 4]),
        (pool(3, 2, 0, false), [2, 6, 13, 13]),
        (pool(3, 2, 0, true), [1, 3, 8, 10]),
        (pool(3, 2, 1, true), [2, 5, 7, 6]),
        (pool(2, 2, 1, true), [1, 1, 3, 4]),
        (uneven, [2, 3, 9, 7]),
        (pool(5, 1, 2, false), [1, 2, 6, 5]),
        (pool(2, 3, 0, true), [1, 2, 7, 8]),
        (pool(2, 5, 0, false), [3, 1, 12, 7]),
        (pool(1, 1, 0, false), [1, 3, 2, 2]),
        (MaxPool2d { window: [5, 6], ..pool(1, 1, 0, false) }, [3, 2, 5, 6]),
        (pool(3, 2, 0, true), [1, 2, 2, 2]),
        (pool(2, 2, 0, false), [9, 32, 8, 8]),
    ]
}

fn label(pool: &MaxPool2d, shape: [usize; 4]) -> String {
    let MaxPool2d { window, stride, padding, ceil_mode } = pool;
    format!(
        "{shape:?}, window {window:?}, stride {stride:?}, padding {padding:?}, ceil {ceil_mode}"
    )
}

pub(super) fn random_geometry(draw: &mut Draw) -> (MaxPool2d, [usize; 4]) {
    let window = [draw.size(1, 5), draw.size(1, 5)];
    let mut pad = |w: usize| draw.size(0, w / 2);
    let padding = [pad(window[0]), pad(window[0]), pad(window[1]), pad(window[1])];
    let stride = [draw.size(1, 4), draw.size(1, 4)];
    let shape = [
        draw.size(1, 3),
        draw.size(1, 5),
        draw.size(window[0], 9).max(window[0]),
        draw.size(window[1], 9).max(window[1]),
    ];
    (MaxPool2d { window, stride, padding, ceil_mode: draw.flip() }, shape)
}

/// Small whole numbers: every window has several largest values, and the first must be taken.
fn ties(draw: &mut Draw, shape: [usize; 4]) -> Tensor {
    let data = (0..shape.iter().product()).map(|_| draw.size(0, 2) as f32).collect();
    Tensor::f32(shape, data).unwrap_or_else(|_| Tensor::scalar(0.0))
}

pub(super) fn max(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<Case> =
        geometries().into_iter().map(|(pool, shape)| max_case(pool, shape, draw)).collect();
    let (pool, shape) = (pool(3, 2, 1, false), [2, 3, 9, 8]);
    cases.push(Case::new("ties", pool, vec![ties(draw, shape)]));
    cases
}

fn max_case(pool: MaxPool2d, shape: [usize; 4], draw: &mut Draw) -> Case {
    Case::new(label(&pool, shape), pool, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn random_max(draw: &mut Draw) -> Case {
    let (pool, shape) = random_geometry(draw);
    max_case(pool, shape, draw)
}

pub(super) fn max_errors() -> Vec<ErrorCase> {
    let image = || vec![TensorType::f32([1, 2, 5, 5])];
    vec![
        ErrorCase::new(pool(2, 2, 0, false), vec![], "takes 1 inputs"),
        ErrorCase::new(pool(2, 2, 0, false), vec![TensorType::f32([4, 4])], "batch, channels"),
        ErrorCase::new(pool(2, 2, 0, false), vec![TensorType::u32([1, 1, 4, 4])], "must be f32"),
        ErrorCase::new(pool(0, 2, 0, false), image(), "at least 1"),
        ErrorCase::new(pool(2, 0, 0, false), image(), "at least 1"),
        ErrorCase::new(pool(3, 2, 2, false), image(), "half the window"),
        ErrorCase::new(pool(6, 2, 0, false), image(), "does not fit"),
        ErrorCase::new(pool(9, 2, 0, true), image(), "does not fit"),
        ErrorCase::new(pool(usize::MAX, 1, 0, false), image(), "does not fit"),
    ]
}

pub(super) fn max_grad(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<Case> =
        geometries().into_iter().map(|(pool, shape)| max_grad_case(pool, shape, draw)).collect();
    let tied = ties(draw, [2, 3, 9, 8]);
    cases.push(grad_of("ties".into(), pool(3, 2, 1, false), tied, draw));
    cases
}

fn max_grad_case(pool: MaxPool2d, shape: [usize; 4], draw: &mut Draw) -> Case {
    let input = draw.normal(shape);
    grad_of(label(&pool, shape), pool, input, draw)
}

fn grad_of(label: String, pool: MaxPool2d, input: Tensor, draw: &mut Draw) -> Case {
    let size = [input.shape().dims()[2], input.shape().dims()[3]];
    let mut inputs = forward(&pool, &[input]);
    let output = inputs.remove(0);
    inputs.push(draw.normal(output.shape().clone()));
    Case::new(label, MaxPool2dGrad { pool, input: size }, inputs)
}

pub(super) fn random_max_grad(draw: &mut Draw) -> Case {
    let (pool, shape) = random_geometry(draw);
    max_grad_case(pool, shape, draw)
}

pub(super) fn max_grad_errors() -> Vec<ErrorCase> {
    let grad = MaxPool2dGrad { pool: pool(2, 2, 0, false), input: [4, 4] };
    let (indices, values) = (TensorType::u32([1, 1, 2, 2]), TensorType::f32([1, 1, 2, 2]));
    vec![
        ErrorCase::new(grad, vec![indices.clone()], "takes 2 inputs"),
        ErrorCase::new(grad, vec![values.clone(), values.clone()], "u32 indices"),
        ErrorCase::new(grad, vec![TensorType::u32([1, 1, 2, 3]), values.clone()], "one shape"),
        ErrorCase::new(
            MaxPool2dGrad { input: [7, 4], ..grad },
            vec![indices, values],
            "planes of 3x2",
        ),
    ]
}
