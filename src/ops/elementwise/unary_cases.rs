//! Samples for the functions of one number.

use super::{Kept, PRelu, PReluGradInput, PReluGradTerms, Unary, UnaryGrad};
use crate::ops::Op;
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::{Shape, Tensor, TensorType};

const FUNCTIONS: [Unary; 26] = [
    Unary::Relu,
    Unary::LeakyRelu { slope: 0.1 },
    Unary::LeakyRelu { slope: -0.5 },
    Unary::Sigmoid,
    Unary::Tanh,
    Unary::Elu { alpha: 1.0 },
    Unary::Elu { alpha: 0.3 },
    Unary::Selu,
    Unary::Silu,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Softplus { beta: 1.0, threshold: 20.0 },
    Unary::Softplus { beta: 2.5, threshold: 1.0 },
    Unary::HardSigmoid,
    Unary::HardSwish,
    Unary::Clamp { min: -0.75, max: 1.5 },
    Unary::Exp,
    Unary::Log,
    Unary::Sqrt,
    Unary::Square,
    Unary::Abs,
    Unary::Reciprocal,
    Unary::Power { exponent: 2.5 },
    Unary::Power { exponent: 3.0 },
    Unary::Power { exponent: -2.0 },
    Unary::Affine { scale: -1.5, shift: 0.25 },
];

/// Sizes that are not whole vectors, a single element, and one of more than one workgroup.
fn shapes() -> Vec<Shape> {
    vec![[2, 3, 5, 7].into(), [1].into(), [257].into()]
}

/// Values that the function is defined for.
fn domain(function: Unary, shape: Shape, draw: &mut Draw) -> Tensor {
    match function {
        Unary::Log | Unary::Sqrt | Unary::Reciprocal | Unary::Power { .. } => {
            draw.uniform(shape, 0.2, 3.0)
        }
        Unary::Exp => draw.uniform(shape, -5.0, 3.0),
        _ => draw.normal(shape),
    }
}

/// Functions that must be finite and right far out.
fn has_tails(function: Unary) -> bool {
    use Unary::{Elu, Gelu, GeluTanh, HardSigmoid, HardSwish, Selu, Sigmoid, Silu, Softplus, Tanh};
    matches!(
        function,
        Elu { .. }
            | Gelu
            | GeluTanh
            | HardSigmoid
            | HardSwish
            | Selu
            | Sigmoid
            | Silu
            | Softplus { .. }
            | Tanh
    )
}

/// Large numbers of both signs, among them the smallest that exp does not hold.
fn extremes() -> Tensor {
    let sizes = [1e4, 1e3, 110.0, 89.0, 40.0, 16.0, 9.0, 5.0];
    let data: Vec<f32> = sizes.iter().flat_map(|&x| [x, -x]).collect();
    Tensor::f32([data.len()], data).unwrap_or_else(|_| Tensor::scalar(0.0))
}

/// Numbers so small that differences from 1 would lose them.
fn tiny(draw: &mut Draw) -> Tensor {
    draw.uniform([67], -1e-4, 1e-4)
}

fn inputs(draw: &mut Draw) -> Vec<(String, Unary, Tensor)> {
    let mut inputs = vec![];
    for function in FUNCTIONS {
        for shape in shapes() {
            let label = format!("{function:?} {shape}");
            inputs.push((label, function, domain(function, shape, draw)));
        }
        if has_tails(function) {
            inputs.push((format!("{function:?} far out"), function, extremes()));
            inputs.push((format!("{function:?} near 0"), function, tiny(draw)));
        }
    }
    for shape in [[4, 4, 4, 4].into(), [5, 4099].into()] {
        for function in [Unary::Relu, Unary::Silu] {
            let label = format!("{function:?} {shape}");
            inputs.push((label, function, domain(function, Shape::clone(&shape), draw)));
        }
    }
    let cube = Unary::Power { exponent: 3.0 };
    inputs.push(("cube of any sign".into(), cube, draw.normal([33])));
    inputs
}

pub(super) fn unary(draw: &mut Draw) -> Vec<Case> {
    let cases = inputs(draw).into_iter().map(|(label, function, input)| {
        let is_far_out = label.contains("far out");
        let case = Case::new(label, function, vec![input]);
        // A finite difference drowns in the sum of numbers of that size.
        if is_far_out { case } else { case.differentiable([0]) }
    });
    cases.collect()
}

pub(super) fn random_unary(draw: &mut Draw) -> Case {
    let (function, shape) = (draw.pick(&FUNCTIONS), draw.shape(3, 12));
    let label = format!("{function:?} {shape}");
    Case::new(label, function, vec![domain(function, shape, draw)]).differentiable([0])
}

pub(super) fn unary_errors() -> Vec<ErrorCase> {
    let error = |function, says| ErrorCase::new(function, vec![TensorType::f32([3])], says);
    vec![
        ErrorCase::new(Unary::Relu, vec![], "takes 1 inputs"),
        ErrorCase::new(Unary::Relu, vec![TensorType::u32([3])], "must be f32"),
        ErrorCase::new(Unary::Relu, vec![TensorType::f32([3, 0])], "empty"),
        error(Unary::LeakyRelu { slope: f32::NAN }, "slope"),
        error(Unary::Elu { alpha: -1.0 }, "alpha"),
        error(Unary::Softplus { beta: 0.0, threshold: 20.0 }, "beta"),
        error(Unary::Softplus { beta: 1.0, threshold: f32::NAN }, "finite"),
        error(Unary::Clamp { min: 1.0, max: -1.0 }, "larger than max"),
        error(Unary::Clamp { min: f32::NAN, max: 1.0 }, "finite"),
        error(Unary::Power { exponent: f32::INFINITY }, "finite"),
        error(Unary::Affine { scale: f32::NAN, shift: 0.0 }, "finite"),
    ]
}

fn unary_grad_case(label: String, function: Unary, input: Tensor, draw: &mut Draw) -> Case {
    let grad = draw.normal(input.shape().clone());
    let kept = match function.kept() {
        Kept::Input | Kept::Nothing => vec![input],
        Kept::Output => forward(&function, &[input]),
    };
    Case::new(label, UnaryGrad(function), [vec![grad], kept].concat())
}

pub(super) fn unary_grad(draw: &mut Draw) -> Vec<Case> {
    let inputs = inputs(draw).into_iter();
    inputs.map(|(label, f, input)| unary_grad_case(label, f, input, draw)).collect()
}

pub(super) fn random_unary_grad(draw: &mut Draw) -> Case {
    let (function, shape) = (draw.pick(&FUNCTIONS), draw.shape(3, 12));
    let label = format!("{function:?} {shape}");
    let input = domain(function, shape, draw);
    unary_grad_case(label, function, input, draw)
}

pub(super) fn unary_grad_errors() -> Vec<ErrorCase> {
    let (a, b) = (TensorType::f32([2, 3]), TensorType::f32([3, 2]));
    vec![
        ErrorCase::new(UnaryGrad(Unary::Relu), vec![a.clone()], "takes 2 inputs"),
        ErrorCase::new(UnaryGrad(Unary::Relu), vec![a, b], "same shape"),
    ]
}

fn prelu_inputs(shape: Shape, shared: bool, draw: &mut Draw) -> Vec<Tensor> {
    let slopes = if shared { 1 } else { shape.dims()[1] };
    vec![draw.normal(shape), draw.normal([slopes])]
}

fn prelu_shapes() -> Vec<(Shape, bool)> {
    vec![
        ([4, 4, 4, 4].into(), false),
        ([2, 3, 5, 7].into(), false),
        ([2, 3, 5, 7].into(), true),
        ([9, 5].into(), false),
        ([1, 1, 3].into(), false),
        ([257].into(), true),
        ([3, 6, 31, 9].into(), false),
    ]
}

fn label(shape: &Shape, shared: bool) -> String {
    format!("{shape}, {}", if shared { "one slope" } else { "a slope a channel" })
}

pub(super) fn prelu(draw: &mut Draw) -> Vec<Case> {
    let cases = prelu_shapes().into_iter().map(|(shape, shared)| {
        Case::new(label(&shape, shared), PRelu {}, prelu_inputs(shape, shared, draw))
            .differentiable([0, 1])
    });
    cases.collect()
}

pub(super) fn random_prelu(draw: &mut Draw) -> Case {
    let (rank, shared) = (draw.size(2, 4), draw.flip());
    let shape = draw.shape(rank, 9);
    Case::new(label(&shape, shared), PRelu {}, prelu_inputs(shape, shared, draw))
        .differentiable([0, 1])
}

pub(super) fn prelu_errors() -> Vec<ErrorCase> {
    let (x, w) = (TensorType::f32([2, 3, 4]), TensorType::f32([3]));
    vec![
        ErrorCase::new(PRelu {}, vec![x.clone()], "takes 2 inputs"),
        ErrorCase::new(PRelu {}, vec![x.clone(), TensorType::f32([2])], "[channels] or [1]"),
        ErrorCase::new(PRelu {}, vec![TensorType::f32([3]), w], "[channels] or [1]"),
        ErrorCase::new(PRelu {}, vec![x, TensorType::u32([3])], "must be f32"),
    ]
}

fn prelu_grad_case(op: impl Op + 'static, shape: Shape, shared: bool, draw: &mut Draw) -> Case {
    let (label, grad) = (label(&shape, shared), draw.normal(shape.clone()));
    Case::new(label, op, [vec![grad], prelu_inputs(shape, shared, draw)].concat())
}

fn prelu_grad_cases(op: impl Op + Copy + 'static, draw: &mut Draw) -> Vec<Case> {
    let shapes = prelu_shapes().into_iter();
    shapes.map(|(shape, shared)| prelu_grad_case(op, shape, shared, draw)).collect()
}

fn random_prelu_grad(op: impl Op + 'static, draw: &mut Draw) -> Case {
    let (rank, shared) = (draw.size(2, 4), draw.flip());
    let shape = draw.shape(rank, 9);
    prelu_grad_case(op, shape, shared, draw)
}

fn prelu_grad_errors(op: impl Op + Copy + 'static) -> Vec<ErrorCase> {
    let (x, w) = (TensorType::f32([2, 3, 4]), TensorType::f32([3]));
    let other = TensorType::f32([2, 3, 5]);
    vec![
        ErrorCase::new(op, vec![x.clone(), w.clone()], "takes 3 inputs"),
        ErrorCase::new(op, vec![other, x.clone(), w], "same shape"),
        ErrorCase::new(op, vec![x.clone(), x, TensorType::f32([4])], "[channels] or [1]"),
    ]
}

pub(super) fn prelu_grad_input(draw: &mut Draw) -> Vec<Case> {
    prelu_grad_cases(PReluGradInput, draw)
}

pub(super) fn random_prelu_grad_input(draw: &mut Draw) -> Case {
    random_prelu_grad(PReluGradInput, draw)
}

pub(super) fn prelu_grad_input_errors() -> Vec<ErrorCase> {
    prelu_grad_errors(PReluGradInput)
}

pub(super) fn prelu_grad_terms(draw: &mut Draw) -> Vec<Case> {
    prelu_grad_cases(PReluGradTerms, draw)
}

pub(super) fn random_prelu_grad_terms(draw: &mut Draw) -> Case {
    random_prelu_grad(PReluGradTerms, draw)
}

pub(super) fn prelu_grad_terms_errors() -> Vec<ErrorCase> {
    prelu_grad_errors(PReluGradTerms)
}
