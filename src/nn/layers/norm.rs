//! Layers that bring activations to mean 0 and variance 1.
//!
//! Their `weight` and `bias` have the roles of any other layer's, so weight decay applies to the weight;
//! optimizers with groups of parameters can leave it out by name.

use crate::error::Result;
use crate::nn::{Builder, Init, Layer, Mode, Role};
use crate::ops::Value;
use crate::ops::norm::{Norm, Normalise, Over, running_statistics};
use crate::tensor::{Shape, Tensor};

/// A scale and a shift that are learned.
#[derive(Clone, Copy, Debug)]
struct Affine {
    weight: Option<Init>,
    bias: Option<Init>,
}

impl Affine {
    const NONE: Affine = Affine { weight: None, bias: None };
    const IDENTITY: Affine = Affine { weight: Some(Init::Constant(1.0)), bias: Some(Init::Zeros) };

    /// The parameters, in the order in which the ops take them. A shift comes with a scale.
    fn parameters(&self, builder: &mut Builder<'_>, shape: Shape) -> Result<Vec<Value>> {
        let mut values = vec![];
        if let Some(init) = self.weight {
            values.push(builder.parameter("weight", Role::Weight, shape.clone(), init)?);
            if let Some(init) = self.bias {
                values.push(builder.parameter("bias", Role::Bias, shape, init)?);
            }
        }
        Ok(values)
    }
}

/// The channels of the input.
///
/// Errors where it has none.
fn channels(builder: &Builder<'_>, input: Value) -> Result<usize> {
    match builder.ty(input).dims() {
        &[_, channels, ..] => Ok(channels),
        _ => {
            let remedy = "needs a tensor of at least two axes, [batch, channels, ...]";
            Err(builder.fault("input", builder.ty(input), remedy))
        }
    }
}

/// [`Norm`] with parameters of this shape.
fn norm(
    builder: &mut Builder<'_>,
    input: Value,
    op: Norm,
    affine: &Affine,
    shape: Shape,
) -> Result<Value> {
    let mut inputs = vec![input];
    inputs.extend(affine.parameters(builder, shape)?);
    Ok(builder.add_all(op, &inputs)?[0])
}

/// Batch normalisation of `[batch, channels]`, `[batch, channels, height, width]` or any other input
/// with the channels second: `y = (x - mean) / sqrt(variance + eps) * weight + bias` for each channel.
///
/// In training mean and variance are those of the batch (of the micro-batch, where it comes in several),
/// which must have more than one value per channel, and the states `running_mean` and `running_var`
/// become `(1 - momentum) * running + momentum * batch`, with the unbiased variance. In evaluation the
/// running ones are used. They are saved and loaded with the parameters.
///
/// Parameters: `weight` `[channels]`, one at first, and `bias` `[channels]`, zero at first.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm2d {
    momentum: f32,
    eps: f32,
    affine: Affine,
}

impl Default for BatchNorm2d {
    fn default() -> Self {
        BatchNorm2d::new()
    }
}

impl BatchNorm2d {
    /// As in PyTorch: momentum 0.1, eps 1e-5.
    pub fn new() -> Self {
        BatchNorm2d { momentum: 0.1, eps: 1e-5, affine: Affine::IDENTITY }
    }

    /// The share of each new batch in the running statistics.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// The initial weights: 0 in the last normalisation of a residual block lets it start as the
    /// identity (Goyal et al., 2017).
    pub fn weight_init(mut self, init: Init) -> Self {
        self.affine.weight = Some(init);
        self
    }

    /// Without weight and bias.
    pub fn no_affine(mut self) -> Self {
        self.affine = Affine::NONE;
        self
    }
}

impl Layer for BatchNorm2d {
    fn kind(&self) -> &'static str {
        "bn"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = channels(builder, input)?;
        let parameters = self.affine.parameters(builder, [channels].into())?;
        let filled = |value| Tensor::f32([channels], vec![value; channels]);
        let mean = builder.state("running_mean", filled(0.0)?)?;
        let variance = builder.state("running_var", filled(1.0)?)?;
        // A frozen layer keeps its statistics and goes by them.
        if builder.mode() == Mode::Evaluate || builder.is_frozen() {
            let inputs: Vec<_> = [input, mean, variance].into_iter().chain(parameters).collect();
            return builder.add(Normalise { eps: self.eps }, &inputs);
        }
        let inputs: Vec<_> = [input].into_iter().chain(parameters).collect();
        let outputs = builder.add_all(Norm { over: Over::Batch, eps: self.eps }, &inputs)?;
        let statistics = [outputs[1], outputs[2]];
        let running = [mean, variance];
        let new = running_statistics(builder, input, statistics, running, self.momentum)?;
        builder.update(mean, new[0])?;
        builder.update(variance, new[1])?;
        Ok(outputs[0])
    }
}

/// Layer normalisation: each sample by itself, over its last axes.
///
/// Parameters: `weight`, one at first, and `bias`, zero at first, of the shape of those axes.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    axes: Option<usize>,
    eps: f32,
    affine: Affine,
}

impl Default for LayerNorm {
    fn default() -> Self {
        LayerNorm::new()
    }
}

impl LayerNorm {
    /// Over all axes but the first; eps 1e-5.
    pub fn new() -> Self {
        LayerNorm { axes: None, eps: 1e-5, affine: Affine::IDENTITY }
    }

    /// Over this many last axes.
    pub fn last_axes(mut self, axes: usize) -> Self {
        self.axes = Some(axes);
        self
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// Without bias.
    pub fn no_bias(mut self) -> Self {
        self.affine.bias = None;
        self
    }

    /// Without weight and bias.
    pub fn no_affine(mut self) -> Self {
        self.affine = Affine::NONE;
        self
    }
}

impl Layer for LayerNorm {
    fn kind(&self) -> &'static str {
        "ln"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let dims = builder.ty(input).dims().to_vec();
        let axes = self.axes.unwrap_or(dims.len().saturating_sub(1));
        let shape = dims[dims.len().saturating_sub(axes)..].to_vec();
        let op = Norm { over: Over::Last(axes), eps: self.eps };
        norm(builder, input, op, &self.affine, shape.into())
    }
}

/// Group normalisation: the channels of each sample in groups, each by itself.
///
/// Parameters: `weight` `[channels]`, one at first, and `bias` `[channels]`, zero at first.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    groups: usize,
    eps: f32,
    affine: Affine,
}

impl GroupNorm {
    /// In this many groups; eps 1e-5.
    pub fn new(groups: usize) -> Self {
        GroupNorm { groups, eps: 1e-5, affine: Affine::IDENTITY }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// Without weight and bias.
    pub fn no_affine(mut self) -> Self {
        self.affine = Affine::NONE;
        self
    }
}

impl Layer for GroupNorm {
    fn kind(&self) -> &'static str {
        "gn"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = channels(builder, input)?;
        let op = Norm { over: Over::Groups(self.groups), eps: self.eps };
        norm(builder, input, op, &self.affine, [channels].into())
    }
}

/// Instance normalisation: each channel of each sample by itself. Without parameters, as in PyTorch,
/// unless [`InstanceNorm::affine`] asks for them.
#[derive(Clone, Copy, Debug)]
pub struct InstanceNorm {
    eps: f32,
    affine: Affine,
}

impl Default for InstanceNorm {
    fn default() -> Self {
        InstanceNorm::new()
    }
}

impl InstanceNorm {
    /// With eps 1e-5.
    pub fn new() -> Self {
        InstanceNorm { eps: 1e-5, affine: Affine::NONE }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// With `weight` and `bias` `[channels]`, one and zero at first.
    pub fn affine(mut self) -> Self {
        self.affine = Affine::IDENTITY;
        self
    }
}

impl Layer for InstanceNorm {
    fn kind(&self) -> &'static str {
        "in"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let channels = channels(builder, input)?;
        let op = Norm { over: Over::Groups(channels), eps: self.eps };
        norm(builder, input, op, &self.affine, [channels].into())
    }
}
