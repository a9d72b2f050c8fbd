//! Layers that drop at random.

use crate::error::Result;
use crate::nn::{Builder, Layer, Mode};
use crate::ops::{self, Value};

/// Sets each element to zero with probability `p` while training and scales the others by
/// `1 / (1 - p)`. See [`ops::dropout::Dropout`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Drops with probability `p`.
    pub fn new(p: f32) -> Self {
        Dropout { p }
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        if builder.mode() == Mode::Evaluate {
            return Ok(input);
        }
        let (counter, layer) = builder.random()?;
        builder.add(ops::dropout::Dropout { p: self.p, layer }, &[input, counter])
    }
}

/// Sets each channel of each sample to zero with probability `p` while training and scales the
/// others by `1 / (1 - p)`. See [`ops::dropout::Dropout2d`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout2d {
    p: f32,
}

impl Dropout2d {
    /// Drops with probability `p`.
    pub fn new(p: f32) -> Self {
        Dropout2d { p }
    }
}

impl Layer for Dropout2d {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        if builder.mode() == Mode::Evaluate {
            return Ok(input);
        }
        let (counter, layer) = builder.random()?;
        builder.add(ops::dropout::Dropout2d { p: self.p, layer }, &[input, counter])
    }
}
