//! The products by name.

use super::{Linear, MatMul};
use crate::error::Result;
use crate::ops::Value;
use crate::ops::call::{Arguments, Call, NoAttributes};
use crate::ops::shape::Reshape;

pub(super) const CALLS: &[Call] = &[
    Call::op::<MatMul>("matmul", &["input", "other"], &["output"]),
    Call::new::<NoAttributes>("linear", &["input", "weight", "bias?"], &["output"], linear),
];

/// As in PyTorch, over the last axis: all others count as the batch.
fn linear(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    arguments.attributes::<NoAttributes>()?;
    let mut inputs = arguments.in_order()?;
    let dims = arguments.ty(inputs[0]).dims().to_vec();
    let (Some((&features, batch)), true) = (dims.split_last(), dims.len() != 2) else {
        return Ok(vec![arguments.add(Linear, &inputs)?]);
    };
    let flat = Reshape { shape: [batch.iter().product(), features].into() };
    inputs[0] = arguments.add(flat, &inputs[..1])?;
    let output = arguments.add(Linear, &inputs)?;
    let outputs = arguments.ty(output).dims()[1];
    let shape = [batch, &[outputs]].concat().into();
    Ok(vec![arguments.add(Reshape { shape }, &[output])?])
}
