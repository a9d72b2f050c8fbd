//! Constants.

use super::vectors;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, CpuTensors, Op, Types, expect_inputs, parallel};
use crate::tensor::{DType, TensorType};

/// A tensor that holds `value` everywhere. No inputs.
#[derive(Clone, Debug)]
pub struct Fill {
    /// The value of each element.
    pub value: f32,
    /// The type of the output; `f32`.
    pub ty: TensorType,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    value: f32,
}

impl Op for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 0..=0)?;
        if self.ty.dtype != DType::F32 || self.ty.elements() == 0 {
            let problem =
                format!("fills an f32 tensor that is not empty, {} was asked for", self.ty);
            return Err(Error::shape(self.name(), [], problem));
        }
        Ok(vec![self.ty.clone()])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        io.outputs[0].data.fill(f64::from(self.value));
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::each(io.outputs[0], |part| part.fill(self.value));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let value = self.value;
        Ok(vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("elementwise/fill.wgsl"))
                .bind_range("output", Operand::Output(0), range)
                .params(&Params { vectors, value })
        }))
    }
}
