//! Functions of each element as layers.

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::Value;
use crate::ops::elementwise::Unary;

/// A function of each element. The most common has a name of its own: [`Relu`].
#[derive(Clone, Copy, Debug)]
pub struct Activation(Unary);

impl Activation {
    /// Of this function.
    pub fn new(function: Unary) -> Self {
        Activation(function)
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
