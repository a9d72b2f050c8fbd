//! Samples for the elementwise ops.

use super::{Add, AddScaled, Cast, Fill};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{DType, Shape, Tensor, TensorType};

/// Equal and distinct extents, a single element, sizes that are not whole vectors, and one that
/// takes more than one workgroup.
fn shapes() -> Vec<Shape> {
    vec![
        [4, 4, 4, 4].into(),
        [2, 3, 5, 7].into(),
        [1].into(),
        [3].into(),
        [257].into(),
        [5, 4099].into(),
    ]
}

pub(super) fn add(draw: &mut Draw) -> Vec<Case> {
    shapes().into_iter().map(|shape| add_case(shape, draw)).collect()
}

fn add_case(shape: Shape, draw: &mut Draw) -> Case {
    let inputs = vec![draw.normal(shape.clone()), draw.normal(shape.clone())];
    Case::new(shape.to_string(), Add, inputs).differentiable([0, 1])
}

pub(super) fn random_add(draw: &mut Draw) -> Case {
    let shape = draw.shape(4, 9);
    add_case(shape, draw)
}

pub(super) fn add_errors() -> Vec<ErrorCase> {
    let (a, b) = (TensorType::f32([2, 3]), TensorType::f32([2, 1]));
    vec![
        ErrorCase::new(Add, vec![a.clone(), b], "same shape"),
        ErrorCase::new(Add, vec![a.clone(), TensorType::u32([2, 3])], "must be f32"),
        ErrorCase::new(Add, vec![a.clone(), a.clone(), a], "takes 2 inputs"),
    ]
}

pub(super) fn add_scaled(draw: &mut Draw) -> Vec<Case> {
    shapes().into_iter().map(|shape| add_scaled_case(shape, draw)).collect()
}

fn add_scaled_case(shape: Shape, draw: &mut Draw) -> Case {
    let inputs =
        vec![draw.normal(shape.clone()), draw.normal(shape.clone()), draw.uniform([1], 0.1, 1.0)];
    Case::new(shape.to_string(), AddScaled, inputs)
}

pub(super) fn random_add_scaled(draw: &mut Draw) -> Case {
    let shape = draw.shape(4, 9);
    add_scaled_case(shape, draw)
}

pub(super) fn add_scaled_errors() -> Vec<ErrorCase> {
    let (a, factor) = (TensorType::f32([2, 3]), TensorType::f32([2]));
    vec![
        ErrorCase::new(AddScaled, vec![a.clone(), a.clone(), factor], "shape [1]"),
        ErrorCase::new(AddScaled, vec![a.clone(), a], "takes 3 inputs"),
    ]
}

pub(super) fn cast(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> = shapes().into_iter().map(|shape| cast_case(shape, draw)).collect();
    // Beyond the largest number, the least one that rounds to it, and below the normal ones.
    let edges = vec![7e4, -1e30, 65519.0, 6.1e-5, 5.96e-8, -2.9e-8, 0.0];
    let edges = Tensor::f32([7], edges).unwrap_or_else(|_| Tensor::scalar(1e9));
    cases.push(Case::new("too large and too small", Cast { to: DType::F16 }, vec![edges]));
    cases.push(Case::new("to itself", Cast { to: DType::F32 }, vec![draw.normal([5, 9])]));
    cases
}

fn cast_case(shape: Shape, draw: &mut Draw) -> Case {
    Case::new(shape.to_string(), Cast { to: DType::F16 }, vec![draw.normal(shape)])
}

pub(super) fn random_cast(draw: &mut Draw) -> Case {
    let shape = draw.shape(4, 9);
    cast_case(shape, draw)
}

pub(super) fn cast_errors() -> Vec<ErrorCase> {
    let to = |to| Cast { to };
    vec![
        ErrorCase::new(to(DType::U32), vec![TensorType::f32([3])], "f32 and f16"),
        ErrorCase::new(to(DType::F16), vec![TensorType::u32([3])], "must be f32"),
        ErrorCase::new(to(DType::F16), vec![], "takes 1 inputs"),
    ]
}

pub(super) fn fill(_: &mut Draw) -> Vec<Case> {
    let case = |shape: Shape| {
        Case::new(shape.to_string(), Fill { value: -1.5, ty: TensorType::f32(shape) }, vec![])
    };
    shapes().into_iter().map(case).collect()
}

pub(super) fn random_fill(draw: &mut Draw) -> Case {
    let (shape, value) = (draw.shape(2, 40), draw.size(0, 9) as f32 - 4.5);
    Case::new(shape.to_string(), Fill { value, ty: TensorType::f32(shape) }, vec![])
}

pub(super) fn fill_errors() -> Vec<ErrorCase> {
    let (value, ty) = (1.0, TensorType::u32([2]));
    vec![
        ErrorCase::new(Fill { value, ty }, vec![], "f32"),
        ErrorCase::new(Fill { value, ty: TensorType::f32([0]) }, vec![], "not empty"),
    ]
}
