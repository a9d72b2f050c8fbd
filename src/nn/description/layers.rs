//! The layers that a [`Description`] may hold.

use serde::{Deserialize, Serialize};

use super::Description;
use crate::nn::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AuxiliaryHead, AvgPool2d, BatchNorm2d,
    Concat, ContrastNorm, Conv2d, ConvTranspose2d, Dropout, Dropout2d, Flatten, GlobalAvgPool2d,
    GlobalMaxPool2d, GroupNorm, Init, InstanceNorm, Layer, LayerNorm, Linear, Local2d, Lrn,
    LrnWithinChannel, MaxPool2d, PRelu, Pad, PixelShuffle, Relu, Residual, Upsample,
};
use crate::ops::attributes::{Axes, Sides};
use crate::ops::elementwise::Unary;
use crate::ops::lrn;
use crate::ops::shape::{PadMode, ScaleMode};

/// A layer with its settings: that of [`crate::nn`] of the same name. What is left out is as the
/// layer has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Described {
    /// [`Conv2d`].
    Conv2d {
        /// The number of filters.
        outputs: Outputs,
        /// Height and width of the window.
        kernel: Axes,
        /// Pixels between neighbouring windows.
        #[serde(skip_serializing_if = "Option::is_none")]
        stride: Option<Axes>,
        /// Pixels on each side.
        #[serde(skip_serializing_if = "Option::is_none")]
        padding: Option<Sides>,
        /// Pixels between neighbouring taps.
        #[serde(skip_serializing_if = "Option::is_none")]
        dilation: Option<Axes>,
        /// The number of groups of channels.
        #[serde(skip_serializing_if = "Option::is_none")]
        groups: Option<usize>,
        /// Whether there are biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias: Option<bool>,
        /// The initial weights.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight_init: Option<Init>,
        /// The initial biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias_init: Option<Init>,
    },
    /// [`ConvTranspose2d`].
    ConvTranspose2d {
        /// The number of filters.
        outputs: Outputs,
        /// Height and width of the window.
        kernel: Axes,
        /// Pixels between neighbouring windows.
        #[serde(skip_serializing_if = "Option::is_none")]
        stride: Option<Axes>,
        /// Pixels on each side.
        #[serde(skip_serializing_if = "Option::is_none")]
        padding: Option<Sides>,
        /// Pixels added at the bottom and on the right.
        #[serde(skip_serializing_if = "Option::is_none")]
        output_padding: Option<Axes>,
        /// Pixels between neighbouring taps.
        #[serde(skip_serializing_if = "Option::is_none")]
        dilation: Option<Axes>,
        /// The number of groups of channels.
        #[serde(skip_serializing_if = "Option::is_none")]
        groups: Option<usize>,
        /// Whether there are biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias: Option<bool>,
        /// The initial weights.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight_init: Option<Init>,
        /// The initial biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias_init: Option<Init>,
    },
    /// [`Local2d`].
    Local2d {
        /// The number of filters.
        outputs: Outputs,
        /// Height and width of the window.
        kernel: Axes,
        /// Pixels between neighbouring windows.
        #[serde(skip_serializing_if = "Option::is_none")]
        stride: Option<Axes>,
        /// Pixels on each side.
        #[serde(skip_serializing_if = "Option::is_none")]
        padding: Option<Sides>,
        /// The number of groups of channels.
        #[serde(skip_serializing_if = "Option::is_none")]
        groups: Option<usize>,
        /// Whether there are biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias: Option<bool>,
        /// The initial weights.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight_init: Option<Init>,
        /// The initial biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias_init: Option<Init>,
    },
    /// [`Linear`].
    Linear {
        /// The number of outputs.
        outputs: Outputs,
        /// Whether there are biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias: Option<bool>,
        /// The initial weights.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight_init: Option<Init>,
        /// The initial biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias_init: Option<Init>,
    },
    /// [`MaxPool2d`].
    MaxPool2d {
        /// Height and width of the window.
        kernel: Axes,
        /// Pixels between neighbouring windows.
        #[serde(skip_serializing_if = "Option::is_none")]
        stride: Option<Axes>,
        /// Pixels on each side.
        #[serde(skip_serializing_if = "Option::is_none")]
        padding: Option<Sides>,
        /// Pixels between neighbouring taps.
        #[serde(skip_serializing_if = "Option::is_none")]
        dilation: Option<Axes>,
        /// Whether a last window may hang over the edge.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ceil_mode: bool,
    },
    /// [`AvgPool2d`].
    AvgPool2d {
        /// Height and width of the window.
        kernel: Axes,
        /// Pixels between neighbouring windows.
        #[serde(skip_serializing_if = "Option::is_none")]
        stride: Option<Axes>,
        /// Pixels on each side.
        #[serde(skip_serializing_if = "Option::is_none")]
        padding: Option<Sides>,
        /// Whether a last window may hang over the edge.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ceil_mode: bool,
        /// Whether the padding counts in the average.
        #[serde(skip_serializing_if = "Option::is_none")]
        count_include_pad: Option<bool>,
    },
    /// [`AdaptiveAvgPool2d`].
    AdaptiveAvgPool2d {
        /// Height and width of the output.
        output_size: Axes,
    },
    /// [`AdaptiveMaxPool2d`].
    AdaptiveMaxPool2d {
        /// Height and width of the output.
        output_size: Axes,
    },
    /// [`GlobalAvgPool2d`].
    GlobalAvgPool2d {},
    /// [`GlobalMaxPool2d`].
    GlobalMaxPool2d {},
    /// [`Relu`].
    Relu {},
    /// [`Activation`] of this function.
    Activation(Unary),
    /// [`PRelu`].
    #[serde(rename = "prelu")]
    PRelu {
        /// Whether all channels have one slope.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shared: bool,
        /// The slope at first.
        #[serde(skip_serializing_if = "Option::is_none")]
        slope: Option<f32>,
    },
    /// [`Dropout`].
    Dropout {
        /// The share that is dropped.
        p: f32,
    },
    /// [`Dropout2d`].
    Dropout2d {
        /// The share that is dropped.
        p: f32,
    },
    /// [`Lrn`], across channels.
    Lrn(lrn::Lrn),
    /// [`LrnWithinChannel`].
    LrnWithinChannel(lrn::Lrn),
    /// [`ContrastNorm`] without subtracting the mean.
    ContrastNorm(lrn::Lrn),
    /// [`BatchNorm2d`].
    BatchNorm2d {
        /// The share of each new batch in the running statistics.
        #[serde(skip_serializing_if = "Option::is_none")]
        momentum: Option<f32>,
        /// What is added to the variance.
        #[serde(skip_serializing_if = "Option::is_none")]
        eps: Option<f32>,
        /// Whether there are weights and biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        affine: Option<bool>,
        /// The initial weights.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight_init: Option<Init>,
    },
    /// [`LayerNorm`].
    LayerNorm {
        /// How many of the last axes are normalised over.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_axes: Option<usize>,
        /// What is added to the variance.
        #[serde(skip_serializing_if = "Option::is_none")]
        eps: Option<f32>,
        /// Whether there are biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        bias: Option<bool>,
        /// Whether there are weights and biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        affine: Option<bool>,
    },
    /// [`GroupNorm`].
    GroupNorm {
        /// The number of groups of channels.
        num_groups: usize,
        /// What is added to the variance.
        #[serde(skip_serializing_if = "Option::is_none")]
        eps: Option<f32>,
        /// Whether there are weights and biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        affine: Option<bool>,
    },
    /// [`InstanceNorm`].
    InstanceNorm {
        /// What is added to the variance.
        #[serde(skip_serializing_if = "Option::is_none")]
        eps: Option<f32>,
        /// Whether there are weights and biases.
        #[serde(skip_serializing_if = "Option::is_none")]
        affine: Option<bool>,
    },
    /// [`Flatten`].
    Flatten {},
    /// [`Upsample`].
    Upsample {
        /// The factor of height and width.
        factor: usize,
        /// How new pixels come about.
        #[serde(default)]
        mode: ScaleMode,
        /// Whether the corners of the output are those of the input.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        align_corners: bool,
    },
    /// [`PixelShuffle`].
    PixelShuffle {
        /// The factor of height and width.
        factor: usize,
        /// Whether pixels become channels.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        inverse: bool,
    },
    /// [`Pad`].
    Pad {
        /// Pixels on each side.
        sides: Sides,
        /// What the new pixels are.
        #[serde(default)]
        mode: PadMode,
        /// What constant padding consists of.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<f32>,
    },
    /// [`Sequential`](crate::nn::Sequential).
    Sequential {
        /// The layers.
        layers: Description,
    },
    /// [`Residual`].
    Residual {
        /// What is added to the input.
        main: Description,
        /// What the input becomes before that.
        #[serde(skip_serializing_if = "Option::is_none")]
        shortcut: Option<Description>,
        /// What follows the sum.
        #[serde(skip_serializing_if = "Option::is_none")]
        then: Option<Description>,
    },
    /// [`Concat`].
    Concat {
        /// The branches.
        branches: Vec<Description>,
    },
    /// [`AuxiliaryHead`].
    AuxiliaryHead {
        /// How much its loss counts.
        weight: f32,
        /// What ends in logits.
        head: Description,
    },
}

/// A number of outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "give a number of outputs, or \"classes\" for as many as the data has"
)]
pub enum Outputs {
    /// So many.
    Count(usize),
    /// As many as the data has classes: `"classes"`.
    Named(Classes),
}

/// The number of classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classes {
    /// Of the data.
    Classes,
}

impl Outputs {
    fn count(self, classes: usize) -> usize {
        match self {
            Outputs::Count(count) => count,
            Outputs::Named(Classes::Classes) => classes,
        }
    }
}

/// `layer` with a setting, where it is given.
fn set<L, T: Copy>(layer: L, value: &Option<T>, with: impl FnOnce(L, T) -> L) -> L {
    match *value {
        Some(value) => with(layer, value),
        None => layer,
    }
}

/// `layer` changed, where a switch is on.
fn switch<L>(layer: L, is_on: bool, with: impl FnOnce(L) -> L) -> L {
    if is_on { with(layer) } else { layer }
}

/// The settings of layers with weights, which all have methods of the same names.
macro_rules! started {
    ($layer:expr, $bias:expr, $weight_init:expr, $bias_init:expr) => {{
        let layer = set($layer, $weight_init, |layer, init| layer.weight_init(init));
        let layer = set(layer, $bias_init, |layer, init| layer.bias_init(init));
        Box::new(switch(layer, *$bias == Some(false), |layer| layer.no_bias()))
    }};
}

impl Described {
    /// The layer for data of this many classes.
    pub fn layer(&self, classes: usize) -> Box<dyn Layer> {
        match self {
            Described::Conv2d {
                outputs,
                kernel,
                stride,
                padding,
                dilation,
                groups,
                bias,
                weight_init,
                bias_init,
            } => {
                let layer = Conv2d::new(outputs.count(classes), *kernel);
                let layer = set(layer, stride, Conv2d::stride);
                let layer = set(layer, padding, Conv2d::padding);
                let layer = set(layer, dilation, Conv2d::dilation);
                let layer = set(layer, groups, Conv2d::groups);
                started!(layer, bias, weight_init, bias_init)
            }
            Described::ConvTranspose2d {
                outputs,
                kernel,
                stride,
                padding,
                output_padding,
                dilation,
                groups,
                bias,
                weight_init,
                bias_init,
            } => {
                let layer = ConvTranspose2d::new(outputs.count(classes), *kernel);
                let layer = set(layer, stride, ConvTranspose2d::stride);
                let layer = set(layer, padding, ConvTranspose2d::padding);
                let layer = set(layer, output_padding, ConvTranspose2d::output_padding);
                let layer = set(layer, dilation, ConvTranspose2d::dilation);
                let layer = set(layer, groups, ConvTranspose2d::groups);
                started!(layer, bias, weight_init, bias_init)
            }
            Described::Local2d {
                outputs,
                kernel,
                stride,
                padding,
                groups,
                bias,
                weight_init,
                bias_init,
            } => {
                let layer = Local2d::new(outputs.count(classes), *kernel);
                let layer = set(layer, stride, Local2d::stride);
                let layer = set(layer, padding, Local2d::padding);
                let layer = set(layer, groups, Local2d::groups);
                started!(layer, bias, weight_init, bias_init)
            }
            Described::Linear { outputs, bias, weight_init, bias_init } => {
                started!(Linear::new(outputs.count(classes)), bias, weight_init, bias_init)
            }
            Described::MaxPool2d { kernel, stride, padding, dilation, ceil_mode } => {
                let layer = set(MaxPool2d::new(*kernel), stride, MaxPool2d::stride);
                let layer = set(layer, padding, MaxPool2d::padding);
                let layer = set(layer, dilation, MaxPool2d::dilation);
                Box::new(switch(layer, *ceil_mode, MaxPool2d::ceil_mode))
            }
            Described::AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad } => {
                let layer = set(AvgPool2d::new(*kernel), stride, AvgPool2d::stride);
                let layer = set(layer, padding, AvgPool2d::padding);
                let layer = switch(layer, *ceil_mode, AvgPool2d::ceil_mode);
                let excludes = *count_include_pad == Some(false);
                Box::new(switch(layer, excludes, AvgPool2d::without_padding_in_average))
            }
            Described::AdaptiveAvgPool2d { output_size } => {
                Box::new(AdaptiveAvgPool2d::new(*output_size))
            }
            Described::AdaptiveMaxPool2d { output_size } => {
                Box::new(AdaptiveMaxPool2d::new(*output_size))
            }
            Described::GlobalAvgPool2d {} => Box::new(GlobalAvgPool2d),
            Described::GlobalMaxPool2d {} => Box::new(GlobalMaxPool2d),
            Described::Relu {} => Box::new(Relu),
            Described::Activation(function) => Box::new(Activation::new(*function)),
            Described::PRelu { shared, slope } => {
                let layer = if *shared { PRelu::shared() } else { PRelu::new() };
                Box::new(set(layer, slope, PRelu::slope))
            }
            Described::Dropout { p } => Box::new(Dropout::new(*p)),
            Described::Dropout2d { p } => Box::new(Dropout2d::new(*p)),
            Described::Lrn(op) => Box::new(Lrn::new(*op)),
            Described::LrnWithinChannel(op) => Box::new(LrnWithinChannel::with(*op)),
            Described::ContrastNorm(op) => Box::new(ContrastNorm::with(*op)),
            Described::BatchNorm2d { momentum, eps, affine, weight_init } => {
                let layer = set(BatchNorm2d::new(), momentum, BatchNorm2d::momentum);
                let layer = set(layer, eps, BatchNorm2d::eps);
                let layer = set(layer, weight_init, BatchNorm2d::weight_init);
                Box::new(switch(layer, *affine == Some(false), BatchNorm2d::no_affine))
            }
            Described::LayerNorm { last_axes, eps, bias, affine } => {
                let layer = set(LayerNorm::new(), last_axes, LayerNorm::last_axes);
                let layer = set(layer, eps, LayerNorm::eps);
                let layer = switch(layer, *bias == Some(false), LayerNorm::no_bias);
                Box::new(switch(layer, *affine == Some(false), LayerNorm::no_affine))
            }
            Described::GroupNorm { num_groups, eps, affine } => {
                let layer = set(GroupNorm::new(*num_groups), eps, GroupNorm::eps);
                Box::new(switch(layer, *affine == Some(false), GroupNorm::no_affine))
            }
            Described::InstanceNorm { eps, affine } => {
                let layer = set(InstanceNorm::new(), eps, InstanceNorm::eps);
                Box::new(switch(layer, *affine == Some(true), InstanceNorm::affine))
            }
            Described::Flatten {} => Box::new(Flatten),
            Described::Upsample { factor, mode, align_corners } => {
                let layer = match mode {
                    ScaleMode::Nearest => Upsample::nearest(*factor),
                    ScaleMode::Bilinear => Upsample::bilinear(*factor),
                };
                Box::new(switch(layer, *align_corners, Upsample::align_corners))
            }
            Described::PixelShuffle { factor, inverse: false } => {
                Box::new(PixelShuffle::new(*factor))
            }
            Described::PixelShuffle { factor, inverse: true } => {
                Box::new(PixelShuffle::inverse(*factor))
            }
            Described::Pad { sides: Sides(sides), mode, value } => {
                let layer = match mode {
                    PadMode::Constant => Pad::zeros(*sides),
                    PadMode::Reflect => Pad::reflect(*sides),
                    PadMode::Replicate => Pad::replicate(*sides),
                };
                Box::new(set(layer, value, Pad::value))
            }
            Described::Sequential { layers } => Box::new(layers.sequence(classes)),
            Described::Residual { main, shortcut, then } => {
                let mut layer = Residual::new(main.sequence(classes));
                if let Some(shortcut) = shortcut {
                    layer = layer.shortcut("shortcut", shortcut.sequence(classes));
                }
                if let Some(then) = then {
                    layer = layer.then(then.sequence(classes));
                }
                Box::new(layer)
            }
            Described::Concat { branches } => {
                let branches = branches.iter().map(|branch| branch.sequence(classes));
                Box::new(branches.fold(Concat::new(), Concat::with))
            }
            Described::AuxiliaryHead { weight, head } => {
                Box::new(AuxiliaryHead::new(*weight, head.sequence(classes)))
            }
        }
    }
}
