//! Where pooling windows lie on a plane.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernel::{Dispatch, Shader};
use crate::ops::conv::effective_kernel;
use crate::ops::nchw;
use crate::tensor::TensorType;

/// The parameters that all pooling ops share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Windows {
    pub(super) window: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 4],
    pub(super) dilation: [usize; 2],
    pub(super) ceil_mode: bool,
}

/// Extents must stay below this, so that shaders can compute with 32-bit integers.
const MAX_EXTENT: usize = i32::MAX as usize;

/// Windows on a plane of known size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    /// Height and width of the input.
    pub(super) input: [usize; 2],
    /// Height and width of the output.
    pub(super) output: [usize; 2],
    pub(super) window: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Whether the windows divide the plane among them: `floor(o input / output)` to `ceil((o + 1)
    /// input / output)`. Then window, stride, dilation and padding are without meaning.
    pub(super) adaptive: bool,
    /// Padding at the top and at the left.
    pub(super) before: [usize; 2],
    /// Padding at the bottom and at the right.
    pub(super) after: [usize; 2],
}

impl Windows {
    /// The windows on planes of this height and width.
    ///
    /// Errors where a window, a stride or a dilation is 0, where padding is more than half a window
    /// (a window of nothing but padding has no maximum), or where no window fits.
    pub(super) fn on(
        &self,
        op: &'static str,
        inputs: &[TensorType],
        input: [usize; 2],
    ) -> Result<Geometry> {
        let refuse =
            |problem: String| Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem));
        let [top, bottom, left, right] = self.padding;
        let (before, after) = ([top, left], [bottom, right]);
        let (mut output, mut taps) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            let (window, stride, dilation) =
                (self.window[axis], self.stride[axis], self.dilation[axis]);
            let (before, after) = (before[axis], after[axis]);
            let name = ["height", "width"][axis];
            if window == 0 || stride == 0 || dilation == 0 {
                return refuse(format!(
                    "window, stride and dilation must be at least 1, the {name}s are {window}, \
                     {stride} and {dilation}"
                ));
            }
            if before.max(after) > window / 2 {
                return refuse(format!(
                    "padding may be at most half the window ({name} {window}), is {before} and \
                     {after}"
                ));
            }
            let padded = input[axis].saturating_add(before).saturating_add(after);
            let reach = effective_kernel(window, dilation).unwrap_or(usize::MAX);
            let windows = self.outputs(input[axis], reach, stride, before, after);
            let Some(windows) = windows.filter(|_| padded < MAX_EXTENT) else {
                return refuse(format!(
                    "a window of {name} {window}, dilation {dilation}, does not fit an input of \
                     {name} {} with padding {before} and {after}; use a smaller window or a larger \
                     input",
                    input[axis]
                ));
            };
            // Taps beyond the padding cover nothing.
            taps[axis] = window.min((padded - 1) / dilation + 1);
            // Only a tap that steps over the whole input can leave a window empty.
            let is_empty = |o: usize| {
                let start = o * stride;
                let skipped = before.saturating_sub(start).next_multiple_of(dilation);
                skipped / dilation >= taps[axis] || start + skipped - before >= input[axis]
            };
            let starts_before = windows.min(before.div_ceil(stride));
            if dilation > input[axis] && (0..starts_before).any(is_empty) {
                return refuse(format!(
                    "with dilation {dilation} a window steps over an input of {name} {}; use less \
                     dilation or padding",
                    input[axis]
                ));
            }
            output[axis] = windows;
        }
        let (stride, dilation) = (self.stride, self.dilation);
        let window = taps;
        Ok(Geometry { input, output, window, stride, dilation, adaptive: false, before, after })
    }

    /// The number of windows along an axis, as PyTorch counts them (`pooling_output_shape`).
    fn outputs(
        &self,
        input: usize,
        window: usize,
        stride: usize,
        before: usize,
        after: usize,
    ) -> Option<usize> {
        let room = input.checked_add(before)?.checked_add(after)?;
        if !self.ceil_mode {
            return Some(room.checked_sub(window)? / stride + 1);
        }
        let last = room.checked_add(stride - 1)?.checked_sub(window)? / stride;
        // The last window must start inside the input or the padding before it.
        let inside = last.checked_mul(stride)? < input + before;
        Some(if inside { last + 1 } else { last }).filter(|&n| n > 0)
    }

    /// The windows on the planes of a `[batch, channels, height, width]` type.
    pub(super) fn on_tensor(&self, op: &'static str, ty: &TensorType) -> Result<Geometry> {
        let [_, _, height, width] = nchw(op, ty)?;
        self.on(op, std::slice::from_ref(ty), [height, width])
    }
}

impl Geometry {
    /// As many windows as `output` says on the planes of a `[batch, channels, height, width]` type,
    /// whatever their size.
    ///
    /// Errors where there are none or too many.
    pub(super) fn adaptive(
        op: &'static str,
        inputs: &[TensorType],
        input: [usize; 2],
        output: [usize; 2],
    ) -> Result<Self> {
        for axis in 0..2 {
            let product = output[axis].saturating_add(1).saturating_mul(input[axis]);
            if output[axis] == 0 || product > u32::MAX as usize {
                let problem = format!(
                    "an output of {}x{} for planes of {}x{}: extents must be at least 1, and their \
                     products below 2^32",
                    output[0], output[1], input[0], input[1]
                );
                return Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem));
            }
        }
        let (ones, zeros) = ([1; 2], [0; 2]);
        Ok(Geometry {
            input,
            output,
            window: ones,
            stride: ones,
            dilation: ones,
            adaptive: true,
            before: zeros,
            after: zeros,
        })
    }

    /// The elements of an input plane.
    pub(super) fn input_plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// The elements of an output plane.
    pub(super) fn output_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether one window covers the whole plane.
    pub(super) fn is_global(&self) -> bool {
        self.adaptive && self.output == [1, 1]
    }

    /// The input positions along `axis` from window `o`'s first tap inside the input to its last. Its
    /// taps are a dilation apart. Never empty.
    pub(super) fn covered(&self, axis: usize, o: usize) -> Range<usize> {
        let (input, before, dilation) = (self.input[axis], self.before[axis], self.dilation[axis]);
        if self.adaptive {
            let output = self.output[axis];
            return o * input / output..((o + 1) * input).div_ceil(output);
        }
        let start = o * self.stride[axis];
        let skipped = before.saturating_sub(start).next_multiple_of(dilation);
        let end = (start + (self.window[axis] - 1) * dilation + 1 - before).min(input);
        start + skipped - before..end
    }

    /// The windows along the width whose tap `k` lies inside the input, and the input column that it
    /// is for the first of them.
    pub(super) fn inside(&self, k: usize) -> (Range<usize>, usize) {
        let (stride, before, offset) = (self.stride[1], self.before[1], k * self.dilation[1]);
        let first = before.saturating_sub(offset).div_ceil(stride);
        let end =
            (self.input[1] + before).saturating_sub(offset).div_ceil(stride).min(self.output[1]);
        (first..end.max(first), (first * stride + offset).saturating_sub(before))
    }

    /// The type `[batch, channels, output height, output width]`.
    ///
    /// Errors where it has too many elements.
    pub(super) fn output_type(&self, op: &'static str, input: &TensorType) -> Result<TensorType> {
        let [batch, channels, ..] = nchw(op, input)?;
        let output = TensorType::f32([batch, channels, self.output[0], self.output[1]]);
        match output.shape.checked_elements() {
            Some(_) => Ok(output),
            None => Err(Error::shape(op, [&input.shape], "the output is too large")),
        }
    }
}

/// What the pooling shaders are told about the geometry, besides their constants.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    items: u32,
}

impl Geometry {
    /// A dispatch of a pooling shader over `items` elements, with nothing bound yet.
    pub(super) fn dispatch(&self, shader: Shader, items: usize) -> Dispatch {
        // A stride or dilation beyond any input is only ever multiplied by 0.
        let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Dispatch::new(shader)
            .constant("WINDOW_HEIGHT", word(self.window[0]))
            .constant("WINDOW_WIDTH", word(self.window[1]))
            .constant("STRIDE_HEIGHT", word(self.stride[0]))
            .constant("STRIDE_WIDTH", word(self.stride[1]))
            .constant("DILATION_HEIGHT", word(self.dilation[0]))
            .constant("DILATION_WIDTH", word(self.dilation[1]))
            .constant("ADAPTIVE", self.adaptive)
            .constant("INPUT_HEIGHT", word(self.input[0]))
            .constant("INPUT_WIDTH", word(self.input[1]))
            .constant("OUTPUT_HEIGHT", word(self.output[0]))
            .constant("OUTPUT_WIDTH", word(self.output[1]))
            .constant("TOP", word(self.before[0]))
            .constant("LEFT", word(self.before[1]))
            .constant("BOTTOM", word(self.after[0]))
            .constant("RIGHT", word(self.after[1]))
            .params(&Params { items: word(items) })
    }
}
