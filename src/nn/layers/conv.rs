//! Layers that convolve.

use crate::error::Result;
use crate::nn::{Builder, Init, Layer, Role};
use crate::ops::attributes::{Axes, Sides};
use crate::ops::{self, Value};

/// Convolution with a bank of filters; the number of input channels follows from the input.
///
/// See [`ops::conv::Conv2d`] for the formula. Parameters: `weight` `[outputs, channels / groups,
/// kernel height, kernel width]`, Kaiming-normal at first, and `bias` `[outputs]`, zero at first.
///
/// What an image has along both axes is given as one number or as `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    outputs: usize,
    kernel: [usize; 2],
    op: ops::conv::Conv2d,
    start: Start,
}

/// Transposed convolution, which enlarges images; the number of input channels follows from the input.
///
/// See [`ops::conv::ConvTranspose2d`] for the formula. Parameters: `weight` `[channels, outputs /
/// groups, kernel height, kernel width]`, Kaiming-normal at first, and `bias` `[outputs]`, zero at
/// first.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose2d {
    outputs: usize,
    kernel: [usize; 2],
    op: ops::conv::ConvTranspose2d,
    start: Start,
}

/// A convolution whose filters are not shared between places, as in cuda-convnet's `local` layers.
///
/// See [`ops::conv::LocallyConnected2d`] for the formula. Parameters: `weight` `[outputs, channels /
/// groups, kernel height, kernel width, output height, output width]`, Kaiming-normal at first, and
/// `bias` `[outputs, output height, output width]`, zero at first.
#[derive(Clone, Copy, Debug)]
pub struct Local2d {
    outputs: usize,
    kernel: [usize; 2],
    op: ops::conv::LocallyConnected2d,
    start: Start,
}

/// The initial values.
#[derive(Clone, Copy, Debug)]
struct Start {
    weight: Init,
    bias: Option<Init>,
}

const START: Start = Start { weight: Init::Kaiming, bias: Some(Init::Zeros) };

impl Conv2d {
    /// `outputs` filters of `kernel` pixels, at stride 1 without padding.
    pub fn new(outputs: usize, kernel: impl Into<Axes>) -> Self {
        let kernel = kernel.into().0;
        Conv2d { outputs, kernel, op: ops::conv::Conv2d::default(), start: START }
    }

    /// Pixels between neighbouring windows.
    pub fn stride(mut self, stride: impl Into<Axes>) -> Self {
        self.op.stride = stride.into().0;
        self
    }

    /// Zero pixels on all sides, vertically and horizontally, or `[top, bottom, left, right]`: an
    /// even kernel keeps the size of the image only with sides that differ.
    pub fn padding(mut self, padding: impl Into<Sides>) -> Self {
        self.op.padding = padding.into().0;
        self
    }

    /// Pixels between neighbouring taps of the kernel.
    pub fn dilation(mut self, dilation: impl Into<Axes>) -> Self {
        self.op.dilation = dilation.into().0;
        self
    }

    /// The number of groups into which the channels are divided.
    pub fn groups(mut self, groups: usize) -> Self {
        self.op.groups = groups;
        self
    }

    /// The initial weights.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.start.weight = init;
        self
    }

    /// The initial biases.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.start.bias = Some(init);
        self
    }

    /// Without biases.
    pub fn no_bias(mut self) -> Self {
        self.start.bias = None;
        self
    }
}

/// Errors unless there are filters, and groups that divide the input's channels. Returns their number.
fn check(
    builder: &Builder<'_>,
    input: Value,
    outputs: usize,
    groups: usize,
    divided: &[usize],
) -> Result<usize> {
    let channels = builder.ty(input).dims().get(1).copied().unwrap_or(0);
    if outputs == 0 {
        return Err(builder.fault("outputs", 0, "a convolution needs at least one filter"));
    }
    if groups == 0 || !channels.is_multiple_of(groups) {
        let remedy = format!("must divide the input's {channels} channels");
        return Err(builder.fault("groups", groups, &remedy));
    }
    if divided.iter().any(|n| !n.is_multiple_of(groups)) {
        let remedy = format!("must divide the {outputs} outputs");
        return Err(builder.fault("groups", groups, &remedy));
    }
    Ok(channels)
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = check(builder, input, self.outputs, self.op.groups, &[])?;
        let [height, width] = self.kernel;
        let shape = [self.outputs, channels / self.op.groups, height, width];
        let mut inputs =
            vec![input, builder.parameter("weight", Role::Weight, shape, self.start.weight)?];
        if let Some(init) = self.start.bias {
            inputs.push(builder.parameter("bias", Role::Bias, [self.outputs], init)?);
        }
        builder.add(self.op, &inputs)
    }
}

impl ConvTranspose2d {
    /// `outputs` filters of `kernel` pixels, at stride 1 without padding.
    pub fn new(outputs: usize, kernel: impl Into<Axes>) -> Self {
        let kernel = kernel.into().0;
        ConvTranspose2d { outputs, kernel, op: Default::default(), start: START }
    }

    /// Output pixels between the filters of neighbouring inputs: how many times the image grows.
    pub fn stride(mut self, stride: impl Into<Axes>) -> Self {
        self.op.stride = stride.into().0;
        self
    }

    /// Output pixels cut off on all sides, vertically and horizontally, or `[top, bottom, left,
    /// right]`.
    pub fn padding(mut self, padding: impl Into<Sides>) -> Self {
        self.op.padding = padding.into().0;
        self
    }

    /// Output pixels added at the bottom and at the right.
    pub fn output_padding(mut self, added: impl Into<Axes>) -> Self {
        self.op.output_padding = added.into().0;
        self
    }

    /// Output pixels between neighbouring taps of the kernel.
    pub fn dilation(mut self, dilation: impl Into<Axes>) -> Self {
        self.op.dilation = dilation.into().0;
        self
    }

    /// The number of groups into which the channels are divided.
    pub fn groups(mut self, groups: usize) -> Self {
        self.op.groups = groups;
        self
    }

    /// The initial weights.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.start.weight = init;
        self
    }

    /// The initial biases.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.start.bias = Some(init);
        self
    }

    /// Without biases.
    pub fn no_bias(mut self) -> Self {
        self.start.bias = None;
        self
    }
}

impl Layer for ConvTranspose2d {
    fn kind(&self) -> &'static str {
        "convt"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let groups = self.op.groups;
        let channels = check(builder, input, self.outputs, groups, &[self.outputs])?;
        let ([height, width], group_outputs) = (self.kernel, self.outputs / groups);
        let shape = [channels, group_outputs, height, width];
        let fans = (channels / groups * height * width, group_outputs * height * width);
        let weight =
            builder.parameter_of_fans("weight", Role::Weight, shape, self.start.weight, fans)?;
        let mut inputs = vec![input, weight];
        if let Some(init) = self.start.bias {
            inputs.push(builder.parameter("bias", Role::Bias, [self.outputs], init)?);
        }
        builder.add(self.op, &inputs)
    }
}

impl Local2d {
    /// `outputs` filters of `kernel` pixels at each place, at stride 1 without padding.
    pub fn new(outputs: usize, kernel: impl Into<Axes>) -> Self {
        let kernel = kernel.into().0;
        Local2d { outputs, kernel, op: Default::default(), start: START }
    }

    /// Pixels between neighbouring windows.
    pub fn stride(mut self, stride: impl Into<Axes>) -> Self {
        self.op.0.stride = stride.into().0;
        self
    }

    /// Zero pixels on all sides, vertically and horizontally, or `[top, bottom, left, right]`.
    pub fn padding(mut self, padding: impl Into<Sides>) -> Self {
        self.op.0.padding = padding.into().0;
        self
    }

    /// The number of groups into which the channels are divided.
    pub fn groups(mut self, groups: usize) -> Self {
        self.op.0.groups = groups;
        self
    }

    /// The initial weights.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.start.weight = init;
        self
    }

    /// The initial biases.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.start.bias = Some(init);
        self
    }

    /// Without biases.
    pub fn no_bias(mut self) -> Self {
        self.start.bias = None;
        self
    }
}

impl Layer for Local2d {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = check(builder, input, self.outputs, self.op.0.groups, &[])?;
        let ([height, width], group_inputs) = (self.kernel, channels / self.op.0.groups);
        let filter = [self.outputs, group_inputs, height, width];
        let extents = self.op.output_extents(builder.ty(input), filter);
        let [rows, columns] = extents.map_err(|e| builder.located(e))?;
        let shape = [self.outputs, group_inputs, height, width, rows, columns];
        let fans = (group_inputs * height * width, self.outputs * height * width);
        let weight =
            builder.parameter_of_fans("weight", Role::Weight, shape, self.start.weight, fans)?;
        let mut inputs = vec![input, weight];
        if let Some(init) = self.start.bias {
            let shape = [self.outputs, rows, columns];
            inputs.push(builder.parameter("bias", Role::Bias, shape, init)?);
        }
        builder.add(self.op, &inputs)
    }
}
