//! Dropout of whole channels.

use rayon::prelude::*;

use super::Dropout;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Half, Op, Types, as_u32};
use crate::philox::{philox4x32, uniform};
use crate::tensor::TensorType;

/// Sets each channel of each sample to 0 with probability `p` and divides the others by `1 - p`, in
/// place (Tompson et al., 2015).
///
/// Inputs and output as [`Dropout`]'s, `x` of shape `[batch, channels, ...]`. A channel is kept where
/// [`Dropout`] would keep its element in a tensor `[batch, channels]`.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dropout2d {
    /// The probability with which a channel becomes 0; at least 0 and less than 1.
    pub p: f32,
    /// Tells the draws of one layer from another's; no two dropout layers of a graph share it.
    pub layer: u32,
}

impl Default for Dropout2d {
    fn default() -> Self {
        Dropout2d { p: 0.5, layer: 0 }
    }
}

impl Dropout2d {
    fn elements(&self) -> Dropout {
        Dropout { p: self.p, layer: self.layer }
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    first: u32,
    inner: u32,
    channels: u32,
    layer: u32,
    threshold: u32,
    scale: f32,
}

impl Op for Dropout2d {
    fn name(&self) -> &'static str {
        "dropout2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.elements().check(self.name(), inputs)?;
        if inputs[0].dims().len() < 2 {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "needs [batch, channels, ...]"));
        }
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        g.emit_grad(0, *self, &[g.grad_output(0)?, g.input(1)])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [seed_low, seed_high, step, sample_offset] =
            [0, 1, 2, 3].map(|i| io.inputs[1].data[i] as u32);
        let dims = io.inputs[0].dims();
        let (channels, inner) = (dims[1], dims[2..].iter().product::<usize>());
        for (i, &x) in io.inputs[0].data.iter().enumerate() {
            let plane = u64::from(sample_offset) * channels as u64 + (i / inner) as u64;
            let counter = [(plane / 4) as u32, self.layer, step, 0];
            let words = philox4x32(counter, [seed_low, seed_high]);
            if uniform(words[(plane % 4) as usize]) >= self.p {
                io.outputs[0].data[i] = x / (1.0 - f64::from(self.p));
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let &[low, high, step, sample_offset] = as_u32(io.inputs[1]) else { return };
        let dims = io.types.input(0);
        let (channels, inner) = (dims[1], dims[2..].iter().product::<usize>());
        let first = u64::from(sample_offset) * channels as u64;
        let (threshold, scale) = (self.elements().threshold(), self.elements().scale());
        let planes = io.outputs[0].par_chunks_mut(inner).enumerate();
        planes.with_min_len((8192 / inner).max(1)).for_each(|(plane, part)| {
            let plane = first + plane as u64;
            let words = philox4x32([(plane / 4) as u32, self.layer, step, 0], [low, high]);
            if words[(plane % 4) as usize] >> 8 >= threshold {
                part.iter_mut().for_each(|x| *x *= scale);
            } else {
                part.fill(0.0);
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let dims = types.input(0);
        let (channels, inner) = (dims[1], dims[2..].iter().product::<usize>());
        let dispatches = adapter.pieces(types.outputs[0].elements()).into_iter().map(|range| {
            let vectors = range.len().div_ceil(4);
            Dispatch::new(crate::kernel::shader!("dropout/dropout2d.wgsl"))
                .bind_range("data", Operand::Output(0), range.clone())
                .bind("counter", Operand::Input(1))
                .params(&Params {
                    vectors: vectors as u32,
                    first: range.start as u32,
                    inner: inner as u32,
                    channels: channels as u32,
                    layer: self.layer,
                    threshold: self.elements().threshold(),
                    scale: self.elements().scale(),
                })
                .threads(vectors)
                .reads_ahead()
        });
        Ok(vec![Variant::new("vec4", dispatches.collect())])
    }
}
