//! Running statistics.

use super::forward::expect_types;
use super::gpu;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, parallel};
use crate::tensor::TensorType;

/// `average = (1 - momentum) * average + momentum * scale * value`, in place.
///
/// Inputs: `average` and `value`, of one shape. Output: the new average. It has no gradient.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MovingAverage {
    /// The share of the new value; from 0 to 1.
    pub momentum: f32,
    /// A factor of the value, such as `m / (m - 1)` for the unbiased variance from that of `m` values.
    pub scale: f64,
}

impl Op for MovingAverage {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        expect_types(self.name(), inputs, 1..2, "the value", &inputs[0])?;
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::setting("momentum", self.momentum, "give a number from 0 to 1"));
        }
        if !self.scale.is_finite() {
            return Err(Error::setting("scale", self.scale, "give a finite number"));
        }
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 3 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        2
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (momentum, scale) = (f64::from(self.momentum), self.scale);
        let elements = io.inputs[0].data.iter().zip(&io.inputs[1].data);
        for (new, (average, value)) in io.outputs[0].data.iter_mut().zip(elements) {
            *new = (1.0 - momentum) * average + momentum * scale * value;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let (keep, take) = (1.0 - self.momentum, self.momentum * self.scale as f32);
        parallel::zip(io.outputs[0], io.inputs[1], |average, value| {
            average.iter_mut().zip(value).for_each(|(a, v)| *a = keep * *a + take * v);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let dispatch = |range: std::ops::Range<usize>| {
            let params = gpu::Pointwise {
                items: range.len() as u32,
                a: 1.0 - self.momentum,
                b: self.momentum * self.scale as f32,
            };
            Dispatch::new(crate::kernel::shader!("norm/moving_average.wgsl"))
                .bind_range("average", Operand::Output(0), range.clone())
                .bind_range("value", Operand::Input(1), range.clone())
                .params(&params)
                .threads(range.len())
                .reads_ahead()
        };
        let chunks = adapter.chunks(types.inputs[0].elements());
        Ok(vec![Variant::new("plain", chunks.into_iter().map(dispatch).collect())])
    }
}
