//! Functions of one number, and their derivatives.

use super::vectors;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, parallel,
};
use crate::tensor::TensorType;

/// `y = f(x)` for each element, in place. One input and one output of any shape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Unary {
    /// `max(x, 0)` (Nair & Hinton, 2010). Its derivative at 0 is 0, as in PyTorch.
    Relu,
    /// `x` where it is positive, else `slope * x` (Maas et al., 2013).
    LeakyRelu {
        /// The factor for negative values; positive, so that the output's sign tells the input's.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

impl Unary {
    fn value(self, x: f64) -> f64 {
        match self {
            Unary::Relu => x.max(0.0),
            Unary::LeakyRelu { slope } if x <= 0.0 => f64::from(slope) * x,
            Unary::LeakyRelu { .. } => x,
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Tanh => x.tanh(),
        }
    }

    /// The derivative at x, from y = f(x).
    fn derivative(self, y: f64) -> f64 {
        match self {
            Unary::Relu => f64::from(u8::from(y > 0.0)),
            Unary::LeakyRelu { slope } if y <= 0.0 => f64::from(slope),
            Unary::LeakyRelu { .. } => 1.0,
            Unary::Sigmoid => y * (1.0 - y),
            Unary::Tanh => 1.0 - y * y,
        }
    }

    /// The number that the shaders know the function by, and its parameter.
    fn code(self) -> (u32, f32) {
        match self {
            Unary::Relu => (0, 0.0),
            Unary::LeakyRelu { slope } => (1, slope),
            Unary::Sigmoid => (2, 0.0),
            Unary::Tanh => (3, 0.0),
        }
    }

    fn check(self, op: &'static str, inputs: &[TensorType]) -> Result<()> {
        match self {
            Unary::LeakyRelu { slope } if !(slope > 0.0 && slope.is_finite()) => {
                let shapes = inputs.iter().map(|t| &t.shape);
                let problem = format!("the slope must be positive and finite, is {slope}");
                Err(Error::shape(op, shapes, problem))
            }
            _ => Ok(()),
        }
    }

    /// Units in the last place that WGSL's `exp` and `tanh` may be off count as a longer sum.
    fn inexactness(self) -> usize {
        match self {
            Unary::Relu | Unary::LeakyRelu { .. } => 1,
            Unary::Sigmoid | Unary::Tanh => 64,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    parameter: f32,
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        "unary"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        self.check(self.name(), inputs)?;
        Ok(inputs.to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        self.inexactness()
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        g.emit_grad(0, UnaryGrad(*self), &[g.grad_output(0)?, g.output(0)])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, &x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = self.value(x);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let data = &mut *io.outputs[0];
        match *self {
            Unary::Relu => {
                parallel::each(data, |part| part.iter_mut().for_each(|x| *x = x.max(0.0)));
            }
            Unary::LeakyRelu { slope } => parallel::each(data, |part| {
                part.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { slope * *x });
            }),
            Unary::Sigmoid => parallel::each(data, |part| {
                part.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
            }),
            Unary::Tanh => parallel::each(data, |part| part.iter_mut().for_each(|x| *x = x.tanh())),
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let (function, parameter) = self.code();
        Ok(vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("elementwise/unary.wgsl"))
                .constant("FUNCTION", function)
                .bind_range("data", Operand::Output(0), range)
                .params(&Params { vectors, parameter })
        }))
    }
}

/// `grad_x = grad_y * f'(x)`, in place. Inputs: `grad_y` and `y = f(x)`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct UnaryGrad(pub Unary);

impl Op for UnaryGrad {
    fn name(&self) -> &'static str {
        "unary_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        self.0.check(self.name(), inputs)?;
        super::add::same_shapes(self.name(), &inputs[0], &inputs[1])?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * types.outputs[0].elements() as u64)
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grads, outputs) = (&io.inputs[0].data, &io.inputs[1].data);
        for ((x, &grad), &y) in io.outputs[0].data.iter_mut().zip(grads).zip(outputs) {
            *x = grad * self.0.derivative(y);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let (grad, output) = (&mut *io.outputs[0], io.inputs[1]);
        let mut apply = |f: &(dyn Fn(f32) -> f32 + Sync)| {
            parallel::zip(grad, output, |grads, ys| {
                grads.iter_mut().zip(ys).for_each(|(grad, &y)| *grad *= f(y));
            });
        };
        match self.0 {
            Unary::Relu => parallel::zip(grad, output, |grads, ys| {
                grads
                    .iter_mut()
                    .zip(ys)
                    .for_each(|(grad, &y)| *grad = if y > 0.0 { *grad } else { 0.0 });
            }),
            Unary::LeakyRelu { slope } => apply(&|y| if y > 0.0 { 1.0 } else { slope }),
            Unary::Sigmoid => apply(&|y| y * (1.0 - y)),
            Unary::Tanh => apply(&|y| 1.0 - y * y),
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let (function, parameter) = self.0.code();
        Ok(vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
            Dispatch::new(crate::kernel::shader!("elementwise/unary_grad.wgsl"))
                .constant("FUNCTION", function)
                .bind_range("grad", Operand::Output(0), range.clone())
                .bind_range("output", Operand::Input(1), range)
                .params(&Params { vectors, parameter })
        }))
    }
}
