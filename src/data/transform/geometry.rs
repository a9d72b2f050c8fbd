//! Parts, margins and mirror images of images in planes.

use crate::data::{Picture, Region};
use crate::philox::Stream;

/// The part of an image whose upper left corner is at `[row, column]` and whose size is that of `to`;
/// 0 where there is no image.
pub(super) fn window(
    from: &[f32],
    [_, height, width]: [usize; 3],
    [top, left]: [i64; 2],
    [_, to_height, to_width]: [usize; 3],
    to: &mut [f32],
) {
    let (plane, to_plane) = ((height * width).max(1), (to_height * to_width).max(1));
    // The columns of `to` over which there is an image.
    let first = (-left).clamp(0, to_width as i64) as usize;
    let last = (width as i64 - left).clamp(first as i64, to_width as i64) as usize;
    for (from, to) in from.chunks_exact(plane).zip(to.chunks_exact_mut(to_plane)) {
        for (y, row) in to.chunks_exact_mut(to_width.max(1)).enumerate() {
            let source = usize::try_from(y as i64 + top).ok().filter(|&y| y < height);
            let Some(source) = source.filter(|_| first < last) else {
                row.fill(0.0);
                continue;
            };
            let start = source * width + (first as i64 + left) as usize;
            row[..first].fill(0.0);
            row[first..last].copy_from_slice(&from[start..start + last - first]);
            row[last..].fill(0.0);
        }
    }
}

/// The upper left corner of a random window of `size` x `size` of an image with `padding` zeros around
/// it.
pub(super) fn random_corner(
    [_, height, width]: [usize; 3],
    size: usize,
    padding: usize,
    random: &mut Stream,
) -> [i64; 2] {
    [height, width].map(|extent| {
        let places = (extent + 2 * padding + 1).saturating_sub(size);
        i64::from(random.below(places as u32)) - padding as i64
    })
}

/// The upper left corner of the window of `size` x `size` in the middle, a half pixel up and left
/// where it does not divide.
pub(super) fn centre_corner([_, height, width]: [usize; 3], size: usize) -> [i64; 2] {
    [height, width].map(|extent| (extent.saturating_sub(size) / 2) as i64)
}

/// The crops at the corners (upper left, upper right, lower left, lower right) and in the middle,
/// then the mirror images of the five.
pub(super) fn ten_crop(from: &[f32], shape: [usize; 3], size: usize, to: &mut [f32]) {
    let [channels, height, width] = shape;
    let (down, right) = (height.saturating_sub(size), width.saturating_sub(size));
    let corners = [[0, 0], [0, right], [down, 0], [down, right], [down / 2, right / 2]];
    let crop = [channels, size, size];
    for (view, to) in to.chunks_exact_mut((channels * size * size).max(1)).enumerate() {
        let corner = corners[view % 5].map(|v| v as i64);
        window(from, shape, corner, crop, to);
        if view >= 5 {
            mirror(to, crop);
        }
    }
}

/// Whether an image is mirrored that is so with this chance.
pub(super) fn is_mirrored(chance: f32, random: &mut Stream) -> bool {
    random.uniform() < chance
}

/// Mirrors left to right.
pub(super) fn mirror(image: &mut [f32], [_, _, width]: [usize; 3]) {
    image.chunks_exact_mut(width.max(1)).for_each(<[f32]>::reverse);
}

/// The rows and the columns of a square about a random pixel, from the first to before the last.
pub(super) fn hidden(
    [_, height, width]: [usize; 3],
    size: usize,
    random: &mut Stream,
) -> [(usize, usize); 2] {
    let mut span = |extent: usize| {
        let first = i64::from(random.below(extent as u32)) - (size / 2) as i64;
        let last = first + size as i64;
        (first.clamp(0, extent as i64) as usize, last.clamp(0, extent as i64) as usize)
    };
    [span(height), span(width)]
}

/// Sets these rows and columns to 0.
pub(super) fn hide(
    image: &mut [f32],
    [_, height, width]: [usize; 3],
    [rows, columns]: [(usize, usize); 2],
) {
    for plane in image.chunks_exact_mut((height * width).max(1)) {
        for row in plane.chunks_exact_mut(width).take(rows.1).skip(rows.0) {
            row[columns.0..columns.1].fill(0.0);
        }
    }
}

/// Draws of a part before the middle is taken.
const TRIES: usize = 10;

/// A random part with a share of the area and a proportion within these limits.
pub(super) fn random_region(
    picture: &Picture,
    area: [f64; 2],
    aspect: [f64; 2],
    random: &mut Stream,
) -> Region {
    let whole = picture.whole();
    let mut between =
        |[least, most]: [f64; 2]| least + f64::from(random.uniform()) * (most - least);
    let logarithms = aspect.map(f64::ln);
    for _ in 0..TRIES {
        let (share, aspect) = (between(area), between(logarithms).exp());
        let place = [between([0.0, 1.0]), between([0.0, 1.0])];
        let pixels = share * whole.width * whole.height;
        let (width, height) = ((pixels * aspect).sqrt(), (pixels / aspect).sqrt());
        if width <= whole.width && height <= whole.height && width >= 1.0 && height >= 1.0 {
            let left = place[0] * (whole.width - width);
            let top = place[1] * (whole.height - height);
            return Region { left, top, width, height };
        }
    }
    picture.middle(1, 1)
}
