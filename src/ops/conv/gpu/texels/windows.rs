//! Where the texels of packed images are, and how a convolution's windows lie over them.

use crate::ops::conv::geometry::Geometry;

/// Images with four channels a texel.
#[derive(Clone, Copy)]
pub(super) struct Packed {
    /// Channels of a group, and extents, as they are stored.
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    /// The extents in grouped pixels, with padding.
    pub(super) packed: [usize; 2],
    /// Pixels are grouped by so many in either direction.
    pub(super) scale: usize,
    /// Where the first grouped pixel lies: so far above and to the left of the image.
    pub(super) origin: [isize; 2],
}

impl Packed {
    pub(super) fn quads(&self) -> usize {
        (self.channels * self.scale * self.scale).div_ceil(4)
    }

    /// Texels of one group of an image.
    pub(super) fn plane(&self) -> usize {
        self.packed[0] * self.packed[1] * self.quads()
    }
}

/// How windows lie over packed images.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) image: Packed,
    pub(super) taps: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
}

impl Windows {
    /// The windows of the forward pass. Pixels are grouped by the stride where that leaves fewer
    /// texels to multiply.
    pub(super) fn of(g: &Geometry) -> Self {
        let plain = Windows {
            image: Packed {
                channels: g.group_inputs,
                size: g.input,
                packed: [0, 1].map(|a| {
                    (g.output[a] - 1) * g.stride[a] + (g.kernel[a] - 1) * g.dilation[a] + 1
                }),
                scale: 1,
                origin: g.padding.map(|p| p as isize),
            },
            taps: g.kernel,
            stride: g.stride,
            dilation: g.dilation,
        };
        let scale = g.stride[0];
        if scale == 1 || g.stride != [scale; 2] || g.dilation != [1, 1] {
            return plain;
        }
        let taps = g.kernel.map(|k| k.div_ceil(scale));
        let packed = [0, 1].map(|a| g.output[a] + taps[a] - 1);
        let image = Packed { packed, scale, ..plain.image };
        let grouped = Windows { image, taps, stride: [1, 1], ..plain };
        if grouped.texels() < plain.texels() { grouped } else { plain }
    }

    /// The texels of one window.
    pub(super) fn texels(&self) -> usize {
        self.taps[0] * self.taps[1] * self.image.quads()
    }

    /// Texels from a tap to the one below and to the one beside it.
    pub(super) fn steps(&self) -> [usize; 2] {
        let quads = self.image.quads();
        [self.dilation[0] * self.image.packed[1] * quads, self.dilation[1] * quads]
    }
}
