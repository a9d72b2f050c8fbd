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
    /// Pixels are grouped by so many rows and columns.
    pub(super) scale: [usize; 2],
    /// Where the first grouped pixel lies: so far above and to the left of the image.
    pub(super) origin: [isize; 2],
}

impl Packed {
    pub(super) fn quads(&self) -> usize {
        (self.channels * self.scale[0] * self.scale[1]).div_ceil(4)
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
    /// The windows of the forward pass. Pixels are grouped by the stride, in both directions or along the
    /// rows, where that leaves fewer texels to multiply.
    pub(super) fn of(g: &Geometry) -> Self {
        let [height, width] = g.stride;
        let scales = if g.dilation == [1, 1] {
            vec![[1, 1], [height, width], [1, width]]
        } else {
            vec![[1, 1]]
        };
        let windows = scales.into_iter().map(|scale| Windows::grouped(g, scale));
        let first = Windows::grouped(g, [1, 1]);
        windows.fold(first, |best, next| if next.texels() < best.texels() { next } else { best })
    }

    /// The windows over pixels that are grouped by 1 or by the stride.
    fn grouped(g: &Geometry, scale: [usize; 2]) -> Self {
        let taps = [0, 1].map(|a| g.kernel[a].div_ceil(scale[a]));
        let stride = [0, 1].map(|a| g.stride[a] / scale[a]);
        let packed =
            [0, 1].map(|a| (g.output[a] - 1) * stride[a] + (taps[a] - 1) * g.dilation[a] + 1);
        let image = Packed {
            channels: g.group_inputs,
            size: g.input,
            packed,
            scale,
            origin: g.padding.map(|p| p as isize),
        };
        Windows { image, taps, stride, dilation: g.dilation }
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
