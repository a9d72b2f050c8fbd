//! A picture of any size, and the antialiased way to another size.

use super::scale::{Output, Scaler};
use crate::error::{Error, Result};

/// A picture as bytes in the order row, column, channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    channels: usize,
    height: usize,
    width: usize,
    bytes: Vec<u8>,
}

/// A part of a picture, in pixels from its upper left corner; need not lie on whole pixels.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Region {
    /// The left edge.
    pub left: f64,
    /// The upper edge.
    pub top: f64,
    /// The extent to the right.
    pub width: f64,
    /// The extent downwards.
    pub height: f64,
}

impl Region {
    /// The region without what rounding has put outside of `picture`.
    pub(super) fn within(self, picture: &Picture) -> Self {
        let (right, bottom) = (picture.width as f64, picture.height as f64);
        let (left, top) = (self.left.clamp(0.0, right), self.top.clamp(0.0, bottom));
        let (width, height) = (self.width.min(right - left), self.height.min(bottom - top));
        Region { left, top, width, height }
    }
}

impl Picture {
    /// A picture of `shape` `[channels, height, width]` from bytes in the order row, column,
    /// channel.
    ///
    /// Errors where an extent is 0, there are neither 1 nor 3 channels, or `bytes` does not hold
    /// exactly one such picture.
    pub fn new(shape: [usize; 3], bytes: Vec<u8>) -> Result<Self> {
        let [channels, height, width] = shape;
        let size = shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent));
        let fits = u32::try_from(height).is_ok() && u32::try_from(width).is_ok();
        if !matches!(channels, 1 | 3) || size != Some(bytes.len()) || bytes.is_empty() || !fits {
            return Err(Error::Usage(format!(
                "a picture has 1 or 3 channels and a byte for each and pixel; {shape:?} with {} \
                 bytes was given",
                bytes.len()
            )));
        }
        Ok(Picture { channels, height, width, bytes })
    }

    /// A picture from bytes in the order channel, row, column.
    ///
    /// Errors as [`Picture::new`].
    pub fn from_planes(shape: [usize; 3], planes: &[u8]) -> Result<Self> {
        let [channels, height, width] = shape;
        let plane = height.saturating_mul(width);
        let mut bytes = vec![0; planes.len()];
        if channels.saturating_mul(plane) == planes.len() {
            for (channel, plane) in planes.chunks_exact(plane.max(1)).enumerate() {
                for (to, &from) in bytes.iter_mut().skip(channel).step_by(channels).zip(plane) {
                    *to = from;
                }
            }
        }
        Picture::new(shape, bytes)
    }

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// The bytes, in the order row, column, channel.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the picture in the order channel, row, column; `planes` holds as many elements as
    /// the picture has bytes.
    pub fn write_planes<T: From<u8>>(&self, planes: &mut [T]) {
        let plane = self.height * self.width;
        match (self.channels, planes.len() == 3 * plane) {
            (3, true) => {
                let (red, rest) = planes.split_at_mut(plane);
                let (green, blue) = rest.split_at_mut(plane);
                let planes = red.iter_mut().zip(green).zip(blue);
                for (pixel, ((red, green), blue)) in self.bytes.chunks_exact(3).zip(planes) {
                    *red = pixel[0].into();
                    *green = pixel[1].into();
                    *blue = pixel[2].into();
                }
            }
            _ => {
                for (to, &from) in planes.iter_mut().zip(&self.bytes) {
                    *to = from.into();
                }
            }
        }
    }

    /// The picture with 1 or 3 channels: grey is `0.2126 red + 0.7152 green + 0.0722 blue` (ITU-R
    /// BT.709), colour from grey has three equal channels.
    ///
    /// Errors for any other number of channels.
    pub fn with_channels(&self, channels: usize) -> Result<Picture> {
        let shape = [channels, self.height, self.width];
        let bytes = match (self.channels, channels) {
            (from, to) if from == to => self.bytes.clone(),
            (1, 3) => self.bytes.iter().flat_map(|&grey| [grey; 3]).collect(),
            (_, 1) => {
                let grey = |p: &[u8]| {
                    let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
                    ((2126 * r + 7152 * g + 722 * b) / 10_000) as u8
                };
                self.bytes.chunks_exact(3).map(grey).collect()
            }
            _ => {
                let problem = format!("a network for {channels} channels cannot take pictures");
                return Err(Error::Usage(problem));
            }
        };
        Picture::new(shape, bytes)
    }

    /// The whole picture at another size; see [`Picture::resized`].
    ///
    /// Errors where an extent is 0 or above 65,535.
    pub fn scaled(&self, height: usize, width: usize) -> Result<Picture> {
        self.resized(self.whole(), height, width)
    }

    /// The whole picture as a region.
    pub fn whole(&self) -> Region {
        Region { left: 0.0, top: 0.0, width: self.width as f64, height: self.height as f64 }
    }

    /// The largest region in the middle with the proportions of `height` x `width`: scaled to that
    /// size, the shorter side is kept whole.
    pub fn middle(&self, height: usize, width: usize) -> Region {
        let (whole, wanted) = (self.whole(), width.max(1) as f64 / height.max(1) as f64);
        let across = whole.width.min(whole.height * wanted);
        let down = whole.height.min(whole.width / wanted);
        Region {
            left: (whole.width - across) / 2.0,
            top: (whole.height - down) / 2.0,
            width: across,
            height: down,
        }
    }

    /// A part of the picture at another size. Each new pixel is the mean of the old ones under a
    /// triangle as wide as two new pixels (at least two old ones), so that nothing aliases; the bytes
    /// are the same on every processor.
    ///
    /// Errors where the region is empty or leaves the picture, or an extent is 0 or above 65,535.
    pub fn resized(&self, region: Region, height: usize, width: usize) -> Result<Picture> {
        if height == self.height && width == self.width && region == self.whole() {
            return Ok(self.clone());
        }
        self.check_scaling(region, height, width)?;
        let mut bytes = vec![0; self.channels * height * width];
        let output = Output::Bytes(&mut bytes);
        Scaler::default().scale(self, region, [height, width], false, output);
        Picture::new([self.channels, height, width], bytes)
    }

    /// Errors where [`Picture::resized`] does.
    pub(super) fn check_scaling(&self, region: Region, height: usize, width: usize) -> Result<()> {
        let Region { left, top, width: across, height: down } = region;
        // A little too much comes of rounding.
        let fits = |first: f64, extent: f64, of: usize| {
            first >= 0.0 && extent > 0.0 && first + extent < of as f64 + 1e-6
        };
        let problem = match [height, width].map(u16::try_from) {
            _ if height == 0 || width == 0 => "a size may not be 0",
            [Ok(_), Ok(_)] if fits(left, across, self.width) && fits(top, down, self.height) => {
                return Ok(());
            }
            [Ok(_), Ok(_)] => "the part that is taken is empty or leaves the picture",
            _ => "a size must be less than 65,536",
        };
        Err(Error::Usage(format!("{:?} to {height}x{width}: {problem}", self.shape())))
    }
}
