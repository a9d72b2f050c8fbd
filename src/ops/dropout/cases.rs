//! Samples for dropout.

use super::{Dropout, Dropout2d};
use crate::ops::Op;
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

fn case(
    op: impl Op + Copy + 'static,
    shape: impl Into<Shape>,
    counter: [u32; 4],
    draw: &mut Draw,
) -> Case {
    let shape = shape.into();
    let label = format!("{op:?} {shape}, counter {counter:08x?}");
    let counter = Tensor::u32([4], counter.to_vec()).unwrap_or_else(|_| Tensor::scalar(0.0));
    Case::new(label, op, vec![draw.normal(shape), counter]).differentiable([0])
}

/// Blocks that samples do and do not share, seeds and offsets that fill 32 bits (products of high
/// halves carry), a sample offset whose element number passes 2^32, several workgroups.
pub(super) fn cases(draw: &mut Draw) -> Vec<Case> {
    let half = Dropout { p: 0.5, layer: 0 };
    vec![
        case(half, [4, 4, 4, 4], [0, 0, 0, 0], draw),
        case(half, [2, 3, 5, 7], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 3], draw),
        case(Dropout { p: 0.1, layer: 7 }, [5, 3], [1, 2, 3, 1], draw),
        case(Dropout { p: 0.1, layer: 7 }, [5, 3], [1, 2, 3, 2], draw),
        case(Dropout { p: 0.1, layer: 7 }, [5, 3], [1, 2, 3, 5], draw),
        case(Dropout { p: 0.0, layer: 1 }, [3, 5], [9, 9, 9, 0], draw),
        case(Dropout { p: 0.999, layer: u32::MAX }, [1, 4099], [u32::MAX; 4], draw),
        case(Dropout { p: 0.25, layer: 2 }, [2, 4096], [5, 6, 7, 1_500_000], draw),
        case(half, [1], [4, 3, 2, 1], draw),
    ]
}

pub(super) fn random(draw: &mut Draw) -> Case {
    let shape = draw.shape(3, 12);
    let p = draw.pick(&[0.0, 0.1, 0.25, 0.5, 0.9]);
    let layer = draw.size(0, 1 << 20) as u32;
    let mut word = || draw.size(0, u32::MAX as usize - 1) as u32;
    let (low, high, step) = (word(), word(), word());
    let offset = draw.size(0, 5000) as u32;
    case(Dropout { p, layer }, shape, [low, high, step, offset], draw)
}

pub(super) fn errors() -> Vec<ErrorCase> {
    let inputs = || vec![TensorType::f32([2, 3]), TensorType::u32([4])];
    let with = |p: f32| ErrorCase::new(Dropout { p, layer: 0 }, inputs(), "less than 1");
    let half = Dropout { p: 0.5, layer: 0 };
    vec![
        with(1.0),
        with(-0.1),
        with(f32::NAN),
        ErrorCase::new(half, inputs()[..1].to_vec(), "takes 2 inputs"),
        ErrorCase::new(half, vec![TensorType::f32([2]), TensorType::u32([3])], "u32[4]"),
        ErrorCase::new(half, vec![TensorType::f32([2]), TensorType::f32([4])], "u32[4]"),
        ErrorCase::new(half, vec![TensorType::u32([2]), TensorType::u32([4])], "must be f32"),
    ]
}

/// Planes that vectors do and do not share, and a plane number that passes 2^32.
pub(super) fn planes(draw: &mut Draw) -> Vec<Case> {
    let half = Dropout2d { p: 0.5, layer: 0 };
    let rare = Dropout2d { p: 0.1, layer: 7 };
    vec![
        case(half, [4, 4, 4, 4], [0, 0, 0, 0], draw),
        case(half, [2, 3, 5, 7], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 3], draw),
        case(rare, [5, 3], [1, 2, 3, 1], draw),
        case(rare, [3, 9, 1, 1], [1, 2, 3, 2], draw),
        case(rare, [2, 7, 3], [1, 2, 3, 5], draw),
        case(Dropout2d { p: 0.0, layer: 1 }, [3, 5, 2, 2], [9, 9, 9, 0], draw),
        case(Dropout2d { p: 0.9, layer: u32::MAX }, [2, 3, 50, 41], [u32::MAX; 4], draw),
        case(Dropout2d { p: 0.25, layer: 2 }, [2, 4096, 2], [5, 6, 7, 1_500_000], draw),
    ]
}

pub(super) fn random_planes(draw: &mut Draw) -> Case {
    let rank = draw.size(2, 4);
    let shape = draw.shape(rank, 9);
    let op = Dropout2d { p: draw.pick(&[0.0, 0.1, 0.5, 0.9]), layer: draw.size(0, 99) as u32 };
    let mut word = || draw.size(0, u32::MAX as usize - 1) as u32;
    let (low, high, step) = (word(), word(), word());
    let offset = draw.size(0, 5000) as u32;
    case(op, shape, [low, high, step, offset], draw)
}

pub(super) fn plane_errors() -> Vec<ErrorCase> {
    let inputs = || vec![TensorType::f32([2, 3, 4, 4]), TensorType::u32([4])];
    let half = Dropout2d { p: 0.5, layer: 0 };
    vec![
        ErrorCase::new(Dropout2d { p: 1.0, layer: 0 }, inputs(), "less than 1"),
        ErrorCase::new(half, inputs()[..1].to_vec(), "takes 2 inputs"),
        ErrorCase::new(half, vec![TensorType::f32([2]), TensorType::u32([4])], "[batch, channels"),
        ErrorCase::new(half, vec![TensorType::f32([2, 2]), TensorType::u32([3])], "u32[4]"),
    ]
}
