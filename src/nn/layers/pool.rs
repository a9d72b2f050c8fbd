//! Layers that pool.

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::attributes::{Axes, Sides};
use crate::ops::{self, Value};

/// The maximum over windows. See [`ops::pool::MaxPool2d`].
///
/// What a window has along both axes is given as one number or as `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(ops::pool::MaxPool2d);

impl MaxPool2d {
    /// Windows of so many pixels, side by side.
    pub fn new(window: impl Into<Axes>) -> Self {
        let Axes(window) = window.into();
        MaxPool2d(ops::pool::MaxPool2d {
            window,
            stride: window,
            ..ops::pool::MaxPool2d::new(1, 1)
        })
    }

    /// Pixels between neighbouring windows; less than the window makes them overlap.
    pub fn stride(mut self, stride: impl Into<Axes>) -> Self {
        self.0.stride = stride.into().0;
        self
    }

    /// Pixels on each side that never win.
    pub fn padding(mut self, padding: impl Into<Sides>) -> Self {
        self.0.padding = padding.into().0;
        self
    }

    /// Pixels between neighbouring taps of a window.
    pub fn dilation(mut self, dilation: impl Into<Axes>) -> Self {
        self.0.dilation = dilation.into().0;
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
    /// Windows of so many pixels, side by side.
    pub fn new(window: impl Into<Axes>) -> Self {
        let Axes(window) = window.into();
        AvgPool2d(ops::pool::AvgPool2d {
            window,
            stride: window,
            ..ops::pool::AvgPool2d::new(1, 1)
        })
    }

    /// Pixels between neighbouring windows; less than the window makes them overlap.
    pub fn stride(mut self, stride: impl Into<Axes>) -> Self {
        self.0.stride = stride.into().0;
        self
    }

    /// Zero pixels on each side, which count in the average.
    pub fn padding(mut self, padding: impl Into<Sides>) -> Self {
        self.0.padding = padding.into().0;
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

/// The averages of as many windows as the output is large. See [`ops::pool::AdaptiveAvgPool2d`].
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d(ops::pool::AdaptiveAvgPool2d);

impl AdaptiveAvgPool2d {
    /// An output of this size, whatever the input's.
    pub fn new(output_size: impl Into<Axes>) -> Self {
        AdaptiveAvgPool2d(ops::pool::AdaptiveAvgPool2d { output_size: output_size.into().0 })
    }
}

impl Layer for AdaptiveAvgPool2d {
    fn kind(&self) -> &'static str {
        "avgpool"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.add(self.0, &[input])
    }
}

/// The maxima of as many windows as the output is large. See [`ops::pool::AdaptiveMaxPool2d`].
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool2d(ops::pool::AdaptiveMaxPool2d);

impl AdaptiveMaxPool2d {
    /// An output of this size, whatever the input's.
    pub fn new(output_size: impl Into<Axes>) -> Self {
        AdaptiveMaxPool2d(ops::pool::AdaptiveMaxPool2d { output_size: output_size.into().0 })
    }
}

impl Layer for AdaptiveMaxPool2d {
    fn kind(&self) -> &'static str {
        "pool"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        Ok(builder.add_all(self.0, &[input])?[0])
    }
}

/// The average of each whole plane: `[batch, channels, height, width]` becomes `[batch, channels, 1,
/// 1]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool2d;

impl Layer for GlobalAvgPool2d {
    fn kind(&self) -> &'static str {
        "avgpool"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.add(ops::pool::AdaptiveAvgPool2d::default(), &[input])
    }
}

/// The maximum of each whole plane: `[batch, channels, height, width]` becomes `[batch, channels, 1,
/// 1]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalMaxPool2d;

impl Layer for GlobalMaxPool2d {
    fn kind(&self) -> &'static str {
        "pool"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        Ok(builder.add_all(ops::pool::AdaptiveMaxPool2d::default(), &[input])?[0])
    }
}
