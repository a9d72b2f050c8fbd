//! Samples for the probes.

use super::{Copy, MultiplyAdd, Read};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

/// Random multiples of 2^-10 between 0 and 1.
fn exact(draw: &mut Draw, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let values = (0..shape.elements()).map(|_| draw.size(0, 1023) as f32 / 1024.0).collect();
    Tensor::f32(shape, values).unwrap_or_else(|_| Tensor::scalar(0.0))
}

fn chains(draw: &mut Draw, shape: impl Into<Shape>, rounds: u32) -> Case {
    let input = exact(draw, shape);
    Case::new(format!("{rounds} rounds of {}", input.ty()), MultiplyAdd { rounds }, vec![input])
}

/// No rounds and all of them, threads whose last chains are empty,
/// several workgroups.
pub(super) fn multiply_add(draw: &mut Draw) -> Vec<Case> {
    vec![
        chains(draw, [1], 16),
        chains(draw, [5], 0),
        chains(draw, [3, 7, 11], 48),
        chains(draw, [64, 64], 32),
        chains(draw, [9001], 16),
        chains(draw, [4, 64], 1024),
    ]
}

pub(super) fn random_multiply_add(draw: &mut Draw) -> Case {
    let (shape, rounds) = (draw.shape(3, 12), 16 * draw.size(0, 6) as u32);
    chains(draw, shape, rounds)
}

pub(super) fn multiply_add_errors() -> Vec<ErrorCase> {
    let op = MultiplyAdd { rounds: 16 };
    let with = |rounds: u32| {
        let inputs = vec![TensorType::f32([4])];
        ErrorCase::new(MultiplyAdd { rounds }, inputs, "a multiple of 16, at most 1024")
    };
    vec![
        ErrorCase::new(op, vec![], "takes 1 inputs"),
        ErrorCase::new(op, vec![TensorType::u32([4])], "must be f32"),
        with(1040),
        with(17),
    ]
}

fn sums(draw: &mut Draw, shape: [usize; 3]) -> Case {
    Case::new(format!("{shape:?}"), Read, vec![draw.normal(shape)])
}

/// Rows that are and are not a multiple of four, one of everything, several workgroups and bindings.
pub(super) fn read(draw: &mut Draw) -> Vec<Case> {
    let shapes = [[1, 1, 4], [4, 4, 4], [3, 5, 8], [7, 13, 12], [65, 6, 64], [40, 9, 16]];
    shapes.into_iter().map(|shape| sums(draw, shape)).collect()
}

pub(super) fn random_read(draw: &mut Draw) -> Case {
    let shape = [draw.size(1, 20), draw.size(1, 20), 4 * draw.size(1, 20)];
    sums(draw, shape)
}

pub(super) fn read_errors() -> Vec<ErrorCase> {
    vec![
        ErrorCase::new(Read, vec![], "takes 1 inputs"),
        ErrorCase::new(Read, vec![TensorType::f32([2, 3, 6])], "multiple of 4"),
        ErrorCase::new(Read, vec![TensorType::f32([3, 4])], "[blocks, rows, columns]"),
        ErrorCase::new(Read, vec![TensorType::u32([1, 1, 4])], "must be f32"),
    ]
}

fn copied(draw: &mut Draw, shape: impl Into<Shape>) -> Case {
    let input = draw.normal(shape);
    Case::new(input.ty().to_string(), Copy, vec![input])
}

/// A single element, tails of vectors and of workgroups, several workgroups and bindings.
pub(super) fn copy(draw: &mut Draw) -> Vec<Case> {
    let shapes: [&[usize]; 5] = [&[1], &[4, 4, 4], &[3, 5, 7], &[257], &[5, 4099]];
    shapes.into_iter().map(|shape| copied(draw, shape.to_vec())).collect()
}

pub(super) fn random_copy(draw: &mut Draw) -> Case {
    let shape = draw.shape(3, 20);
    copied(draw, shape)
}

pub(super) fn copy_errors() -> Vec<ErrorCase> {
    vec![
        ErrorCase::new(Copy, vec![], "takes 1 inputs"),
        ErrorCase::new(Copy, vec![TensorType::u32([4])], "must be f32"),
    ]
}
