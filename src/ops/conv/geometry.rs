//! The arithmetic of windows that slide over images.

use super::Conv2d;
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Extents and offsets must stay below this, so that shaders can compute with 32-bit integers.
pub(super) const MAX_EXTENT: usize = i32::MAX as usize;

/// How far a kernel reaches, `(kernel - 1) * dilation + 1`, or `None` where that overflows.
pub fn effective_kernel(kernel: usize, dilation: usize) -> Option<usize> {
    kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)
}

/// Everything about one convolution. Two-element arrays are `[height, width]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    pub batch: usize,
    pub groups: usize,
    /// Input channels of one group.
    pub group_inputs: usize,
    /// Output channels of one group.
    pub group_outputs: usize,
    pub input: [usize; 2],
    pub kernel: [usize; 2],
    pub output: [usize; 2],
    pub stride: [usize; 2],
    /// Padding at the top and at the left; what is at the bottom and right shows in `output`.
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

impl Geometry {
    /// The geometry of a convolution whose shapes have been checked: `[batch, channels, height,
    /// width]`, `[outputs, channels / groups, kernel height, kernel width]` and `[batch, outputs,
    /// output height, output width]`.
    pub fn of(conv: &Conv2d, input: &[usize], weight: &[usize], output: &[usize]) -> Self {
        Geometry {
            batch: input[0],
            groups: conv.groups,
            group_inputs: weight[1],
            group_outputs: weight[0] / conv.groups,
            input: [input[2], input[3]],
            kernel: [weight[2], weight[3]],
            output: [output[2], output[3]],
            stride: conv.stride,
            padding: [conv.padding[0], conv.padding[2]],
            dilation: conv.dilation,
        }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.groups * self.group_inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.groups * self.group_outputs
    }

    /// The taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The weights behind one output element: the length of the forward sum.
    pub fn depth(&self) -> usize {
        self.group_inputs * self.taps()
    }

    /// Pixels of an input channel.
    pub fn input_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Pixels of an output channel.
    pub fn output_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements of an input image.
    pub fn input_image(&self) -> usize {
        self.inputs() * self.input_pixels()
    }

    /// Elements of an output image.
    pub fn output_image(&self) -> usize {
        self.outputs() * self.output_pixels()
    }

    /// `2 * batch * outputs * output_pixels * depth`: the multiply-adds of the forward pass and of
    /// each gradient, counted as two.
    pub fn flops(&self) -> u64 {
        [self.outputs(), self.output_pixels(), self.depth()]
            .iter()
            .fold(2 * self.batch as u64, |product, &n| product.saturating_mul(n as u64))
    }

    /// Whether each channel is convolved by itself.
    pub fn is_depthwise(&self) -> bool {
        self.group_inputs == 1 && self.groups > 1
    }

    /// Whether the columns of the matrix product are the input itself.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.input == self.output
            && self.padding == [0, 0]
    }
}

/// The names of the two axes, for messages.
pub(super) const AXES: [&str; 2] = ["height", "width"];

/// The extents of a convolution's output, or what is wrong. `shapes` go into the message.
pub(super) fn output_extents(
    op: &'static str,
    conv: &Conv2d,
    input: [usize; 2],
    kernel: [usize; 2],
    shapes: [&Shape; 2],
) -> Result<[usize; 2]> {
    let fail = |problem: String| Err(Error::shape(op, shapes, problem));
    let [top, bottom, left, right] = conv.padding;
    let sides = [[top, bottom], [left, right]];
    let mut output = [0; 2];
    for axis in 0..2 {
        let (name, stride, dilation) = (AXES[axis], conv.stride[axis], conv.dilation[axis]);
        if stride == 0 || dilation == 0 {
            return fail(format!(
                "stride and dilation must be at least 1 along the {name}, are {stride} and {dilation}"
            ));
        }
        if kernel[axis] == 0 || input[axis] == 0 {
            return fail(format!("kernel and input must be at least 1 along the {name}"));
        }
        let [before, after] = sides[axis];
        let padded = input[axis].checked_add(before).and_then(|n| n.checked_add(after));
        let effective = effective_kernel(kernel[axis], dilation);
        let (Some(padded), Some(effective)) = (padded, effective) else {
            return fail(format!("padding or dilation is too large along the {name}"));
        };
        if padded > MAX_EXTENT || effective > MAX_EXTENT || stride > MAX_EXTENT {
            return fail(format!(
                "padded input ({padded}), dilated kernel ({effective}) and stride ({stride}) must be \
                 below 2^31 along the {name}"
            ));
        }
        if effective > padded {
            return fail(format!(
                "the kernel is larger than the padded input along the {name}: it reaches over \
                 {effective} (size {}, dilation {dilation}), the input has {padded} ({} + {before} + \
                 {after} padding); use a smaller kernel, more padding or a larger image",
                kernel[axis], input[axis]
            ));
        }
        output[axis] = (padded - effective) / stride + 1;
    }
    Ok(output)
}
