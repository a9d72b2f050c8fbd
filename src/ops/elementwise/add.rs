//! Sums of two tensors.

use super::vectors;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, parallel,
};
use crate::tensor::TensorType;

/// `y = a + b`, over `a` in place. Both of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Add;

/// `y = a + factor[0] * b`, over `a` in place. Inputs: `a`, `b` of one shape, `factor` `[1]`.
///
/// It adds up the gradients of micro-batches, each weighted by its share of the batch.
#[derive(Clone, Copy, Debug)]
pub struct AddScaled;

/// Errors unless both have the same shape.
pub(super) fn same_shapes(op: &'static str, a: &TensorType, b: &TensorType) -> Result<()> {
    if a.shape == b.shape {
        return Ok(());
    }
    Err(Error::shape(op, [&a.shape, &b.shape], "both must have the same shape"))
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
}

fn dispatches(types: &Types, adapter: &Adapter, factor: Option<Operand>) -> Vec<Variant> {
    vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
        let dispatch = Dispatch::new(crate::kernel::shader!("elementwise/add.wgsl"))
            .constant("SCALED", factor.is_some())
            .bind_range("sum", Operand::Output(0), range.clone())
            .bind_range("addend", Operand::Input(1), range.clone())
            .params(&Params { vectors });
        match factor {
            Some(factor) => dispatch.bind("factor", factor),
            // Something must be bound; it is not read.
            None => dispatch.bind_range("factor", Operand::Input(1), range),
        }
    })
}

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        same_shapes(self.name(), &inputs[0], &inputs[1])?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let grad = g.grad_output(0)?;
        g.set_grad(0, grad);
        g.set_grad(1, grad);
        Ok(())
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn half(&self) -> Half {
        Half::taken(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (a, b) = (&io.inputs[0].data, &io.inputs[1].data);
        for ((y, a), b) in io.outputs[0].data.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::zip(io.outputs[0], io.inputs[1], |sum, addend| {
            sum.iter_mut().zip(addend).for_each(|(s, a)| *s += a);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(dispatches(types, adapter, None))
    }
}

impl Op for AddScaled {
    fn name(&self) -> &'static str {
        "add_scaled"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 3..=3)?;
        expect_f32(self.name(), inputs)?;
        same_shapes(self.name(), &inputs[0], &inputs[1])?;
        if inputs[2].dims() != [1] {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "the factor must have shape [1]"));
        }
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * types.outputs[0].elements() as u64)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (a, b, factor) = (&io.inputs[0].data, &io.inputs[1].data, io.inputs[2].data[0]);
        for ((y, a), b) in io.outputs[0].data.iter_mut().zip(a).zip(b) {
            *y = a + factor * b;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let factor = io.inputs[2][0];
        parallel::zip(io.outputs[0], io.inputs[1], |sum, addend| {
            sum.iter_mut().zip(addend).for_each(|(s, a)| *s += factor * a);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(dispatches(types, adapter, Some(Operand::Input(2))))
    }
}
