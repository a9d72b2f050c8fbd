//! From the bytes of images to a network's input: the transforms that need no neighbours but four.

mod cases;
mod cpu;
mod draws;
mod reference;

pub use draws::{ImageDraws, Turn, Window};

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::registry::{Entry, Family};
use crate::ops::shape::strided::indexable;
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: &[] };

const OPS: &[Entry] = &[Entry {
    name: "prepare_images",
    formula: "y = (hide(colour(cut(vary(x))))) factor[c] + addend[c], as each image's draws say",
    source: "Krizhevsky et al. 2012, section 4.1; cutout: DeVries & Taylor 2017",
    cases: cases::cases,
    random: cases::random,
    errors: cases::errors,
}];

/// Turns the bytes of images into a network's input, each image by draws of its own: cut out of the
/// image and mirrored, turned, its contrast and colours changed, a rectangle hidden, normalised.
///
/// Inputs: `pixels`, `u32` `[batch, words]`, the bytes of an image in the order channel, row, column,
/// four to a word, the first in the lowest bits; `draws` `[batch, n]`, a row of [`ImageDraws`] and the
/// factor and the addend of each channel an image; and where `has_mean`, `mean` `[channels, height,
/// width]`, which is subtracted from the bytes first. Output: `[batch, channels, height, width]` of
/// `size`. All extents are at least 1 and less than 2^24.
///
/// With `x(c, v, u)` the byte less its mean, `W` the map of a [`Window`] and `T` that of a [`Turn`],
/// in steps of a byte:
/// - `a(c, v, u) = x(c, W_first(v, u))`, 0 outside of that window;
/// - `b(c, v, u)`: `a` at `T(v, u)`, bilinear between the four pixels around it, where `turned` says the
///   height and width of `a`; else `a` itself;
/// - `b = clamp(b contrast + offset, 0, 255)` where these change anything, and for three channels
///   `b = clamp(grey + (b - grey) saturation, 0, 255)` with `grey = 0.299 b0 + 0.587 b1 + 0.114 b2`;
/// - `y(c, v, u) = b(c, W_last(v, u))`, 0 outside of that window; plus `colour[c]` for three channels; 0
///   in the rectangle `hidden`; times `factor[c]`, plus `addend[c]`.
///
/// There is no gradient: nothing before it is trained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrepareImages {
    /// `[channels, height, width]` of an image in `pixels`.
    pub image: [usize; 3],
    /// Height and width of what comes out.
    pub size: [usize; 2],
    /// Height and width of what is turned, where anything is.
    pub turned: Option<[usize; 2]>,
    /// Whether a mean image is subtracted.
    pub has_mean: bool,
}

/// An extent from which on a coordinate would not be exact.
const TOO_LARGE: usize = 1 << 24;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    items: u32,
}

impl PrepareImages {
    /// The words of an image's bytes.
    pub fn words(&self) -> usize {
        self.image.iter().product::<usize>().div_ceil(4)
    }

    /// The numbers of an image's draws.
    pub fn draws(&self) -> usize {
        ImageDraws::LEN + 2 * self.image[0]
    }

    /// The types of the inputs for a batch.
    pub fn inputs(&self, batch: usize) -> Vec<TensorType> {
        let mut types =
            vec![TensorType::u32([batch, self.words()]), TensorType::f32([batch, self.draws()])];
        if self.has_mean {
            types.push(TensorType::f32(self.image));
        }
        types
    }

    fn output(&self, batch: usize) -> TensorType {
        TensorType::f32([batch, self.image[0], self.size[0], self.size[1]])
    }
}

impl Op for PrepareImages {
    fn name(&self) -> &'static str {
        "prepare_images"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let op = self.name();
        let shapes = || inputs.iter().map(|t| &t.shape);
        let count = if self.has_mean { 3 } else { 2 };
        expect_inputs(op, inputs, count..=count)?;
        let extents = self.image.iter().chain(&self.size).chain(self.turned.iter().flatten());
        if extents.clone().any(|&extent| extent == 0 || extent >= TOO_LARGE) {
            return Err(Error::shape(op, shapes(), "extents must be from 1 to 2^24 - 1"));
        }
        let bytes = TensorType::f32(self.image).shape.checked_elements();
        if bytes.is_none_or(|bytes| bytes > u32::MAX as usize) {
            return Err(Error::shape(op, shapes(), "an image has more bytes than can be counted"));
        }
        let batch = inputs[0].dims().first().copied().unwrap_or(0);
        let wanted = self.inputs(batch);
        if let Some(i) = (0..count).find(|&i| inputs[i] != wanted[i]) {
            let problem = format!("input {i} must be {}, is {}", wanted[i], inputs[i]);
            return Err(Error::shape(op, shapes(), problem));
        }
        let output = self.output(batch);
        // Also refuses a batch of none.
        expect_f32(op, std::slice::from_ref(&output))?;
        Ok(vec![output])
    }

    fn cost(&self, types: &Types) -> Cost {
        let taps = if self.turned.is_some() { 24 } else { 8 };
        Cost::with_flops(types, taps * types.outputs[0].elements() as u64)
    }

    /// A place to which an image is turned is off by some units in the last place of a coordinate, and
    /// from one pixel to the next values change by as much as they are large.
    fn reduction(&self, _: &Types) -> usize {
        let side = self.turned.map_or(1, |[height, width]| height.max(width));
        4 + 4 * side * side
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        reference::prepare(self, io);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::prepare(self, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let batch = types.input(0)[0];
        let [channels, height, width] = self.image;
        let [output_height, output_width] = self.size;
        let size = channels * output_height * output_width;
        let chunks =
            adapter.chunk_items(self.name(), batch, &[self.words(), self.draws(), size])?;
        let dispatches = chunks.into_iter().map(|chunk| {
            let items = chunk.len() * output_height * output_width;
            let mut dispatch = Dispatch::new(crate::kernel::shader!("images/prepare.wgsl"))
                .constant("CHANNELS", channels as u32)
                .constant("HEIGHT", height as u32)
                .constant("WIDTH", width as u32)
                .constant("OUTPUT_HEIGHT", output_height as u32)
                .constant("OUTPUT_WIDTH", output_width as u32)
                .constant("TURNS", self.turned.is_some());
            if let Some([height, width]) = self.turned {
                dispatch = dispatch
                    .constant("CENTRE_Y", Turn::centre(height))
                    .constant("CENTRE_X", Turn::centre(width));
            }
            // Where there is no mean the kernel does not read it.
            let mean = if self.has_mean { Operand::Input(2) } else { Operand::Input(1) };
            dispatch
                .constant("HAS_MEAN", self.has_mean)
                .bind_range("pixels", Operand::Input(0), scaled(&chunk, self.words()))
                .bind_range("draws", Operand::Input(1), scaled(&chunk, self.draws()))
                .bind("mean", mean)
                .bind_range("output", Operand::Output(0), scaled(&chunk, size))
                .params(&Params { items: items as u32 })
                .threads(items)
        });
        Ok(vec![Variant::new("gather", dispatches.collect())])
    }
}
