//! Running averages of weights.

use super::clip::vectors;
use super::rule::check_settings;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, parallel};
use crate::tensor::TensorType;

/// An exponential moving average, in place: `decay average + (1 - decay) weight`, and the weight itself in
/// the first step.
///
/// Inputs: `average` and `weight` of one shape, and `step` `[1]`, counted from 1. Output: the new
/// average.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ema {
    /// The share of the average that is kept; at least 0 and less than 1.
    pub decay: f64,
}

impl Default for Ema {
    fn default() -> Self {
        Ema { decay: 0.999 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    decay: f32,
    rest: f32,
}

impl Op for Ema {
    fn name(&self) -> &'static str {
        "ema"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 3..=3)?;
        expect_f32(self.name(), inputs)?;
        if inputs[0] != inputs[1] || inputs[2].dims() != [1] {
            let shapes = inputs.iter().map(|t| &t.shape);
            let problem = "average and weight must have one shape, step [1]";
            return Err(Error::shape(self.name(), shapes, problem));
        }
        check_settings(&[("decay", self.decay)], true)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 3 * types.outputs[0].elements() as u64)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let decay = if io.inputs[2].data[0] > 1.0 { self.decay } else { 0.0 };
        let (averages, weights) = (&io.inputs[0].data, &io.inputs[1].data);
        for ((new, average), weight) in io.outputs[0].data.iter_mut().zip(averages).zip(weights) {
            *new = decay * average + (1.0 - decay) * weight;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        if io.inputs[2][0] <= 1.0 {
            return io.outputs[0].copy_from_slice(io.inputs[1]);
        }
        let (decay, rest) = (self.decay as f32, (1.0 - self.decay) as f32);
        parallel::zip(io.outputs[0], io.inputs[1], |averages, weights| {
            averages.iter_mut().zip(weights).for_each(|(a, w)| *a = decay * *a + rest * w);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(vectors(types, adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("optim/ema.wgsl"))
                .bind_range("average", Operand::Output(0), range.clone())
                .bind_range("weight", Operand::Input(1), range)
                .bind("step", Operand::Input(2))
                .params(&Params {
                    vectors,
                    decay: self.decay as f32,
                    rest: (1.0 - self.decay) as f32,
                })
        }))
    }
}
