//! Optimizers: one fused op per parameter and step.

mod cases;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::call::Call;
use crate::ops::registry::{Entry, Family};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: CALLS };

const CALLS: &[Call] = &[];

const OPS: &[Entry] = &[Entry {
    name: "sgd",
    formula: "v = m v + (g + wd w), w -= lr v; or v = m v - wd lr w - lr g, w += v",
    source: "Sutskever et al. 2013 (PyTorch's form); Krizhevsky et al. 2012, section 5",
    cases: cases::cases,
    random: cases::random,
    errors: cases::errors,
}];

/// Which of the two forms of momentum [`Sgd`] computes. They differ once the learning rate changes:
/// cuda-convnet's velocity remembers steps of the old length, PyTorch's remembers gradients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum SgdForm {
    /// `v = momentum v + (grad + weight_decay w)`, `w -= learning_rate v`, as in PyTorch without
    /// dampening. The velocity starts from 0.
    #[default]
    Torch,
    /// `v = momentum v - weight_decay learning_rate w - learning_rate grad`, `w += v`, as in
    /// cuda-convnet (Krizhevsky et al., 2012, section 5).
    CudaConvnet,
}

/// Stochastic gradient descent with momentum and weight decay, over weight and velocity in place.
///
/// Inputs: `weight`, `velocity`, `grad` of one shape, and `learning_rate` `[1]`. Outputs: the new
/// weight and the new velocity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sgd {
    /// The share of the velocity that is kept; 0 for plain descent.
    pub momentum: f32,
    /// The factor of the weight in the gradient (L2 penalty `weight_decay / 2 * |w|^2`).
    pub weight_decay: f32,
    /// The factor by which this parameter's learning rate differs from `learning_rate`, such as 2
    /// for the biases of AlexNet.
    pub learning_rate_scale: f32,
    /// The form of momentum.
    pub form: SgdForm,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    momentum: f32,
    weight_decay: f32,
    learning_rate_scale: f32,
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 4..=4)?;
        expect_f32(self.name(), inputs)?;
        if inputs[0] != inputs[1] || inputs[0] != inputs[2] || inputs[3].dims() != [1] {
            let shapes = inputs.iter().map(|t| &t.shape);
            let problem = "weight, velocity and grad must have one shape, learning_rate [1]";
            return Err(Error::shape(self.name(), shapes, problem));
        }
        let settings = [
            ("momentum", self.momentum),
            ("weight_decay", self.weight_decay),
            ("learning_rate_scale", self.learning_rate_scale),
        ];
        match settings.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((name, value)) => {
                Err(Error::setting(name, value, "give a finite number of at least 0"))
            }
            None => Ok(inputs[..2].to_vec()),
        }
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 6 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        3
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 1)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [momentum, decay, scale] =
            [self.momentum, self.weight_decay, self.learning_rate_scale].map(f64::from);
        let rate = io.inputs[3].data[0] * scale;
        for i in 0..io.inputs[0].data.len() {
            let [w, v, g] = [0, 1, 2].map(|input| io.inputs[input].data[i]);
            let (w, v) = match self.form {
                SgdForm::Torch => {
                    let v = momentum * v + (g + decay * w);
                    (w - rate * v, v)
                }
                SgdForm::CudaConvnet => {
                    let v = momentum * v - decay * rate * w - rate * g;
                    (w + v, v)
                }
            };
            io.outputs[0].data[i] = w;
            io.outputs[1].data[i] = v;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        const CHUNK: usize = 16 * 1024;
        let (momentum, decay) = (self.momentum, self.weight_decay);
        let rate = io.inputs[3][0] * self.learning_rate_scale;
        let [weight, velocity] = &mut *io.outputs else { return };
        let parts = weight
            .par_chunks_mut(CHUNK)
            .zip(velocity.par_chunks_mut(CHUNK))
            .zip(io.inputs[2].par_chunks(CHUNK));
        parts.for_each(|((weight, velocity), grad)| {
            let elements = weight.iter_mut().zip(velocity).zip(grad);
            match self.form {
                SgdForm::Torch => elements.for_each(|((w, v), g)| {
                    *v = momentum * *v + (g + decay * *w);
                    *w -= rate * *v;
                }),
                SgdForm::CudaConvnet => elements.for_each(|((w, v), g)| {
                    *v = momentum * *v - rate * (g + decay * *w);
                    *w += *v;
                }),
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let dispatches = adapter.chunks(types.outputs[0].elements()).into_iter().map(|range| {
            let vectors = range.len().div_ceil(4);
            Dispatch::new(crate::kernel::shader!("optim/sgd.wgsl"))
                .constant("CUDA_CONVNET", self.form == SgdForm::CudaConvnet)
                .bind_range("weight", Operand::Output(0), range.clone())
                .bind_range("velocity", Operand::Output(1), range.clone())
                .bind_range("grad", Operand::Input(2), range)
                .bind("learning_rate", Operand::Input(3))
                .params(&Params {
                    vectors: vectors as u32,
                    momentum: self.momentum,
                    weight_decay: self.weight_decay,
                    learning_rate_scale: self.learning_rate_scale,
                })
                .threads(vectors)
        });
        Ok(vec![Variant::new("vec4", dispatches.collect())])
    }
}
