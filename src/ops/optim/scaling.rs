//! Dynamic loss scaling, for gradients in half precision (Micikevicius et al. 2018, section 3.2).

use rayon::prelude::*;

use super::clip::summed;
use super::rule::check_settings;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, CpuTensors, Half, Op, Types, expect_f32, expect_inputs};
use crate::tensor::{LARGEST_HALF, TensorType};

/// How many elements are too large for half precision, `[1]`, added to a second input `count` `[1]` where
/// `running`. Infinities and what is no number count; neither is compared with, their bits are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflows {
    /// Whether there is a second input, over which the result is written.
    pub running: bool,
}

fn is_overflow(x: f32) -> bool {
    x.to_bits() & 0x7fff_ffff >= LARGEST_HALF.to_bits()
}

impl Op for Overflows {
    fn name(&self) -> &'static str {
        "overflows"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = 1 + usize::from(self.running);
        expect_inputs(self.name(), inputs, count..=count)?;
        expect_f32(self.name(), inputs)?;
        expect_singles(self.name(), inputs, 1)?;
        Ok(vec![TensorType::f32([1])])
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        if self.running { &[(1, 0)] } else { &[] }
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let before = io.inputs.get(1).map_or(0.0, |count| count.data[0]);
        let found = io.inputs[0].data.iter().filter(|x| x.abs() >= f64::from(LARGEST_HALF)).count();
        io.outputs[0].data[0] = before + found as f64;
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let parts = io.inputs[0].par_chunks(16 * 1024);
        let found: usize = parts.map(|p| p.iter().filter(|x| is_overflow(**x)).count()).sum();
        let before = if self.running { io.outputs[0][0] } else { 0.0 };
        io.outputs[0][0] = before + found as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(summed(types, adapter, true, self.running))
    }
}

/// What a step does about the scale of its loss. Where there was an overflow the scale is multiplied by
/// `backoff` and the learning rate becomes negative, which tells optimizers to leave everything as it is;
/// after `interval` steps in a row without one the scale is multiplied by `growth`.
///
/// Inputs: `scale`, `steps` since it last changed, `overflows`, `learning_rate`, all `[1]`. Outputs: the new
/// scale and the new steps, over the old ones, and the learning rate or -1.
///
/// Source: Micikevicius et al. 2018; PyTorch's GradScaler.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LossScale {
    /// The factor after `interval` steps; at least 1.
    pub growth: f64,
    /// The factor after an overflow; at most 1.
    pub backoff: f64,
    /// Steps in a row without an overflow after which the scale grows.
    pub interval: u32,
}

impl Default for LossScale {
    /// Twice after 2,000 steps, half after an overflow.
    fn default() -> Self {
        LossScale { growth: 2.0, backoff: 0.5, interval: 2000 }
    }
}

/// The scale is kept between these: with more, nothing is gained, and with less, nothing is scaled.
const SCALES: (f32, f32) = (1.0, 16_777_216.0);

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    growth: f32,
    backoff: f32,
    interval: f32,
    least: f32,
    most: f32,
}

impl Op for LossScale {
    fn name(&self) -> &'static str {
        "loss_scale"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 4..=4)?;
        expect_f32(self.name(), inputs)?;
        expect_singles(self.name(), inputs, 0)?;
        check_settings(&[("growth", self.growth), ("backoff", self.backoff)], false)?;
        if self.growth < 1.0 || self.backoff > 1.0 || self.backoff == 0.0 || self.interval == 0 {
            let remedy = "grows by 1 or more, backs off by 1 or less, after 1 step or more";
            return Err(Error::setting("loss scale", format!("{self:?}"), remedy));
        }
        Ok(vec![TensorType::f32([1]); 3])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 1)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [scale, steps, overflows, rate] = [0, 1, 2, 3].map(|i| io.inputs[i].data[0]);
        let interval = f64::from(self.interval);
        let (factor, steps, rate) = match (overflows > 0.0, steps + 1.0 >= interval) {
            (true, _) => (self.backoff, 0.0, -1.0),
            (false, true) => (self.growth, 0.0, rate),
            (false, false) => (1.0, steps + 1.0, rate),
        };
        let (least, most) = (f64::from(SCALES.0), f64::from(SCALES.1));
        io.outputs[0].data[0] = (scale * factor).clamp(least, most);
        io.outputs[1].data[0] = steps;
        io.outputs[2].data[0] = rate;
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let (scale, steps) = (io.outputs[0][0], io.outputs[1][0] + 1.0);
        let (factor, steps, rate) = match (io.inputs[2][0] > 0.0, steps >= self.interval as f32) {
            (true, _) => (self.backoff as f32, 0.0, -1.0),
            (false, true) => (self.growth as f32, 0.0, io.inputs[3][0]),
            (false, false) => (1.0, steps, io.inputs[3][0]),
        };
        io.outputs[0][0] = (scale * factor).clamp(SCALES.0, SCALES.1);
        io.outputs[1][0] = steps;
        io.outputs[2][0] = rate;
    }

    fn gpu(&self, _: &Types, _: &Adapter) -> Result<Vec<Variant>> {
        let dispatch = Dispatch::new(crate::kernel::shader!("optim/loss_scale.wgsl"))
            .bind("scale", Operand::Output(0))
            .bind("steps", Operand::Output(1))
            .bind("overflows", Operand::Input(2))
            .bind("learning_rate", Operand::Input(3))
            .bind("rate", Operand::Output(2))
            .params(&Params {
                growth: self.growth as f32,
                backoff: self.backoff as f32,
                interval: self.interval as f32,
                least: SCALES.0,
                most: SCALES.1,
            });
        Ok(vec![Variant::new("single", vec![dispatch])])
    }
}

/// The number of this step: one more than `step`, or `step` where the learning rate is negative and the
/// step does not count. Inputs: `step` and `learning_rate`, both `[1]`. Output: `[1]`, over `step`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count;

impl Op for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        expect_singles(self.name(), inputs, 0)?;
        Ok(inputs[..1].to_vec())
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let counts = io.inputs[1].data[0] >= 0.0;
        io.outputs[0].data[0] = io.inputs[0].data[0] + f64::from(u8::from(counts));
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        io.outputs[0][0] += f32::from(u8::from(io.inputs[1][0] >= 0.0));
    }

    fn gpu(&self, _: &Types, _: &Adapter) -> Result<Vec<Variant>> {
        let dispatch = Dispatch::new(crate::kernel::shader!("optim/count.wgsl"))
            .bind("step", Operand::Output(0))
            .bind("learning_rate", Operand::Input(1));
        Ok(vec![Variant::new("single", vec![dispatch])])
    }
}

/// Errors unless all inputs from `first` on are single values.
fn expect_singles(op: &'static str, inputs: &[TensorType], first: usize) -> Result<()> {
    match inputs.iter().skip(first).position(|ty| ty.dims() != [1]) {
        None => Ok(()),
        Some(i) => {
            let problem = format!("input {} must have shape [1]", first + i);
            Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
        }
    }
}
