//! Where pooling windows lie on a plane.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernel::{Dispatch, Shader};
use crate::ops::nchw;
use crate::tensor::TensorType;

/// The parameters that all pooling ops share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Windows {
    pub(super) window: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 4],
    pub(super) ceil_mode: bool,
}

/// Windows on a plane of known size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    /// Height and width of the input.
    pub(super) input: [usize; 2],
    /// Height and width of the output.
    pub(super) output: [usize; 2],
    pub(super) window: [usize; 2],
    pub(super) stride: [usize; 2],
    /// Padding at the top and at the left.
    pub(super) before: [usize; 2],
    /// Padding at the bottom and at the right.
    pub(super) after: [usize; 2],
}

impl Windows {
    /// The windows on planes of this height and width.
    ///
    /// Errors where a window or a stride is 0, where padding is more than half a window (a window
    /// of nothing but padding has no maximum), or where no window fits.
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
        let mut output = [0; 2];
        for axis in 0..2 {
            let (window, stride) = (self.window[axis], self.stride[axis]);
            let name = ["height", "width"][axis];
            if window == 0 || stride == 0 {
                return refuse(format!(
                    "window and stride must be at least 1, the {name}s are {window} and {stride}"
                ));
            }
            if before[axis].max(after[axis]) > window / 2 {
                return refuse(format!(
                    "padding may be at most half the window ({name} {window}), is {} and {}",
                    before[axis], after[axis]
                ));
            }
            match self.outputs(input[axis], window, stride, before[axis], after[axis]) {
                Some(n) => output[axis] = n,
                None => {
                    return refuse(format!(
                        "a window of {name} {window} does not fit an input of {name} {} with \
                         padding {} and {}; use a smaller window or a larger input",
                        input[axis], before[axis], after[axis]
                    ));
                }
            }
        }
        // A window that reaches beyond the padding covers no more than one that ends with it.
        let window =
            [0, 1].map(|axis| self.window[axis].min(input[axis] + before[axis] + after[axis]));
        Ok(Geometry { input, output, window, stride: self.stride, before, after })
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
    /// The elements of an input plane.
    pub(super) fn input_plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// The elements of an output plane.
    pub(super) fn output_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The input positions along `axis` that window `o` covers. Never empty.
    pub(super) fn covered(&self, axis: usize, o: usize) -> Range<usize> {
        let start = o * self.stride[axis];
        let end = (start + self.window[axis] - self.before[axis]).min(self.input[axis]);
        start.saturating_sub(self.before[axis])..end
    }

    /// The windows along the width whose column `k` lies inside the input, and the input column
    /// that it is for the first of them.
    pub(super) fn inside(&self, k: usize) -> (Range<usize>, usize) {
        let (stride, before) = (self.stride[1], self.before[1]);
        let first = before.saturating_sub(k).div_ceil(stride);
        let end = (self.input[1] + before).saturating_sub(k).div_ceil(stride).min(self.output[1]);
        (first..end.max(first), (first * stride + k).saturating_sub(before))
    }
}

/// What the pooling shaders are told about the geometry, besides their constants.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    items: u32,
    height: u32,
    width: u32,
    output_height: u32,
    output_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
}

impl Geometry {
    /// A dispatch of a pooling shader over `items` elements, with nothing bound yet.
    pub(super) fn dispatch(&self, shader: Shader, items: usize) -> Dispatch {
        // A stride beyond any input is only ever multiplied by 0.
        let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Dispatch::new(shader)
            .constant("WINDOW_HEIGHT", word(self.window[0]))
            .constant("WINDOW_WIDTH", word(self.window[1]))
            .constant("STRIDE_HEIGHT", word(self.stride[0]))
            .constant("STRIDE_WIDTH", word(self.stride[1]))
            .params(&Params {
                items: word(items),
                height: word(self.input[0]),
                width: word(self.input[1]),
                output_height: word(self.output[0]),
                output_width: word(self.output[1]),
                top: word(self.before[0]),
                left: word(self.before[1]),
                bottom: word(self.after[0]),
                right: word(self.after[1]),
            })
    }
}
