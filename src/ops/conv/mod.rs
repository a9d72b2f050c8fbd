//! Two-dimensional convolution and its gradients.
//!
//! As in every deep-learning library, "convolution" is cross-correlation: the kernel is not
//! flipped. Images are `[batch, channels, height, width]`.

mod backward;
mod cases;
mod cpu;
mod forward;
mod geometry;
mod gpu;
mod local;
mod local_cases;
mod reference;
mod transpose;
mod transpose_cases;
mod winograd;

pub use backward::{Conv2dGradInput, Conv2dGradWeight};
pub use geometry::effective_kernel;
pub use local::{
    LocallyConnected2d, LocallyConnected2dGradBias, LocallyConnected2dGradInput,
    LocallyConnected2dGradWeight,
};
pub use transpose::{ConvTranspose2d, ConvTranspose2dGradInput, ConvTranspose2dGradWeight};
pub use winograd::Winograd;

use serde::{Deserialize, Serialize};

use crate::ops::attributes;
use crate::ops::call::Call;
use crate::ops::registry::{Entry, Family};

/// Convolution of images with a bank of filters:
///
/// ```text
/// y[n, o, i, j] = bias[o] + sum over c, u, v of
///     x[n, g*C + c, i*stride_h + u*dilation_h - top, j*stride_w + v*dilation_w - left] * w[o, c, u, v]
/// ```
///
/// where `x` is 0 outside the image, `C` is the number of input channels of a group and `g` is the
/// group of output channel `o`. `bias` is 0 where it is not given.
///
/// Inputs: `x` `[batch, channels, height, width]`, `w` `[outputs, channels / groups, kernel height,
/// kernel width]` and optionally `bias` `[outputs]`. Output: `[batch, outputs, output height, output
/// width]`, where an output extent is `(padded - effective) / stride + 1` with `effective =
/// (kernel - 1) * dilation + 1`.
///
/// Errors where channels or outputs do not divide into the groups, where the weight does not fit the
/// channels, where the kernel is larger than the padded input and where a stride is 0.
///
/// Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition"; groups:
/// Krizhevsky et al. 2012; dilation: Yu & Koltun 2016.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conv2d {
    /// Input pixels between neighbouring windows, `[height, width]`.
    #[serde(deserialize_with = "attributes::pair")]
    pub stride: [usize; 2],
    /// Zero pixels around the image: `[top, bottom, left, right]`.
    #[serde(deserialize_with = "attributes::sides")]
    pub padding: [usize; 4],
    /// Input pixels between neighbouring taps of the kernel, `[height, width]`.
    #[serde(deserialize_with = "attributes::pair")]
    pub dilation: [usize; 2],
    /// The number of groups into which channels and outputs are divided.
    pub groups: usize,
}

impl Default for Conv2d {
    /// Stride 1, no padding, dilation 1, one group.
    fn default() -> Self {
        Conv2d { stride: [1, 1], padding: [0; 4], dilation: [1, 1], groups: 1 }
    }
}

impl Conv2d {
    /// The same stride along both axes, the same padding on all sides; dilation 1, one group.
    pub fn new(stride: usize, padding: usize) -> Self {
        Conv2d { stride: [stride; 2], padding: [padding; 4], ..Conv2d::default() }
    }

    /// With this many groups.
    pub fn groups(self, groups: usize) -> Self {
        Conv2d { groups, ..self }
    }
}

/// `y = max(0, conv2d(x, w, bias))`: a [`Conv2d`] and the ReLU behind it in one pass. Plans make it of
/// the two where they can; see [`fuse`](crate::graph::fuse).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Conv2dRelu(pub Conv2d);

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: CALLS };

const INPUTS: &[&str] = &["input", "weight", "bias?"];

const CALLS: &[Call] = &[
    Call::op::<Conv2d>("conv2d", INPUTS, &["output"]),
    Call::op::<ConvTranspose2d>("conv_transpose2d", INPUTS, &["output"]),
    Call::op::<LocallyConnected2d>("locally_connected2d", INPUTS, &["output"]),
];

const OPS: &[Entry] = &[
    Entry {
        name: "conv2d",
        formula: "y[n,o,i,j] = bias[o] + sum_cuv x[n,gC+c,i*s+u*d-p,j*s+v*d-p] w[o,c,u,v]",
        source: "LeCun et al. 1998; Krizhevsky et al. 2012 (groups); Yu & Koltun 2016 (dilation)",
        cases: cases::forward,
        random: cases::random_forward,
        errors: cases::forward_errors,
    },
    Entry {
        name: "conv2d_relu",
        formula: "y = max(0, conv2d(x, w, bias))",
        source: "Krizhevsky et al. 2012",
        cases: cases::forward_relu,
        random: cases::random_forward_relu,
        errors: cases::forward_relu_errors,
    },
    Entry {
        name: "conv2d_grad_input",
        formula: "grad_x[n,c,h,w] = sum over o, u, v, i, j with h = i*s+u*d-p, w = j*s+v*d-p of \
                  grad_y[n,o,i,j] w[o,c,u,v]",
        source: "derived by hand",
        cases: cases::grad_input,
        random: cases::random_grad_input,
        errors: cases::grad_input_errors,
    },
    Entry {
        name: "conv2d_grad_weight",
        formula: "grad_w[o,c,u,v] = sum_nij grad_y[n,o,i,j] x[n,gC+c,i*s+u*d-p,j*s+v*d-p]",
        source: "derived by hand",
        cases: cases::grad_weight,
        random: cases::random_grad_weight,
        errors: cases::grad_weight_errors,
    },
    Entry {
        name: "conv_transpose2d",
        formula: "y[n,gO+o,i*s+u*d-p,j*s+v*d-p] = bias[gO+o] + sum of x[n,c,i,j] w[c,o,u,v]",
        source: "Zeiler et al. 2010; Dumoulin & Visin 2016, chapter 4",
        cases: transpose_cases::forward,
        random: transpose_cases::random_forward,
        errors: transpose_cases::forward_errors,
    },
    Entry {
        name: "conv_transpose2d_grad_input",
        formula: "grad_x[n,c,i,j] = sum_ouv grad_y[n,gO+o,i*s+u*d-p,j*s+v*d-p] w[c,o,u,v]",
        source: "derived by hand",
        cases: transpose_cases::grad_input,
        random: transpose_cases::random_grad_input,
        errors: transpose_cases::grad_input_errors,
    },
    Entry {
        name: "conv_transpose2d_grad_weight",
        formula: "grad_w[c,o,u,v] = sum_nij grad_y[n,gO+o,i*s+u*d-p,j*s+v*d-p] x[n,c,i,j]",
        source: "derived by hand",
        cases: transpose_cases::grad_weight,
        random: transpose_cases::random_grad_weight,
        errors: transpose_cases::grad_weight_errors,
    },
    Entry {
        name: "locally_connected2d",
        formula: "y[n,o,i,j] = bias[o,i,j] + sum_cuv x[n,gC+c,i*s+u*d-p,j*s+v*d-p] w[o,c,u,v,i,j]",
        source: "LeCun 1989; Krizhevsky 2011, cuda-convnet (local layers)",
        cases: local_cases::forward,
        random: local_cases::random_forward,
        errors: local_cases::forward_errors,
    },
    Entry {
        name: "locally_connected2d_grad_input",
        formula: "grad_x[n,c,h,w] = sum over o, u, v, i, j with h = i*s+u*d-p, w = j*s+v*d-p of \
                  grad_y[n,o,i,j] w[o,c,u,v,i,j]",
        source: "derived by hand",
        cases: local_cases::grad_input,
        random: local_cases::random_grad_input,
        errors: local_cases::grad_input_errors,
    },
    Entry {
        name: "locally_connected2d_grad_weight",
        formula: "grad_w[o,c,u,v,i,j] = sum_n grad_y[n,o,i,j] x[n,gC+c,i*s+u*d-p,j*s+v*d-p]",
        source: "derived by hand",
        cases: local_cases::grad_weight,
        random: local_cases::random_grad_weight,
        errors: local_cases::grad_weight_errors,
    },
    Entry {
        name: "locally_connected2d_grad_bias",
        formula: "grad_bias[o,i,j] = sum_n grad_y[n,o,i,j]",
        source: "derived by hand",
        cases: local_cases::grad_bias,
        random: local_cases::random_grad_bias,
        errors: local_cases::grad_bias_errors,
    },
];
