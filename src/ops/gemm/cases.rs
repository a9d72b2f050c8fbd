//! Samples for the matrix products.

use super::{Linear, LinearGradInput, LinearGradWeight, LinearRelu, MatMul};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, TensorType};

const ORIENTATIONS: [MatMul; 4] = [
    MatMul { trans_a: false, trans_b: false },
    MatMul { trans_a: true, trans_b: false },
    MatMul { trans_a: false, trans_b: true },
    MatMul { trans_a: true, trans_b: true },
];

/// Equal and distinct extents, single elements and rows, whole and broken vectors, more than one
/// tile along each axis, a long sum behind few outputs. Large enough, with the tests' small
/// bindings, to be cut along m, n and k.
pub(super) fn matmul(draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![];
    for op in ORIENTATIONS {
        cases.push(matmul_case(op, None, [64, 64, 64], draw));
        cases.push(matmul_case(op, None, [33, 70, 45], draw));
        cases.push(matmul_case(op, Some(3), [6, 70, 9], draw));
    }
    let [plain, .., dots, _] = ORIENTATIONS;
    cases.push(matmul_case(plain, None, [1, 1, 1], draw));
    cases.push(matmul_case(plain, None, [130, 132, 36], draw));
    cases.push(matmul_case(plain, Some(20), [1, 5, 2], draw));
    cases.push(matmul_case(dots, None, [5, 3, 390], draw));
    cases.push(matmul_case(dots, None, [300, 2, 1], draw));
    cases
}

fn matmul_case(op: MatMul, batch: Option<usize>, [m, n, k]: [usize; 3], draw: &mut Draw) -> Case {
    let shape = |rows, columns, transposed: bool| {
        let [rows, columns] = if transposed { [columns, rows] } else { [rows, columns] };
        batch.into_iter().chain([rows, columns]).collect::<Vec<_>>()
    };
    let (a, b) = (shape(m, k, op.trans_a), shape(k, n, op.trans_b));
    let transposed = |yes: bool| if yes { "t" } else { "n" };
    let orientation = format!("{}{}", transposed(op.trans_a), transposed(op.trans_b));
    let label = format!("{orientation} {m} x {n} x {k}, batch {}", batch.unwrap_or(1));
    Case::new(label, op, vec![draw.normal(a), draw.normal(b)]).differentiable([0, 1])
}

pub(super) fn random_matmul(draw: &mut Draw) -> Case {
    let op = draw.pick(&ORIENTATIONS);
    let batch = draw.flip().then(|| draw.size(1, 4));
    let extents = [draw.size(1, 40), draw.size(1, 40), draw.size(1, 90)];
    matmul_case(op, batch, extents, draw)
}

pub(super) fn matmul_errors() -> Vec<ErrorCase> {
    let plain = MatMul::default();
    let f32 = |dims: &[usize]| TensorType::f32(dims);
    vec![
        ErrorCase::new(plain, vec![f32(&[2, 3])], "takes 2 inputs"),
        ErrorCase::new(plain, vec![f32(&[2, 3]), f32(&[4, 5])], "[m, k] and [k, n]"),
        ErrorCase::new(ORIENTATIONS[3], vec![f32(&[2, 3]), f32(&[2, 4])], "[k, m] and [n, k]"),
        ErrorCase::new(plain, vec![f32(&[4, 2, 3]), f32(&[5, 3, 2])], "one batch extent"),
        ErrorCase::new(plain, vec![f32(&[4, 2, 3]), f32(&[3, 2])], "a batch of both"),
        ErrorCase::new(plain, vec![f32(&[3]), f32(&[3])], "[m, k]"),
        ErrorCase::new(plain, vec![f32(&[2, 3]), TensorType::u32([3, 2])], "must be f32"),
        ErrorCase::new(plain, vec![f32(&[2, 0]), f32(&[0, 2])], "empty"),
    ]
}

/// Shapes of x, with the number of outputs: equal and distinct extents, images, a batch of one, a
/// single output, and layers whose weight exceeds the tests' small bindings, with single rows that
/// do as well.
fn layers() -> Vec<(Shape, usize)> {
    vec![
        ([16, 16].into(), 16),
        ([5, 3, 2, 7].into(), 10),
        ([1, 64].into(), 12),
        ([7, 9].into(), 1),
        ([3, 2, 50].into(), 130),
        ([2, 5001].into(), 3),
    ]
}

fn random_layer(draw: &mut Draw) -> (Shape, usize) {
    let shape = if draw.flip() { draw.shape(2, 40) } else { draw.shape(4, 6) };
    (shape, draw.size(1, 40))
}

pub(super) fn linear(draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![];
    for (x, outputs) in layers() {
        cases.push(linear_case(x.clone(), outputs, true, draw));
        cases.push(linear_case(x, outputs, false, draw));
    }
    cases
}

fn linear_case(x: Shape, outputs: usize, has_bias: bool, draw: &mut Draw) -> Case {
    let label = format!("{x} to {outputs}{}", if has_bias { ", bias" } else { "" });
    let weight = draw.normal([outputs, x.per_sample()]);
    let mut inputs = vec![draw.normal(x), weight];
    inputs.extend(has_bias.then(|| draw.normal([outputs])));
    let differentiable: Vec<_> = (0..inputs.len()).collect();
    Case::new(label, Linear, inputs).differentiable(differentiable)
}

pub(super) fn random_linear(draw: &mut Draw) -> Case {
    let (x, outputs) = random_layer(draw);
    let has_bias = draw.flip();
    linear_case(x, outputs, has_bias, draw)
}

fn with_relu(Case { label, inputs, .. }: Case) -> Case {
    Case::new(label, LinearRelu, inputs)
}

pub(super) fn linear_relu(draw: &mut Draw) -> Vec<Case> {
    linear(draw).into_iter().map(with_relu).collect()
}

pub(super) fn random_linear_relu(draw: &mut Draw) -> Case {
    with_relu(random_linear(draw))
}

pub(super) fn linear_relu_errors() -> Vec<ErrorCase> {
    let inputs = vec![TensorType::f32([2, 9]), TensorType::f32([8, 7])];
    vec![ErrorCase::new(LinearRelu, inputs, "weight must be [out, 9]")]
}

pub(super) fn linear_errors() -> Vec<ErrorCase> {
    let f32 = |dims: &[usize]| TensorType::f32(dims);
    let x = f32(&[2, 256, 6, 6]);
    vec![
        ErrorCase::new(Linear, vec![x.clone()], "takes 2 to 3 inputs"),
        ErrorCase::new(
            Linear,
            vec![x.clone(), f32(&[4096, 9000])],
            "weight must be [out, 9216] for an input of [2, 256, 6, 6]",
        ),
        ErrorCase::new(Linear, vec![x.clone(), f32(&[9216])], "weight must be [out, 9216]"),
        ErrorCase::new(Linear, vec![x, f32(&[8, 9216]), f32(&[1, 8])], "bias must be [8]"),
        ErrorCase::new(Linear, vec![f32(&[9216]), f32(&[8, 9216])], "must be [batch, ...]"),
        ErrorCase::new(Linear, vec![TensorType::u32([2, 4]), f32(&[8, 4])], "must be f32"),
    ]
}

pub(super) fn linear_grad_input(draw: &mut Draw) -> Vec<Case> {
    layers().into_iter().map(|(x, outputs)| grad_input_case(x, outputs, draw)).collect()
}

fn grad_input_case(x: Shape, outputs: usize, draw: &mut Draw) -> Case {
    let label = format!("{x} to {outputs}");
    let inputs = vec![draw.normal([x.dims()[0], outputs]), draw.normal([outputs, x.per_sample()])];
    Case::new(label, LinearGradInput { input: x }, inputs)
}

pub(super) fn random_linear_grad_input(draw: &mut Draw) -> Case {
    let (x, outputs) = random_layer(draw);
    grad_input_case(x, outputs, draw)
}

pub(super) fn linear_grad_input_errors() -> Vec<ErrorCase> {
    let f32 = |dims: &[usize]| TensorType::f32(dims);
    let op = LinearGradInput { input: [2, 3, 4].into() };
    vec![
        ErrorCase::new(op.clone(), vec![f32(&[2, 5])], "takes 2 inputs"),
        ErrorCase::new(op.clone(), vec![f32(&[3, 5]), f32(&[5, 12])], "gradient [2, out]"),
        ErrorCase::new(op.clone(), vec![f32(&[2, 5]), f32(&[6, 12])], "weight [out, 12]"),
        ErrorCase::new(op, vec![f32(&[2, 5]), f32(&[5, 11])], "for an input of [2, 3, 4]"),
        ErrorCase::new(
            LinearGradInput { input: [2].into() },
            vec![f32(&[2, 5]), f32(&[5, 1])],
            "must be [batch, ...]",
        ),
    ]
}

pub(super) fn linear_grad_weight(draw: &mut Draw) -> Vec<Case> {
    layers().into_iter().map(|(x, outputs)| grad_weight_case(x, outputs, draw)).collect()
}

fn grad_weight_case(x: Shape, outputs: usize, draw: &mut Draw) -> Case {
    let label = format!("{x} to {outputs}");
    let grad = draw.normal([x.dims()[0], outputs]);
    Case::new(label, LinearGradWeight, vec![draw.normal(x), grad])
}

pub(super) fn random_linear_grad_weight(draw: &mut Draw) -> Case {
    let (x, outputs) = random_layer(draw);
    grad_weight_case(x, outputs, draw)
}

pub(super) fn linear_grad_weight_errors() -> Vec<ErrorCase> {
    let f32 = |dims: &[usize]| TensorType::f32(dims);
    vec![
        ErrorCase::new(LinearGradWeight, vec![f32(&[2, 5])], "takes 2 inputs"),
        ErrorCase::new(LinearGradWeight, vec![f32(&[2, 5]), f32(&[3, 4])], "gradient [2, out]"),
        ErrorCase::new(LinearGradWeight, vec![f32(&[2]), f32(&[2, 4])], "must be [batch, ...]"),
    ]
}
