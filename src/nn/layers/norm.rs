//! Layers that normalise.

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::lrn::AlphaConvention;
use crate::ops::{self, Value};

/// Local response normalisation across channels. See [`ops::lrn::Lrn`].
#[derive(Clone, Copy, Debug)]
pub struct Lrn(ops::lrn::Lrn);

impl Lrn {
    /// The paper's: 5 channels, `k = 2`, `alpha = 1e-4` on the plain sum, `beta = 0.75`.
    pub fn alexnet() -> Self {
        Lrn(ops::lrn::Lrn {
            size: 5,
            alpha: 1e-4,
            beta: 0.75,
            k: 2.0,
            convention: AlphaConvention::Sum,
        })
    }

    /// Any other.
    pub fn new(op: ops::lrn::Lrn) -> Self {
        Lrn(op)
    }
}

impl Layer for Lrn {
    fn kind(&self) -> &'static str {
        "lrn"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        Ok(builder.add_all(self.0, &[input])?[0])
    }
}
