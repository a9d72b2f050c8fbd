//! Functions of one number, and their derivatives, over whole tensors.

use super::functions::{GELU_TANH, Kept, SELU, Unary};
use super::vectors;
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, parallel,
};
use crate::tensor::TensorType;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    a: f32,
    b: f32,
}

impl Unary {
    fn dispatch(self, shader: crate::kernel::Shader, vectors: u32) -> Dispatch {
        let (function, [a, b]) = self.code();
        Dispatch::new(shader).constant("FUNCTION", function).params(&Params { vectors, a, b })
    }
}

/// `y = f(x)` for each element. One input and one output of any shape; in place where the gradient
/// does not need x.
impl Op for Unary {
    fn name(&self) -> &'static str {
        "unary"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs("unary", inputs, 1..=1)?;
        expect_f32("unary", inputs)?;
        self.check("unary", inputs)?;
        Ok(inputs.to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        self.inexactness()
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let grad = g.grad_output(0)?;
        match (self.kept(), *self) {
            (Kept::Output, _) => g.emit_grad(0, UnaryGrad(*self), &[grad, g.output(0)]),
            (Kept::Nothing, Unary::Affine { scale, .. }) => {
                g.emit_grad(0, Unary::Affine { scale, shift: 0.0 }, &[grad])
            }
            _ => g.emit_grad(0, UnaryGrad(*self), &[grad, g.input(0)]),
        }
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        match self.kept() {
            Kept::Input => &[],
            Kept::Output | Kept::Nothing => &[(0, 0)],
        }
    }

    fn half(&self) -> Half {
        // Those that grow beyond their argument have no place in half precision.
        match self {
            Unary::Exp | Unary::Log | Unary::Square | Unary::Reciprocal | Unary::Power { .. } => {
                Half::NONE
            }
            _ => Half::taken(&[0, 1], &[0]),
        }
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, &x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = self.value(x);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let output = &mut *io.outputs[0];
        match self.kept() {
            Kept::Input => self.each_value(Apart { input: io.inputs[0], output }),
            Kept::Output | Kept::Nothing => self.each_value(InPlace(output)),
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
            if self.kept() == Kept::Input {
                self.dispatch(crate::kernel::shader!("elementwise/unary_apart.wgsl"), vectors)
                    .bind_range("input", Operand::Input(0), range.clone())
                    .bind_range("output", Operand::Output(0), range)
            } else {
                self.dispatch(crate::kernel::shader!("elementwise/unary.wgsl"), vectors).bind_range(
                    "data",
                    Operand::Output(0),
                    range,
                )
            }
        }))
    }
}

/// `grad_x = grad_y * f'(x)`, in place. Inputs: `grad_y`, and what [`Unary::kept`] says of `x` and
/// `y = f(x)`.
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

    fn reduction(&self, _: &Types) -> usize {
        // From y the derivative takes no more than a product; from x it has the function in it.
        match self.0.kept() {
            Kept::Input => self.0.inexactness(),
            Kept::Output | Kept::Nothing => 4,
        }
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn half(&self) -> Half {
        self.0.half()
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grads, kept) = (&io.inputs[0].data, &io.inputs[1].data);
        for ((x, &grad), &kept) in io.outputs[0].data.iter_mut().zip(grads).zip(kept) {
            *x = grad * self.0.derivative(kept);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        self.0.each_derivative(Scale { grad: io.outputs[0], kept: io.inputs[1] });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Ok(vectors("vec4", types.outputs[0].elements(), adapter, |range, vectors| {
            self.0
                .dispatch(crate::kernel::shader!("elementwise/unary_grad.wgsl"), vectors)
                .bind_range("grad", Operand::Output(0), range.clone())
                .bind_range("kept", Operand::Input(1), range)
        }))
    }
}

/// A loop over a tensor, compiled once for each function.
trait Loop {
    fn run(self, f: impl Fn(f32) -> f32 + Send + Sync);
}

struct InPlace<'a>(&'a mut [f32]);

struct Apart<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

/// Multiplies gradients with a function of what was kept.
struct Scale<'a> {
    grad: &'a mut [f32],
    kept: &'a [f32],
}

impl Loop for InPlace<'_> {
    fn run(self, f: impl Fn(f32) -> f32 + Send + Sync) {
        parallel::each(self.0, |part| part.iter_mut().for_each(|x| *x = f(*x)));
    }
}

impl Loop for Apart<'_> {
    fn run(self, f: impl Fn(f32) -> f32 + Send + Sync) {
        parallel::zip(self.output, self.input, |ys, xs| {
            ys.iter_mut().zip(xs).for_each(|(y, &x)| *y = f(x));
        });
    }
}

impl Loop for Scale<'_> {
    fn run(self, f: impl Fn(f32) -> f32 + Send + Sync) {
        parallel::zip(self.grad, self.kept, |grads, kept| {
            grads.iter_mut().zip(kept).for_each(|(grad, &kept)| *grad *= f(kept));
        });
    }
}

impl Unary {
    fn each_value(self, over: impl Loop) {
        let elu = |over, alpha: f32, scale: f32| {
            Loop::run(over, move |x| scale * if x > 0.0 { x } else { alpha * x.exp_m1() });
        };
        match self {
            Unary::Relu => over.run(|x| x.max(0.0)),
            Unary::LeakyRelu { slope } => over.run(|x| if x > 0.0 { x } else { slope * x }),
            Unary::Sigmoid => over.run(sigmoid),
            Unary::Tanh => over.run(f32::tanh),
            Unary::Elu { alpha } => elu(over, alpha, 1.0),
            Unary::Selu => elu(over, SELU[0] as f32, SELU[1] as f32),
            Unary::Silu => over.run(|x| x * sigmoid(x)),
            Unary::Gelu => over.run(|x| x * normal_probability(x)),
            Unary::GeluTanh => over.run(|x| x * sigmoid(gelu_argument(x))),
            Unary::Softplus { beta, threshold } => over.run(move |x| {
                let z = beta * x;
                let smooth = (z.max(0.0) + (-z.abs()).exp().ln_1p()) / beta;
                if z > threshold { x } else { smooth }
            }),
            Unary::HardSigmoid => over.run(|x| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            Unary::HardSwish => over.run(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            Unary::Clamp { min, max } => over.run(move |x| x.clamp(min, max)),
            Unary::Exp => over.run(f32::exp),
            Unary::Log => over.run(f32::ln),
            Unary::Sqrt => over.run(f32::sqrt),
            Unary::Square => over.run(|x| x * x),
            Unary::Abs => over.run(f32::abs),
            Unary::Reciprocal => over.run(f32::recip),
            Unary::Power { exponent } => over.run(move |x| x.powf(exponent)),
            Unary::Affine { scale, shift } => over.run(move |x| scale * x + shift),
        }
    }

    fn each_derivative(self, over: Scale<'_>) {
        let step = |is_one: bool| f32::from(u8::from(is_one));
        let elu = |over, alpha: f32, scale: f32| {
            let floor = alpha * scale;
            Loop::run(over, move |y| if y > 0.0 { scale } else { y + floor });
        };
        match self {
            // A product would make NaN of what is 0 whatever arrives.
            Unary::Relu => parallel::zip(over.grad, over.kept, |grads, ys| {
                let pairs = grads.iter_mut().zip(ys);
                pairs.for_each(|(grad, &y)| *grad = if y > 0.0 { *grad } else { 0.0 });
            }),
            Unary::LeakyRelu { slope } => over.run(move |v| if v > 0.0 { 1.0 } else { slope }),
            Unary::Sigmoid => over.run(|y| y * (1.0 - y)),
            Unary::Tanh => over.run(|y| (1.0 - y) * (1.0 + y)),
            Unary::Elu { alpha } => elu(over, alpha, 1.0),
            Unary::Selu => elu(over, SELU[0] as f32, SELU[1] as f32),
            Unary::Silu => over.run(|x| sigmoid(x) * (1.0 + x * sigmoid(-x))),
            Unary::Gelu => over.run(|x| normal_probability(x) + x * normal_density(x)),
            Unary::GeluTanh => over.run(|x| {
                let (u, c) = (gelu_argument(x), x.clamp(-20.0, 20.0));
                let [a, b] = GELU_TANH.map(|c| c as f32);
                let s = sigmoid(u);
                s + c * s * sigmoid(-u) * (2.0 * a * (1.0 + 3.0 * b * c * c))
            }),
            Unary::Softplus { beta, threshold } => over.run(move |x| {
                let z = beta * x;
                if z > threshold { 1.0 } else { sigmoid(z) }
            }),
            Unary::HardSigmoid => over.run(move |y| step(y > 0.0 && y < 1.0) / 6.0),
            Unary::HardSwish => over.run(|x| match x {
                x if x <= -3.0 => 0.0,
                x if x < 3.0 => x / 3.0 + 0.5,
                _ => 1.0,
            }),
            Unary::Clamp { min, max } => over.run(move |y| step(y > min && y < max)),
            Unary::Exp => over.run(|y| y),
            Unary::Log => over.run(f32::recip),
            Unary::Sqrt => over.run(|y| 0.5 / y),
            Unary::Square => over.run(|x| 2.0 * x),
            Unary::Abs => over.run(move |x| step(x > 0.0) - step(x < 0.0)),
            Unary::Reciprocal => over.run(|y| -y * y),
            Unary::Power { exponent: 0.0 } => over.run(|_| 0.0),
            Unary::Power { exponent } => over.run(move |x| exponent * x.powf(exponent - 1.0)),
            Unary::Affine { scale, .. } => over.run(move |_| scale),
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Twice the argument of the hyperbolic tangent: `1 + tanh(u / 2) = 2 sigmoid(u)`.
fn gelu_argument(x: f32) -> f32 {
    let ([a, b], c) = (GELU_TANH.map(|c| c as f32), x.clamp(-20.0, 20.0));
    2.0 * a * (c + b * c * c * c)
}

/// `P(X <= x)` for a standard normal X, by Press et al., "Numerical Recipes", `erfcc`.
fn normal_probability(x: f32) -> f32 {
    const TERMS: [f32; 9] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
    ];
    let z = x.abs().min(20.0) * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let sum = TERMS.iter().fold(0.0, |sum, term| term + t * sum);
    let tail = 0.5 * t * (-z * z - 1.265_512_2 + t * sum).exp();
    if x >= 0.0 { 1.0 - tail } else { tail }
}

fn normal_density(x: f32) -> f32 {
    let c = x.abs().min(20.0);
    0.398_942_3 * (-0.5 * c * c).exp()
}
