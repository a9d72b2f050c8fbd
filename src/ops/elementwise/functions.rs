//! The table of functions of one number: each with its value and derivative for the oracle, its
//! number in the shaders, and what its derivative is computed from.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

use crate::error::{Error, Result};
use crate::tensor::TensorType;

/// A function of one number.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Unary {
    /// `max(x, 0)` (Nair & Hinton, 2010). Its derivative at 0 is 0, as in PyTorch.
    Relu,
    /// `x` where it is positive, else `slope * x` (Maas et al., 2013).
    LeakyRelu {
        /// The factor for negative values.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x` where it is positive, else `alpha * (exp(x) - 1)` (Clevert et al., 2015).
    Elu {
        /// The negative of what large negative values tend to; not negative itself.
        alpha: f32,
    },
    /// `1.0507 * elu(x)` with `alpha = 1.6733` (Klambauer et al., 2017).
    Selu,
    /// `x * sigmoid(x)`, also called swish (Hendrycks & Gimpel, 2016; Ramachandran et al., 2017).
    Silu,
    /// `x * P(X <= x)` for a standard normal X (Hendrycks & Gimpel, 2016).
    Gelu,
    /// GELU by `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
    GeluTanh,
    /// `log(1 + exp(beta * x)) / beta`, and `x` where `beta * x` is larger than `threshold`.
    Softplus {
        /// How sharp the bend is.
        beta: f32,
        /// From where on the function is `x`.
        threshold: f32,
    },
    /// `x / 6 + 1 / 2` held between 0 and 1.
    HardSigmoid,
    /// `x * hardsigmoid(x)` (Howard et al., 2019).
    HardSwish,
    /// `x` held between `min` and `max`. Its derivative at the bounds is 0, as in PyTorch 2.15.
    Clamp {
        /// The smallest value.
        min: f32,
        /// The largest value.
        max: f32,
    },
    /// `exp(x)`.
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// `x * x`.
    Square,
    /// The size of x. Its derivative at 0 is 0.
    Abs,
    /// `1 / x`.
    Reciprocal,
    /// `x^exponent`; of negative numbers for whole exponents only.
    Power {
        /// The exponent.
        exponent: f32,
    },
    /// `scale * x + shift`.
    Affine {
        /// The factor.
        scale: f32,
        /// What is added.
        shift: f32,
    },
}

/// What the derivative of a function is computed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// From y, so that x may be overwritten.
    Output,
    /// From x.
    Input,
    /// From neither: it is a constant.
    Nothing,
}

/// SELU's `alpha` and scale, as published.
pub(super) const SELU: [f64; 2] = [1.673_263_242_354_377_3, 1.050_700_987_355_480_5];
/// GELU's `sqrt(2 / pi)` and the factor of the cube.
pub(super) const GELU_TANH: [f64; 2] = [0.797_884_560_802_865_4, 0.044_715];

impl Unary {
    /// The function's name in PyTorch.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Relu => "relu",
            Unary::LeakyRelu { .. } => "leaky_relu",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
            Unary::Elu { .. } => "elu",
            Unary::Selu => "selu",
            Unary::Silu => "silu",
            Unary::Gelu => "gelu",
            Unary::GeluTanh => "gelu_tanh",
            Unary::Softplus { .. } => "softplus",
            Unary::HardSigmoid => "hardsigmoid",
            Unary::HardSwish => "hardswish",
            Unary::Clamp { .. } => "clamp",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Square => "square",
            Unary::Abs => "abs",
            Unary::Reciprocal => "reciprocal",
            Unary::Power { .. } => "pow",
            Unary::Affine { .. } => "affine",
        }
    }

    /// What the derivative is computed from.
    pub fn kept(self) -> Kept {
        match self {
            Unary::LeakyRelu { slope } if slope <= 0.0 => Kept::Input,
            Unary::Relu
            | Unary::LeakyRelu { .. }
            | Unary::Sigmoid
            | Unary::Tanh
            | Unary::Elu { .. }
            | Unary::Selu
            | Unary::HardSigmoid
            | Unary::Clamp { .. }
            | Unary::Exp
            | Unary::Sqrt
            | Unary::Reciprocal => Kept::Output,
            Unary::Affine { .. } => Kept::Nothing,
            _ => Kept::Input,
        }
    }

    /// The number by which `shaders/lib/unary.wgsl` knows the function, and its parameters.
    pub(super) fn code(self) -> (u32, [f32; 2]) {
        match self {
            Unary::Relu => (0, [0.0; 2]),
            Unary::LeakyRelu { slope } => (1, [slope, 0.0]),
            Unary::Sigmoid => (2, [0.0; 2]),
            Unary::Tanh => (3, [0.0; 2]),
            Unary::Elu { alpha } => (4, [alpha, 1.0]),
            // The same formula, scaled.
            Unary::Selu => (4, SELU.map(|c| c as f32)),
            Unary::Silu => (5, [0.0; 2]),
            Unary::Gelu => (6, [0.0; 2]),
            Unary::GeluTanh => (7, GELU_TANH.map(|c| c as f32)),
            Unary::Softplus { beta, threshold } => (8, [beta, threshold]),
            Unary::HardSigmoid => (9, [0.0; 2]),
            Unary::HardSwish => (10, [0.0; 2]),
            Unary::Clamp { min, max } => (11, [min, max]),
            Unary::Exp => (12, [0.0; 2]),
            Unary::Log => (13, [0.0; 2]),
            Unary::Sqrt => (14, [0.0; 2]),
            Unary::Square => (15, [0.0; 2]),
            Unary::Abs => (16, [0.0; 2]),
            Unary::Reciprocal => (17, [0.0; 2]),
            Unary::Power { exponent } => (18, [exponent, 0.0]),
            Unary::Affine { scale, shift } => (19, [scale, shift]),
        }
    }

    /// f(x).
    pub(super) fn value(self, x: f64) -> f64 {
        let elu = |alpha: f64| if x > 0.0 { x } else { alpha * x.exp_m1() };
        match self {
            Unary::Relu => x.max(0.0),
            Unary::LeakyRelu { slope } if x <= 0.0 => f64::from(slope) * x,
            Unary::LeakyRelu { .. } => x,
            Unary::Sigmoid => sigmoid(x),
            Unary::Tanh => x.tanh(),
            Unary::Elu { alpha } => elu(f64::from(alpha)),
            Unary::Selu => SELU[1] * elu(SELU[0]),
            Unary::Silu => x * sigmoid(x),
            Unary::Gelu => x / 2.0 * (1.0 + erf(x / SQRT_2)),
            Unary::GeluTanh => {
                x / 2.0 * (1.0 + (GELU_TANH[0] * (x + GELU_TANH[1] * x.powi(3))).tanh())
            }
            Unary::Softplus { beta, threshold } => {
                let z = f64::from(beta) * x;
                if z > f64::from(threshold) { x } else { z.exp().ln_1p() / f64::from(beta) }
            }
            Unary::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Unary::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Unary::Clamp { min, max } => x.clamp(f64::from(min), f64::from(max)),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sqrt => x.sqrt(),
            Unary::Square => x * x,
            Unary::Abs => x.abs(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Power { exponent } => x.powf(f64::from(exponent)),
            Unary::Affine { scale, shift } => f64::from(scale) * x + f64::from(shift),
        }
    }

    /// The derivative at x, from [`Unary::kept`]: x, or y = f(x).
    pub(super) fn derivative(self, kept: f64) -> f64 {
        let (x, y) = (kept, kept);
        let step = |is_one: bool| f64::from(u8::from(is_one));
        match self {
            Unary::Relu => step(y > 0.0),
            // The output has the input's sign where this is the output.
            Unary::LeakyRelu { slope } if kept <= 0.0 => f64::from(slope),
            Unary::LeakyRelu { .. } => 1.0,
            Unary::Sigmoid => y * (1.0 - y),
            Unary::Tanh => (1.0 - y) * (1.0 + y),
            Unary::Elu { .. } if y > 0.0 => 1.0,
            Unary::Elu { alpha } => y + f64::from(alpha),
            Unary::Selu if y > 0.0 => SELU[1],
            Unary::Selu => y + SELU[0] * SELU[1],
            Unary::Silu => sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))),
            Unary::Gelu => {
                let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
                (1.0 + erf(x / SQRT_2)) / 2.0 + x * density
            }
            Unary::GeluTanh => {
                let t = (GELU_TANH[0] * (x + GELU_TANH[1] * x.powi(3))).tanh();
                let inner = GELU_TANH[0] * (1.0 + 3.0 * GELU_TANH[1] * x * x);
                (1.0 + t) / 2.0 + x / 2.0 * (1.0 - t * t) * inner
            }
            Unary::Softplus { beta, threshold } => {
                let z = f64::from(beta) * x;
                if z > f64::from(threshold) { 1.0 } else { sigmoid(z) }
            }
            Unary::HardSigmoid => step(y > 0.0 && y < 1.0) / 6.0,
            Unary::HardSwish if x <= -3.0 => 0.0,
            Unary::HardSwish if x < 3.0 => x / 3.0 + 0.5,
            Unary::HardSwish => 1.0,
            Unary::Clamp { min, max } => step(y > f64::from(min) && y < f64::from(max)),
            Unary::Exp => y,
            Unary::Log => 1.0 / x,
            Unary::Sqrt => 0.5 / y,
            Unary::Square => 2.0 * x,
            Unary::Abs => step(x > 0.0) - step(x < 0.0),
            Unary::Reciprocal => -y * y,
            Unary::Power { exponent: 0.0 } => 0.0,
            Unary::Power { exponent } => f64::from(exponent) * x.powf(f64::from(exponent) - 1.0),
            Unary::Affine { scale, .. } => f64::from(scale),
        }
    }

    /// Errors where a parameter is outside its range.
    pub(super) fn check(self, op: &'static str, inputs: &[TensorType]) -> Result<()> {
        let (_, parameters) = self.code();
        let problem = match self {
            Unary::LeakyRelu { slope } if !slope.is_finite() => {
                format!("the slope must be finite, is {slope}")
            }
            Unary::Elu { alpha } if !(alpha >= 0.0 && alpha.is_finite()) => {
                format!("alpha must be finite and not negative, is {alpha}")
            }
            Unary::Softplus { beta, .. } if !(beta > 0.0 && beta.is_finite()) => {
                format!("beta must be positive and finite, is {beta}")
            }
            Unary::Clamp { min, max } if min > max => {
                format!("min must not be larger than max, they are {min} and {max}")
            }
            _ if parameters.iter().any(|p| !p.is_finite()) => {
                format!("{}'s parameters must be finite, are {parameters:?}", self.name())
            }
            _ => return Ok(()),
        };
        Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
    }

    /// Units in the last place that WGSL's `exp` and the like may be off count as a longer sum.
    pub(super) fn inexactness(self) -> usize {
        match self {
            Unary::Relu
            | Unary::LeakyRelu { .. }
            | Unary::HardSigmoid
            | Unary::HardSwish
            | Unary::Clamp { .. }
            | Unary::Square
            | Unary::Abs
            | Unary::Affine { .. } => 1,
            Unary::Sqrt | Unary::Reciprocal => 4,
            Unary::Power { .. } => 256,
            _ => 64,
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The error function, by `2 / sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (2n+1)!!`, whose terms
/// do not cancel (Abramowitz & Stegun 7.1.6).
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > f64::EPSILON * sum.abs() / 4.0 {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_published_values() {
        // Abramowitz & Stegun, table 7.1.
        for (x, value) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (3.0, 0.999_977_909_5),
        ] {
            assert!((erf(x) - value).abs() < 1e-10, "{x}");
            assert_eq!(erf(-x), -erf(x));
        }
        assert_eq!(erf(1e4), 1.0);
    }
}
