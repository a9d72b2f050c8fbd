//! Layers that pool.

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::{self, Value};

/// The maximum over windows. See [`ops::pool::MaxPool2d`].
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(ops::pool::MaxPool2d);

impl MaxPool2d {
    /// Windows of `window` by `window` pixels, side by side.
    pub fn new(window: usize) -> Self {
        MaxPool2d(ops::pool::MaxPool2d::new(window, window))
    }

    /// Pixels between neighbouring windows; less than the window makes them overlap.
    pub fn stride(mut self, stride: usize) -> Self {
        self.0.stride = [stride; 2];
        self
    }

    /// Pixels on each side that never win.
    pub fn padding(mut self, padding: usize) -> Self {
        self.0.padding = [padding; 4];
        self
    }

    /// Lets a last window hang over the edge.
    pub fn ceil_mode(mut self) -> Self {
        self.0.ceil_mode = true;
        self
    }
}

impl Layer for MaxPool2d {
    fn kind(&self) -> &'static str {
        "pool"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        Ok(builder.add_all(self.0, &[input])?[0])
    }
}

/// The average over windows. See [`ops::pool::AvgPool2d`].
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d(ops::pool::AvgPool2d);

impl AvgPool2d {
    /// Windows of `window` by `window` pixels, side by side.
    pub fn new(window: usize) -> Self {
        AvgPool2d(ops::pool::AvgPool2d::new(window, window))
    }

    /// Pixels between neighbouring windows; less than the window makes them overlap.
    pub fn stride(mut self, stride: usize) -> Self {
        self.0.stride = [stride; 2];
        self
    }

    /// Zero pixels on each side, which count in the average.
    pub fn padding(mut self, padding: usize) -> Self {
        self.0.padding = [padding; 4];
        self
    }

    /// Lets a last window hang over the edge; what is beyond does not count.
    pub fn ceil_mode(mut self) -> Self {
        self.0.ceil_mode = true;
        self
    }

    /// Pixels of the padding do not count in the average.
    pub fn without_padding_in_average(mut self) -> Self {
        self.0.count_include_pad = false;
        self
    }
}

impl Layer for AvgPool2d {
    fn kind(&self) -> &'static str {
        "avgpool"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.add(self.0, &[input])
    }
}
