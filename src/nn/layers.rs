//! The layers of convolutional networks.

use super::{Builder, Init, Layer, Mode, Role};
use crate::error::Result;
use crate::ops::elementwise::Unary;
use crate::ops::lrn::AlphaConvention;
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

/// A dense layer, `y = W x + b` for each sample; inputs of higher rank are flattened.
///
/// Parameters: `weight` `[outputs, inputs]`, Kaiming-normal at first, and `bias` `[outputs]`, zero at
/// first.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    outputs: usize,
    weight: Init,
    bias: Option<Init>,
}

impl Linear {
    /// `outputs` units.
    pub fn new(outputs: usize) -> Self {
        Linear { outputs, weight: Init::Kaiming, bias: Some(Init::Zeros) }
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

impl Layer for Linear {
    fn kind(&self) -> &'static str {
        "fc"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        if self.outputs == 0 {
            return Err(builder.fault("outputs", 0, "a dense layer needs at least one unit"));
        }
        let shape = [self.outputs, builder.ty(input).shape.per_sample()];
        let mut inputs =
            vec![input, builder.parameter("weight", Role::Weight, shape, self.weight)?];
        if let Some(init) = self.bias {
            inputs.push(builder.parameter("bias", Role::Bias, [self.outputs], init)?);
        }
        builder.add(ops::gemm::Linear, &inputs)
    }
}

/// The maximum over windows. See [`ops::pool::MaxPool2d`].
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(ops::pool::MaxPool2d);

impl MaxPool2d {
    /// Windows of `window` by `window` pixels, side by side.
    pub fn new(window: usize) -> Self {
        MaxPool2d(ops::pool::MaxPool2d {
            window: [window; 2],
            stride: [window; 2],
            padding: [0; 4],
            ceil_mode: false,
        })
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
        AvgPool2d(ops::pool::AvgPool2d {
            window: [window; 2],
            stride: [window; 2],
            padding: [0; 4],
            ceil_mode: false,
            count_include_pad: true,
        })
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
        match self.0 {
            Unary::Relu => "relu",
            Unary::LeakyRelu { .. } => "leaky_relu",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
        }
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

/// Layers one after another, as one layer.
#[derive(Debug, Default)]
pub struct Sequential(Vec<(Option<String>, Box<dyn Layer>)>);

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// Followed by `layer`, which is named after its kind and number.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push((None, Box::new(layer)));
        self
    }

    /// Followed by `layer` under this name.
    pub fn with_named(mut self, name: &str, layer: impl Layer + 'static) -> Self {
        self.0.push((Some(name.to_owned()), Box::new(layer)));
        self
    }

    /// Builds the layers in order.
    pub(super) fn layers(&self) -> impl Iterator<Item = (Option<&str>, &dyn Layer)> {
        self.0.iter().map(|(name, layer)| (name.as_deref(), layer.as_ref()))
    }
}

impl Layer for Sequential {
    fn kind(&self) -> &'static str {
        "block"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        self.layers().try_fold(input, |x, (name, layer)| builder.layer(name, layer, x))
    }
}
