//! Tensors repeated along axes, and the sums that undo it.

use super::reduce::{Reduce, ReduceKind};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::shape::Reshape;
use crate::ops::shape::strided::{
    Side, Strided, contiguous, copies, expect_ranks, expect_shape, gather, indexable,
};
use crate::ops::{Arrays, Backward, CpuTensors, Op, Types, Value, expect_f32, expect_inputs};
use crate::tensor::{Shape, TensorType};

/// The input repeated along axes in which it has one element, to the shape `shape`: NumPy's
/// broadcasting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expand {
    /// The output's extents.
    pub shape: Shape,
}

/// The strides of a tensor of extents `input` that is broadcast to `output`.
pub(super) fn broadcast(input: &[usize], output: &[usize]) -> Vec<usize> {
    let own = contiguous(input);
    let missing = output.len() - input.len();
    let own = input.iter().zip(own).map(|(&d, stride)| if d == 1 { 0 } else { stride });
    std::iter::repeat_n(0, missing).chain(own).collect()
}

/// Sums `value` over the axes along which a tensor of this shape was broadcast to it.
pub(super) fn sum_to(g: &mut Backward<'_>, value: Value, shape: &Shape) -> Result<Value> {
    let dims = g.ty(value).dims();
    let missing = dims.len() - shape.rank();
    let is_broadcast = |&a: &usize| dims[a] != 1 && (a < missing || shape.dims()[a - missing] == 1);
    let axes: Vec<_> = (0..dims.len()).filter(is_broadcast).collect();
    let mut sum = value;
    if !axes.is_empty() {
        sum = g.emit(Reduce { kind: ReduceKind::Sum, axes, keepdim: true }, &[sum])?[0];
    }
    if g.ty(sum).shape != *shape {
        sum = g.emit(Reshape { shape: shape.clone() }, &[sum])?[0];
    }
    Ok(sum)
}

impl Expand {
    fn strided(&self, input: &[usize]) -> Strided<1> {
        let dims = self.shape.dims();
        Strided::new(dims, [&broadcast(input, dims)], [0])
    }
}

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        expect_ranks(self.name(), inputs)?;
        expect_shape(self.name(), inputs, &self.shape)?;
        let (from, to) = (inputs[0].dims().iter().rev(), self.shape.dims().iter().rev());
        let fits = from.zip(to).all(|(&from, &to)| from == to || from == 1);
        if inputs[0].shape.rank() > self.shape.rank() || !fits {
            let problem = format!("cannot be broadcast to {}", self.shape);
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        Ok(vec![TensorType::f32(self.shape.clone())])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (shape, grad) = (g.ty(g.input(0)).shape.clone(), g.grad_output(0)?);
        let sum = sum_to(g, grad, &shape)?;
        g.set_grad(0, sum);
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, output) = (&io.inputs[0], &mut io.outputs[0]);
        let dims = output.dims().to_vec();
        for (o, y) in output.data.iter_mut().enumerate() {
            let (mut rest, mut at, mut stride) = (o, 0, 1);
            for (&d, &own) in dims.iter().rev().zip(input.dims().iter().rev()) {
                at += if own == 1 { 0 } else { rest % d * stride };
                stride *= own;
                rest /= d;
            }
            *y = input.data[at];
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        gather(&self.strided(io.types.input(0)), io.inputs[0], io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let strided = self.strided(types.input(0));
        let operands = (Operand::Input(0), Operand::Output(0));
        let elements = types.inputs[0].elements();
        let dispatches = copies(&strided, Side::Source, operands, elements, adapter);
        Ok(vec![Variant::new("gather", dispatches)])
    }
}
