//! Layers that normalise each activation by those around it.

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

/// Local response normalisation within each channel, over windows of `size` by `size` pixels. See
/// [`ops::lrn::LrnWithinChannel`].
#[derive(Clone, Copy, Debug)]
pub struct LrnWithinChannel(ops::lrn::Lrn);

impl LrnWithinChannel {
    /// cuda-convnet's `rnorm` of this size: `k = 1`, `beta = 0.75`, and `alpha` of the mean of the squares.
    pub fn new(size: usize, alpha: f32) -> Self {
        LrnWithinChannel(ops::lrn::Lrn { size, alpha, ..ops::lrn::Lrn::default() })
    }

    /// Any other.
    pub fn with(op: ops::lrn::Lrn) -> Self {
        LrnWithinChannel(op)
    }
}

impl Layer for LrnWithinChannel {
    fn kind(&self) -> &'static str {
        "rnorm"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        Ok(builder.add_all(ops::lrn::LrnWithinChannel(self.0), &[input])?[0])
    }
}

/// Local contrast normalisation within each channel: divides by a power of the squared deviations from
/// the mean around each position, `y = x / (k + alpha * sum of d^2)^beta`, over windows of `size` by
/// `size` pixels. See [`ops::lrn::LocalCentre`] for `d` and [`ops::lrn::LrnWithinChannel`] for the rest.
#[derive(Clone, Copy, Debug)]
pub struct ContrastNorm {
    op: ops::lrn::Lrn,
    subtracts_mean: bool,
}

impl ContrastNorm {
    /// cuda-convnet's `cnorm` of this size: `k = 1`, `beta = 0.75`, and `alpha` of the mean of the squares.
    pub fn new(size: usize, alpha: f32) -> Self {
        ContrastNorm::with(ops::lrn::Lrn { size, alpha, ..ops::lrn::Lrn::default() })
    }

    /// Any other.
    pub fn with(op: ops::lrn::Lrn) -> Self {
        ContrastNorm { op, subtracts_mean: false }
    }

    /// Divides the deviation `d` in place of `x`.
    pub fn subtract_mean(mut self) -> Self {
        self.subtracts_mean = true;
        self
    }
}

impl Layer for ContrastNorm {
    fn kind(&self) -> &'static str {
        "cnorm"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let centre = ops::lrn::LocalCentre { size: self.op.size };
        let deviation = builder.add(centre, &[input])?;
        let inputs = if self.subtracts_mean { vec![deviation] } else { vec![input, deviation] };
        Ok(builder.add_all(ops::lrn::LrnWithinChannel(self.op), &inputs)?[0])
    }
}
