//! Samples for the pooling ops.

use super::{MaxPool2d, MaxPool2dGrad};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::{Tensor, TensorType};

fn pool(window: usize, stride: usize, padding: usize, ceil_mode: bool) -> MaxPool2d {
    MaxPool2d { padding: [padding; 4], ceil_mode, ..MaxPool2d::new(window, stride) }
}

/// Parameters and input shapes: AlexNet's overlapping windows, equal and distinct extents, every
/// side padded differently, windows of the whole plane, gaps between windows, many planes.
pub(super) fn geometries() -> Vec<(MaxPool2d, [usize; 4])> {
    let uneven =
        MaxPool2d { window: [4, 5], stride: [3, 1], padding: [1, 2, 0, 2], ..pool(1, 1, 0, true) };
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
    format!("{shape:?}, {pool:?}")
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
    (MaxPool2d { window, stride, padding, dilation: [1; 2], ceil_mode: draw.flip() }, shape)
}

/// The geometries of all pooling, and dilated ones: overlapping, with gaps, beyond the edge, uneven,
/// with a window that begins with a tap in the padding.
fn max_geometries() -> Vec<(MaxPool2d, [usize; 4])> {
    let dilated = |window, stride, padding, dilation, ceil_mode| MaxPool2d {
        dilation,
        ..pool(window, stride, padding, ceil_mode)
    };
    let mut all = geometries();
    all.extend([
        (dilated(3, 1, 0, [2, 2], false), [2, 3, 8, 8]),
        (dilated(3, 2, 1, [2, 3], true), [1, 2, 9, 11]),
        (dilated(2, 3, 1, [3, 1], false), [2, 5, 7, 6]),
        (dilated(2, 1, 1, [4, 5], true), [1, 4, 5, 6]),
        (
            MaxPool2d {
                window: [4, 2],
                padding: [2, 1, 0, 1],
                stride: [2, 1],
                ..dilated(1, 1, 0, [2, 4], true)
            },
            [3, 2, 6, 7],
        ),
        (dilated(1, 2, 0, [9, 9], false), [1, 2, 4, 5]),
    ]);
    all
}

fn random_max_geometry(draw: &mut Draw) -> (MaxPool2d, [usize; 4]) {
    let (pool, [batch, channels, height, width]) = random_geometry(draw);
    let dilation = [draw.size(1, 3), draw.size(1, 3)];
    let grown = |size: usize, axis: usize| size + (pool.window[axis] - 1) * (dilation[axis] - 1);
    (MaxPool2d { dilation, ..pool }, [batch, channels, grown(height, 0), grown(width, 1)])
}

/// Small whole numbers: every window has several largest values, and the first must be taken.
pub(super) fn ties(draw: &mut Draw, shape: [usize; 4]) -> Tensor {
    let data = (0..shape.iter().product()).map(|_| draw.size(0, 2) as f32).collect();
    Tensor::f32(shape, data).unwrap_or_else(|_| Tensor::scalar(0.0))
}

pub(super) fn max(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<Case> =
        max_geometries().into_iter().map(|(pool, shape)| max_case(pool, shape, draw)).collect();
    let (pool, shape) = (pool(3, 2, 1, false), [2, 3, 9, 8]);
    cases.push(Case::new("ties", pool, vec![ties(draw, shape)]));
    cases
}

fn max_case(pool: MaxPool2d, shape: [usize; 4], draw: &mut Draw) -> Case {
    Case::new(label(&pool, shape), pool, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn random_max(draw: &mut Draw) -> Case {
    let (pool, shape) = random_max_geometry(draw);
    max_case(pool, shape, draw)
}

pub(super) fn max_errors() -> Vec<ErrorCase> {
    let dilated =
        |window, padding, dilation| MaxPool2d { dilation, ..pool(window, 1, padding, false) };
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
        ErrorCase::new(dilated(3, 0, [1, 0]), image(), "at least 1"),
        ErrorCase::new(dilated(3, 0, [3, 1]), image(), "dilation 3, does not fit"),
        ErrorCase::new(dilated(2, 0, [1, usize::MAX]), image(), "does not fit"),
        ErrorCase::new(dilated(3, 2, [2, 2]), image(), "half the window"),
        ErrorCase::new(dilated(2, 1, [6, 1]), image(), "steps over an input of height 5"),
    ]
}

pub(super) fn max_grad(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<Case> = max_geometries()
        .into_iter()
        .map(|(pool, shape)| max_grad_case(pool, shape, draw))
        .collect();
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
    let (pool, shape) = random_max_geometry(draw);
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
