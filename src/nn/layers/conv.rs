//! Layers that convolve.

use crate::error::Result;
use crate::nn::{Builder, Init, Layer, Role};
use crate::ops::{self, Value};

/// Convolution with a bank of filters; the number of input channels follows from the input.
///
/// See [`ops::conv::Conv2d`] for the formula. Parameters: `weight` `[outputs, channels / groups,
/// kernel height, kernel width]`, Kaiming-normal at first, and `bias` `[outputs]`, zero at first.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    outputs: usize,
    kernel: [usize; 2],
    op: ops::conv::Conv2d,
    weight: Init,
    bias: Option<Init>,
}

impl Conv2d {
    /// `outputs` filters of `kernel` by `kernel` pixels, at stride 1 without padding.
    pub fn new(outputs: usize, kernel: usize) -> Self {
        Conv2d {
            outputs,
            kernel: [kernel; 2],
            op: ops::conv::Conv2d::default(),
            weight: Init::Kaiming,
            bias: Some(Init::Zeros),
        }
    }

    /// Pixels between neighbouring windows.
    pub fn stride(mut self, stride: usize) -> Self {
        self.op.stride = [stride; 2];
        self
    }

    /// Zero pixels on each side.
    pub fn padding(mut self, padding: usize) -> Self {
        self.op.padding = [padding; 4];
        self
    }

    /// Zero pixels above, below, to the left and to the right: an even kernel keeps the size of the
    /// image only with sides that differ.
    pub fn padding_sides(mut self, sides: [usize; 4]) -> Self {
        self.op.padding = sides;
        self
    }

    /// Pixels between neighbouring taps of the kernel.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.op.dilation = [dilation; 2];
        self
    }

    /// The number of groups into which the channels are divided.
    pub fn groups(mut self, groups: usize) -> Self {
        self.op.groups = groups;
        self
    }

    /// The initial weights.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight = init;
        self
    }

    /// The initial biases.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias = Some(init);
        self
    }

    /// Without biases.
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = builder.ty(input).dims().get(1).copied().unwrap_or(0);
        if self.outputs == 0 {
            return Err(builder.fault("outputs", 0, "a convolution needs at least one filter"));
        }
        if self.op.groups == 0 || !channels.is_multiple_of(self.op.groups) {
            let remedy = format!("must divide the input's {channels} channels");
            return Err(builder.fault("groups", self.op.groups, &remedy));
        }
        let [height, width] = self.kernel;
        let shape = [self.outputs, channels / self.op.groups, height, width];
        let mut inputs =
            vec![input, builder.parameter("weight", Role::Weight, shape, self.weight)?];
        if let Some(init) = self.bias {
            inputs.push(builder.parameter("bias", Role::Bias, [self.outputs], init)?);
        }
        builder.add(self.op, &inputs)
    }
}
