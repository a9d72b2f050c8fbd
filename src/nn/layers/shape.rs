//! Layers that move elements.

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::Value;
use crate::ops::shape::{
    PadMode, Permute, Place, Resample, Reshape, ScaleMode, shuffle, unshuffle,
};

/// All axes but the first as one: `[batch, ...]` becomes `[batch, features]`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Flatten;

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let shape = builder.ty(input).shape.clone();
        if shape.rank() == 2 {
            return Ok(input);
        }
        let flat = Reshape::flattening(&shape, 1, shape.rank().saturating_sub(1))?;
        builder.add(flat, &[input])
    }
}

/// Height and width times a whole number. See [`Resample`].
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    factor: usize,
    mode: ScaleMode,
    align_corners: bool,
}

impl Upsample {
    /// Each pixel becomes a block of `factor` by `factor`.
    pub fn nearest(factor: usize) -> Self {
        Upsample { factor, mode: ScaleMode::Nearest, align_corners: false }
    }

    /// New pixels are means of the four around them.
    pub fn bilinear(factor: usize) -> Self {
        Upsample { factor, mode: ScaleMode::Bilinear, align_corners: false }
    }

    /// The corners of the output are those of the input.
    pub fn align_corners(mut self) -> Self {
        self.align_corners = true;
        self
    }
}

impl Layer for Upsample {
    fn kind(&self) -> &'static str {
        "upsample"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let Upsample { factor, mode, align_corners } = *self;
        let shape = builder.ty(input).shape.clone();
        let size = match *shape.dims() {
            [_, _, height, width] => [height, width].map(|extent| extent.saturating_mul(factor)),
            _ => {
                return Err(builder.fault("input", shape, "upsampling needs images, [n, c, h, w]"));
            }
        };
        builder.add(Resample::to_size(&shape, size, mode, align_corners)?, &[input])
    }
}

/// Blocks of `factor` x `factor` channels become pixels (Shi et al., 2016): `[n, c r^2, h, w]` becomes
/// `[n, c, h r, w r]`; or the inverse.
#[derive(Clone, Copy, Debug)]
pub struct PixelShuffle {
    factor: usize,
    is_inverse: bool,
}

impl PixelShuffle {
    /// Channels become pixels.
    pub fn new(factor: usize) -> Self {
        PixelShuffle { factor, is_inverse: false }
    }

    /// Pixels become channels.
    pub fn inverse(factor: usize) -> Self {
        PixelShuffle { factor, is_inverse: true }
    }
}

impl Layer for PixelShuffle {
    fn kind(&self) -> &'static str {
        "shuffle"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let shape = builder.ty(input).shape.clone();
        let rearrange = if self.is_inverse { unshuffle } else { shuffle };
        let [apart, axes, together] = rearrange(&shape, self.factor)?;
        let apart = builder.add(Reshape { shape: apart.into() }, &[input])?;
        let permuted = builder.add(Permute { axes }, &[apart])?;
        builder.add(Reshape { shape: together.into() }, &[permuted])
    }
}

/// Pixels around an image.
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    sides: [usize; 4],
    mode: PadMode,
    value: f32,
}

impl Pad {
    /// Zeros: this many at the top, bottom, left and right.
    pub fn zeros(sides: [usize; 4]) -> Self {
        Pad { sides, mode: PadMode::Constant, value: 0.0 }
    }

    /// The image mirrored at its first and last pixels.
    pub fn reflect(sides: [usize; 4]) -> Self {
        Pad { mode: PadMode::Reflect, ..Pad::zeros(sides) }
    }

    /// The pixels at the edge repeated.
    pub fn replicate(sides: [usize; 4]) -> Self {
        Pad { mode: PadMode::Replicate, ..Pad::zeros(sides) }
    }

    /// What zeros are replaced by.
    pub fn value(mut self, value: f32) -> Self {
        self.value = value;
        self
    }
}

impl Layer for Pad {
    fn kind(&self) -> &'static str {
        "pad"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let [top, bottom, left, right] = self.sides;
        let shape = builder.ty(input).shape.clone();
        if shape.rank() != 4 {
            return Err(builder.fault("input", shape, "padding needs images, [n, c, h, w]"));
        }
        if self.mode == PadMode::Constant {
            let sides = [[0; 2], [0; 2], [top, bottom], [left, right]];
            return builder.add(Place::padding(&shape, &sides, self.value), &[input]);
        }
        builder.add(Resample::padding(self.mode, self.sides), &[input])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::nn::{Activation, Mode, PRelu};
    use crate::tensor::TensorType;

    fn output(input: &[usize], layer: impl Layer) -> Result<Vec<usize>> {
        let mut graph = Graph::new();
        let input = graph.input("image", TensorType::f32(input))?;
        let output = Builder::new(&mut graph, Mode::Evaluate, 0).layer(None, &layer, input)?;
        Ok(graph.value(output).ty.dims().to_vec())
    }

    #[test]
    fn layers_give_their_shapes() {
        let image = [2, 8, 4, 6];
        assert_eq!(output(&image, Flatten).unwrap(), [2, 192]);
        assert_eq!(output(&[2, 5], Flatten).unwrap(), [2, 5]);
        assert_eq!(output(&image, Upsample::nearest(3)).unwrap(), [2, 8, 12, 18]);
        assert_eq!(output(&image, Upsample::bilinear(2).align_corners()).unwrap(), [2, 8, 8, 12]);
        assert_eq!(output(&image, PixelShuffle::new(2)).unwrap(), [2, 2, 8, 12]);
        assert_eq!(output(&image, PixelShuffle::inverse(2)).unwrap(), [2, 32, 2, 3]);
        let sides = [1, 2, 3, 0];
        for pad in [Pad::zeros(sides).value(1.5), Pad::reflect(sides), Pad::replicate(sides)] {
            assert_eq!(output(&image, pad).unwrap(), [2, 8, 7, 9]);
        }
        assert_eq!(output(&image, PRelu::new()).unwrap(), image);
        assert_eq!(output(&image, PRelu::shared()).unwrap(), image);
        assert_eq!(output(&image, Activation::gelu()).unwrap(), image);
    }

    #[test]
    fn layers_refuse_what_they_cannot_take() {
        for wrong in [
            output(&[5], Flatten),
            output(&[2, 5], Upsample::nearest(2)),
            output(&[2, 3, 4, 4], Upsample::nearest(0)),
            output(&[2, 3, 4, 4], PixelShuffle::new(2)),
            output(&[2, 3, 5, 4], PixelShuffle::inverse(2)),
            output(&[2, 3, 5, 4], PixelShuffle::new(0)),
            output(&[2, 3, 4, 4], Pad::reflect([4, 0, 0, 0])),
            output(&[2, 3], Pad::zeros([1; 4])),
        ] {
            assert!(wrong.is_err());
        }
    }
}
