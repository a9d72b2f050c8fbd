//! From one precision to another.

use super::vectors;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{
    Arrays, Backward, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, parallel,
};
use crate::tensor::{DType, TensorType, to_half};

/// `y = x` in another precision. Half precision takes the nearest number, and the largest finite one for
/// what is too large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cast {
    /// The element type of the output, `f32` or `f16`.
    pub to: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        if self.to == DType::U32 {
            let problem = "converts to f32 and f16 only";
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        Ok(vec![inputs[0].with_dtype(self.to)])
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (grad, to) = (g.grad_output(0)?, g.ty(g.input(0)).dtype);
        g.emit_grad(0, Cast { to }, &[grad])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = if self.to == DType::F16 { to_half(*x as f32).to_f64() } else { *x };
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        // The engine rounds what is stored in half precision, whichever op computes it.
        parallel::zip(io.outputs[0], io.inputs[0], |y, x| y.copy_from_slice(x));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("elementwise/cast.wgsl"))
                .bind_range("input", Operand::Input(0), range.clone())
                .bind_range("output", Operand::Output(0), range)
                .params(&vectors)
        }))
    }
}
