//! Samples for the sums.

use super::ChannelSum;
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, TensorType};

fn case(shape: Shape, draw: &mut Draw) -> Case {
    Case::new(shape.to_string(), ChannelSum, vec![draw.normal(shape)])
}

pub(super) fn channel_sum(draw: &mut Draw) -> Vec<Case> {
    let shapes: [Shape; 9] = [
        [4, 4, 4, 4].into(),
        [2, 3, 5, 7].into(),
        [1, 1].into(),
        [5, 3].into(),
        [67, 130].into(),
        [700, 3].into(),
        [3, 5, 1, 1].into(),
        [1, 7, 300].into(),
        [9, 2, 33, 31].into(),
    ];
    shapes.into_iter().map(|shape| case(shape, draw)).collect()
}

pub(super) fn random_channel_sum(draw: &mut Draw) -> Case {
    let rank = draw.size(2, 4);
    let shape = draw.shape(rank, 13);
    case(shape, draw)
}

pub(super) fn channel_sum_errors() -> Vec<ErrorCase> {
    let image = TensorType::f32([2, 3, 4, 4]);
    vec![
        ErrorCase::new(ChannelSum, vec![], "takes 1 inputs"),
        ErrorCase::new(ChannelSum, vec![image.clone(), image], "takes 1 inputs"),
        ErrorCase::new(ChannelSum, vec![TensorType::u32([2, 3])], "must be f32"),
        ErrorCase::new(ChannelSum, vec![TensorType::f32([0, 3])], "empty"),
        ErrorCase::new(ChannelSum, vec![TensorType::f32([3])], "at least two axes"),
    ]
}
