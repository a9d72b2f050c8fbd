//! Samples for the normalisations within a channel.

use super::{
    AlphaConvention, LocalCentre, LocalCentreGrad, Lrn, LrnWithinChannel, LrnWithinChannelGrad,
};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Tensor, TensorType};

/// Squares that matter, so that a wrong window shows.
const STRONG: Lrn =
    Lrn { size: 3, alpha: 0.5, beta: 0.75, k: 1.0, convention: AlphaConvention::Sum };

/// Windows odd and even, of one element, larger than one axis and than both; both conventions, every
/// path of the power; shapes equal, distinct, 1x1, and more planes than a small binding holds.
fn samples() -> Vec<(Lrn, [usize; 4])> {
    let mean = Lrn { convention: AlphaConvention::Mean, alpha: 2.0, ..STRONG };
    vec![
        (Lrn::default(), [4, 4, 4, 4]),
        (STRONG, [2, 3, 5, 7]),
        (mean, [2, 3, 6, 5]),
        (Lrn { size: 5, beta: 0.5, k: 2.0, ..mean }, [1, 2, 9, 8]),
        (Lrn { size: 4, beta: 1.0, ..STRONG }, [2, 2, 7, 5]),
        (Lrn { size: 2, beta: 0.6, ..mean }, [3, 1, 4, 3]),
        (Lrn { size: 1, ..STRONG }, [2, 5, 2, 3]),
        (Lrn { size: 9, ..mean }, [1, 3, 5, 12]),
        (Lrn { size: 8, ..mean }, [2, 3, 3, 2]),
        (Lrn { size: 3, beta: 0.0, ..mean }, [1, 2, 3, 3]),
        (STRONG, [3, 5, 1, 1]),
        (STRONG, [1, 1, 1, 9]),
        (STRONG, [7, 9, 11, 13]),
    ]
}

fn random(draw: &mut Draw) -> (Lrn, [usize; 4]) {
    let op = Lrn {
        size: draw.size(1, 7),
        alpha: draw.pick(&[1e-4, 0.1, 1.0]),
        beta: draw.pick(&[0.75, 0.5, 1.0, 0.3, 2.0]),
        k: draw.pick(&[1.0, 2.0, 0.5]),
        convention: draw.pick(&[AlphaConvention::Sum, AlphaConvention::Mean]),
    };
    (op, [draw.size(1, 3), draw.size(1, 4), draw.size(1, 8), draw.size(1, 8)])
}

fn label(op: &Lrn, shape: [usize; 4], given: bool) -> String {
    format!("{op:?} {shape:?}{}", if given { ", deviations given" } else { "" })
}

/// With the squares of the input, or of a second one.
fn forward_case((op, shape): (Lrn, [usize; 4]), given: bool, draw: &mut Draw) -> Case {
    let inputs: Vec<Tensor> = (0..=usize::from(given)).map(|_| draw.normal(shape)).collect();
    let differentiable: Vec<_> = (0..inputs.len()).collect();
    Case::new(label(&op, shape, given), LrnWithinChannel(op), inputs).differentiable(differentiable)
}

pub(super) fn forward(draw: &mut Draw) -> Vec<Case> {
    let both = samples().into_iter().flat_map(|s| [(s, false), (s, true)]);
    both.map(|(sample, given)| forward_case(sample, given, draw)).collect()
}

pub(super) fn random_forward(draw: &mut Draw) -> Case {
    let (sample, given) = (random(draw), draw.flip());
    forward_case(sample, given, draw)
}

pub(super) fn forward_errors() -> Vec<ErrorCase> {
    let op = LrnWithinChannel;
    let image = || TensorType::f32([1, 4, 3, 3]);
    vec![
        ErrorCase::new(op(STRONG), vec![], "takes 1 to 2 inputs"),
        ErrorCase::new(op(STRONG), vec![TensorType::f32([4, 3])], "batch, channels"),
        ErrorCase::new(op(STRONG), vec![image(), TensorType::f32([1, 4, 3, 2])], "one shape"),
        ErrorCase::new(op(Lrn { size: 0, ..STRONG }), vec![image()], "size = 0"),
        ErrorCase::new(op(Lrn { k: 0.0, ..STRONG }), vec![image()], "more than 0"),
    ]
}

fn grad_case((op, shape): (Lrn, [usize; 4]), given: bool, draw: &mut Draw) -> Case {
    let x = draw.normal(shape);
    let d = given.then(|| draw.normal(shape));
    let forward_inputs: Vec<_> = [x.clone()].into_iter().chain(d.clone()).collect();
    let outputs = crate::ops::case::forward(&LrnWithinChannel(op), &forward_inputs);
    let mut inputs = vec![x];
    inputs.extend(outputs);
    inputs.push(draw.normal(shape));
    inputs.extend(d);
    Case::new(label(&op, shape, given), LrnWithinChannelGrad(op), inputs)
}

pub(super) fn grad(draw: &mut Draw) -> Vec<Case> {
    let both = samples().into_iter().flat_map(|s| [(s, false), (s, true)]);
    both.map(|(sample, given)| grad_case(sample, given, draw)).collect()
}

pub(super) fn random_grad(draw: &mut Draw) -> Case {
    let (sample, given) = (random(draw), draw.flip());
    grad_case(sample, given, draw)
}

pub(super) fn grad_errors() -> Vec<ErrorCase> {
    let image = || TensorType::f32([1, 4, 3, 3]);
    let other = TensorType::f32([1, 4, 3, 2]);
    let op = LrnWithinChannelGrad(STRONG);
    vec![
        ErrorCase::new(op, vec![image()], "takes 4 to 5 inputs"),
        ErrorCase::new(op, vec![image(), image(), other, image()], "one shape"),
    ]
}

/// The shapes of [`samples`], and not only the window of one element, of which nothing is left.
fn centre_samples() -> Vec<(usize, [usize; 4])> {
    samples().into_iter().map(|(op, shape)| (op.size, shape)).collect()
}

fn centre_case((size, shape): (usize, [usize; 4]), draw: &mut Draw) -> Case {
    let op = LocalCentre { size };
    Case::new(format!("{size} {shape:?}"), op, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn centre(draw: &mut Draw) -> Vec<Case> {
    centre_samples().into_iter().map(|sample| centre_case(sample, draw)).collect()
}

/// Images of at least 3x3 and windows of at least 2, so that not all deviations are near 0.
fn random_centre_sample(draw: &mut Draw) -> (usize, [usize; 4]) {
    let shape = [draw.size(1, 3), draw.size(1, 4), draw.size(3, 9), draw.size(3, 9)];
    (draw.size(2, 7), shape)
}

pub(super) fn random_centre(draw: &mut Draw) -> Case {
    let sample = random_centre_sample(draw);
    centre_case(sample, draw)
}

pub(super) fn centre_errors() -> Vec<ErrorCase> {
    vec![
        ErrorCase::new(LocalCentre { size: 3 }, vec![], "takes 1 inputs"),
        ErrorCase::new(LocalCentre { size: 3 }, vec![TensorType::f32([4, 3])], "batch, channels"),
        ErrorCase::new(LocalCentre { size: 0 }, vec![TensorType::f32([1, 4, 3, 3])], "size = 0"),
    ]
}

fn centre_grad_case((size, shape): (usize, [usize; 4]), draw: &mut Draw) -> Case {
    Case::new(format!("{size} {shape:?}"), LocalCentreGrad { size }, vec![draw.normal(shape)])
}

pub(super) fn centre_grad(draw: &mut Draw) -> Vec<Case> {
    centre_samples().into_iter().map(|sample| centre_grad_case(sample, draw)).collect()
}

pub(super) fn random_centre_grad(draw: &mut Draw) -> Case {
    let sample = random_centre_sample(draw);
    centre_grad_case(sample, draw)
}

pub(super) fn centre_grad_errors() -> Vec<ErrorCase> {
    let op = |size| LocalCentreGrad { size };
    vec![
        ErrorCase::new(op(3), vec![], "takes 1 inputs"),
        ErrorCase::new(op(0), vec![TensorType::f32([1, 4, 3, 3])], "size = 0"),
    ]
}
