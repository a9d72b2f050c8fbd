//! Samples for adaptive pooling.

use super::cases::ties;
use super::{AdaptiveAvgPool2d, AdaptiveAvgPool2dGrad, AdaptiveMaxPool2d, AdaptiveMaxPool2dGrad};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::{Tensor, TensorType};

/// Input shapes and output sizes: whole planes, small and larger than a workgroup; even and uneven
/// divisions; the input's own size; more windows than positions.
const SAMPLES: [([usize; 4], [usize; 2]); 12] = [
    ([4, 4, 4, 4], [4, 4]),
    ([2, 3, 7, 7], [1, 1]),
    ([1, 5, 13, 11], [1, 1]),
    ([3, 1, 1, 1], [1, 1]),
    ([9, 8, 2, 3], [1, 1]),
    ([2, 3, 8, 6], [4, 3]),
    ([1, 2, 10, 7], [7, 3]),
    ([2, 2, 13, 13], [6, 6]),
    ([1, 3, 5, 9], [1, 4]),
    ([2, 1, 3, 2], [5, 7]),
    ([1, 4, 1, 6], [3, 1]),
    ([20, 16, 6, 6], [3, 2]),
];

fn random(draw: &mut Draw) -> ([usize; 4], [usize; 2]) {
    let shape = [draw.size(1, 3), draw.size(1, 4), draw.size(1, 12), draw.size(1, 12)];
    (shape, [draw.size(1, 8), draw.size(1, 8)])
}

fn label(shape: [usize; 4], output: [usize; 2]) -> String {
    format!("{shape:?} to {output:?}")
}

fn each(draw: &mut Draw, case: impl Fn(([usize; 4], [usize; 2]), &mut Draw) -> Case) -> Vec<Case> {
    SAMPLES.into_iter().map(|sample| case(sample, draw)).collect()
}

fn avg_case((shape, output_size): ([usize; 4], [usize; 2]), draw: &mut Draw) -> Case {
    let pool = AdaptiveAvgPool2d { output_size };
    Case::new(label(shape, output_size), pool, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn avg(draw: &mut Draw) -> Vec<Case> {
    each(draw, avg_case)
}

pub(super) fn random_avg(draw: &mut Draw) -> Case {
    let sample = random(draw);
    avg_case(sample, draw)
}

fn avg_grad_case((shape, output): ([usize; 4], [usize; 2]), draw: &mut Draw) -> Case {
    let [batch, channels, height, width] = shape;
    let grad = draw.normal([batch, channels, output[0], output[1]]);
    Case::new(label(shape, output), AdaptiveAvgPool2dGrad { input: [height, width] }, vec![grad])
}

pub(super) fn avg_grad(draw: &mut Draw) -> Vec<Case> {
    each(draw, avg_grad_case)
}

pub(super) fn random_avg_grad(draw: &mut Draw) -> Case {
    let sample = random(draw);
    avg_grad_case(sample, draw)
}

fn max_case((shape, output_size): ([usize; 4], [usize; 2]), draw: &mut Draw) -> Case {
    let pool = AdaptiveMaxPool2d { output_size };
    Case::new(label(shape, output_size), pool, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn max(draw: &mut Draw) -> Vec<Case> {
    let mut cases = each(draw, max_case);
    for output_size in [[1, 1], [3, 5]] {
        let tied = ties(draw, [2, 3, 9, 8]);
        let label = format!("ties, to {output_size:?}");
        cases.push(Case::new(label, AdaptiveMaxPool2d { output_size }, vec![tied]));
    }
    cases
}

pub(super) fn random_max(draw: &mut Draw) -> Case {
    let sample = random(draw);
    max_case(sample, draw)
}

fn max_grad_of(input: Tensor, output_size: [usize; 2], draw: &mut Draw) -> Case {
    let shape = [0, 1, 2, 3].map(|axis| input.shape().dims()[axis]);
    let mut inputs = forward(&AdaptiveMaxPool2d { output_size }, &[input]);
    let maxima = inputs.remove(0);
    inputs.push(draw.normal(maxima.shape().clone()));
    let grad = AdaptiveMaxPool2dGrad { input: [shape[2], shape[3]] };
    Case::new(label(shape, output_size), grad, inputs)
}

fn max_grad_case((shape, output): ([usize; 4], [usize; 2]), draw: &mut Draw) -> Case {
    let input = draw.normal(shape);
    max_grad_of(input, output, draw)
}

pub(super) fn max_grad(draw: &mut Draw) -> Vec<Case> {
    let mut cases = each(draw, max_grad_case);
    let tied = ties(draw, [2, 3, 9, 8]);
    cases.push(max_grad_of(tied, [4, 3], draw));
    cases
}

pub(super) fn random_max_grad(draw: &mut Draw) -> Case {
    let sample = random(draw);
    max_grad_case(sample, draw)
}

pub(super) fn avg_errors() -> Vec<ErrorCase> {
    let case =
        |output_size, input| ErrorCase::new(AdaptiveAvgPool2d { output_size }, vec![input], "");
    let image = || TensorType::f32([1, 2, 5, 5]);
    let says = |case: ErrorCase, says| ErrorCase { says, ..case };
    vec![
        ErrorCase::new(AdaptiveAvgPool2d::default(), vec![], "takes 1 inputs"),
        says(case([1, 1], TensorType::f32([2, 5, 5])), "batch, channels"),
        says(case([1, 1], TensorType::u32([1, 2, 5, 5])), "must be f32"),
        says(case([0, 1], image()), "at least 1"),
        says(case([1, usize::MAX], image()), "below 2^32"),
        says(case([1 << 29, 1 << 29], TensorType::f32([1 << 20, 2, 5, 5])), "output is too large"),
    ]
}

pub(super) fn max_errors() -> Vec<ErrorCase> {
    let image = || vec![TensorType::f32([1, 2, 5, 5])];
    vec![
        ErrorCase::new(AdaptiveMaxPool2d::default(), vec![], "takes 1 inputs"),
        ErrorCase::new(AdaptiveMaxPool2d { output_size: [2, 0] }, image(), "at least 1"),
        ErrorCase::new(AdaptiveMaxPool2d { output_size: [usize::MAX, 2] }, image(), "below 2^32"),
        ErrorCase::new(
            AdaptiveMaxPool2d::default(),
            vec![TensorType::f32([4, 4])],
            "batch, channels",
        ),
    ]
}

pub(super) fn avg_grad_errors() -> Vec<ErrorCase> {
    let grad = AdaptiveAvgPool2dGrad { input: [4, 4] };
    let values = || vec![TensorType::f32([1, 1, 2, 2])];
    vec![
        ErrorCase::new(grad, vec![], "takes 1 inputs"),
        ErrorCase::new(grad, vec![TensorType::f32([2, 2])], "batch, channels"),
        ErrorCase::new(AdaptiveAvgPool2dGrad { input: [0, 4] }, values(), "empty or too large"),
        ErrorCase::new(AdaptiveAvgPool2dGrad { input: [1 << 32, 4] }, values(), "below 2^32"),
    ]
}

pub(super) fn max_grad_errors() -> Vec<ErrorCase> {
    let grad = AdaptiveMaxPool2dGrad { input: [4, 4] };
    let (indices, values) = (TensorType::u32([1, 1, 2, 2]), TensorType::f32([1, 1, 2, 2]));
    vec![
        ErrorCase::new(grad, vec![indices.clone()], "takes 2 inputs"),
        ErrorCase::new(grad, vec![values.clone(), values.clone()], "u32 indices"),
        ErrorCase::new(grad, vec![TensorType::u32([1, 1, 2, 3]), values.clone()], "one shape"),
        ErrorCase::new(
            AdaptiveMaxPool2dGrad { input: [4, 0] },
            vec![indices, values],
            "empty or too large",
        ),
    ]
}
