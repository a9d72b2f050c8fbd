//! Functions of each element as layers.

use crate::error::Result;
use crate::nn::{Builder, Init, Layer, Role};
use crate::ops::elementwise::Unary;
use crate::ops::{self, Value};

/// A function of each element. The most common has a name of its own: [`Relu`].
#[derive(Clone, Copy, Debug)]
pub struct Activation(Unary);

impl Activation {
    /// Of this function.
    pub fn new(function: Unary) -> Self {
        Activation(function)
    }

    /// `x` where it is positive, else `slope * x`.
    pub fn leaky_relu(slope: f32) -> Self {
        Activation(Unary::LeakyRelu { slope })
    }

    /// The logistic function.
    pub fn sigmoid() -> Self {
        Activation(Unary::Sigmoid)
    }

    /// The hyperbolic tangent.
    pub fn tanh() -> Self {
        Activation(Unary::Tanh)
    }

    /// `x` where it is positive, else `exp(x) - 1`.
    pub fn elu() -> Self {
        Activation(Unary::Elu { alpha: 1.0 })
    }

    /// The self-normalising [`elu`](Activation::elu).
    pub fn selu() -> Self {
        Activation(Unary::Selu)
    }

    /// `x * sigmoid(x)`, also called swish.
    pub fn silu() -> Self {
        Activation(Unary::Silu)
    }

    /// `x` times the probability that a normal number is smaller.
    pub fn gelu() -> Self {
        Activation(Unary::Gelu)
    }

    /// `log(1 + exp(x))`.
    pub fn softplus() -> Self {
        Activation(Unary::Softplus { beta: 1.0, threshold: 20.0 })
    }

    /// `x / 6 + 1 / 2` held between 0 and 1.
    pub fn hard_sigmoid() -> Self {
        Activation(Unary::HardSigmoid)
    }

    /// `x * hard_sigmoid(x)`.
    pub fn hard_swish() -> Self {
        Activation(Unary::HardSwish)
    }

    /// `x` held between 0 and 6.
    pub fn relu6() -> Self {
        Activation(Unary::Clamp { min: 0.0, max: 6.0 })
    }
}

impl Layer for Activation {
    fn kind(&self) -> &'static str {
        self.0.name()
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.add(self.0, &[input])
    }
}

/// `max(x, 0)` for each element.
#[derive(Clone, Copy, Debug)]
pub struct Relu;

impl Layer for Relu {
    fn kind(&self) -> &'static str {
        "relu"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.add(Unary::Relu, &[input])
    }
}

/// The leaky ReLU whose slope is learnt (He et al., 2015).
///
/// Parameter: `weight` `[channels]`, or `[1]`, the slope for negative values, 0.25 at first.
#[derive(Clone, Copy, Debug)]
pub struct PRelu {
    is_shared: bool,
    slope: f32,
}

impl PRelu {
    /// A slope for each channel.
    pub fn new() -> Self {
        PRelu { is_shared: false, slope: 0.25 }
    }

    /// One slope for all channels.
    pub fn shared() -> Self {
        PRelu { is_shared: true, ..PRelu::new() }
    }

    /// The slope at first.
    pub fn slope(mut self, slope: f32) -> Self {
        self.slope = slope;
        self
    }
}

impl Default for PRelu {
    fn default() -> Self {
        PRelu::new()
    }
}

impl Layer for PRelu {
    fn kind(&self) -> &'static str {
        "prelu"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = builder.ty(input).dims().get(1).copied();
        let slopes = if self.is_shared { 1 } else { channels.unwrap_or(1) };
        let init = Init::Constant(self.slope);
        let weight = builder.parameter("weight", Role::Weight, [slopes], init)?;
        builder.add(ops::elementwise::PRelu {}, &[input, weight])
    }
}
