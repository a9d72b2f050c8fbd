//! Patches of the photographs that gabor contains.
//!
//! Every photograph is divided into blocks of 64x64 pixels, and one block in five belongs to the
//! test: block (column, row) where `(column + 2 * row) % 5 == 0`, a knight's move from one to the
//! next, so that test blocks lie evenly over the picture and never side by side. A test patch lies
//! inside one test block; a training patch may cross from block to block but touches no test block.
//! So no pixel that is tested on was ever part of a training patch.

use std::path::Path;
use std::sync::Arc;

use super::{Augment, Dataset, Normalise, Source, check_load};
use crate::error::{Error, Result};
use crate::philox::Stream;

/// The side of a patch.
const PATCH: usize = 32;
/// The side of the blocks that are given to training or to testing.
const BLOCK: usize = 64;
/// Training patches a photograph; they may overlap one another.
const TRAIN_PATCHES: usize = 2_500;
/// Test patches a photograph; they may overlap one another.
const TEST_PATCHES: usize = 150;
/// Patches with a smaller standard deviation (root of the mean variance of the channels, in steps
/// of a byte) are left out of both sets: the night sky, the black round the retina and the dark
/// round the rocket look alike, and there is nothing to learn from them.
const LEAST_STD: f64 = 6.0;
/// Decides which patches are taken; changing it changes the data set.
const SELECTION_SEED: u64 = 0x6761_626f_7221;

const PHOTOS: [(&str, &[u8]); 9] = [
    ("astronaut", include_bytes!("../../assets/photos/astronaut.jpg")),
    ("brick", include_bytes!("../../assets/photos/brick.jpg")),
    ("chelsea", include_bytes!("../../assets/photos/chelsea.jpg")),
    ("coffee", include_bytes!("../../assets/photos/coffee.jpg")),
    ("grass", include_bytes!("../../assets/photos/grass.jpg")),
    ("gravel", include_bytes!("../../assets/photos/gravel.jpg")),
    ("hubble", include_bytes!("../../assets/photos/hubble.jpg")),
    ("retina", include_bytes!("../../assets/photos/retina.jpg")),
    ("rocket", include_bytes!("../../assets/photos/rocket.jpg")),
];

/// A photograph, three bytes a pixel, row-major.
struct Photo {
    name: &'static str,
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// The upper left corner of a patch.
#[derive(Clone, Copy)]
struct Position {
    photo: u32,
    x: u32,
    y: u32,
}

/// Patches of photographs. Holds the photographs once and cuts a patch when it is asked for.
struct Patches {
    name: &'static str,
    photos: Arc<Vec<Photo>>,
    classes: Vec<String>,
    positions: Vec<Position>,
}

/// Training and test patches of nine photographs, 32x32 in colour, a class a photograph.
///
/// The augmentation mirrors left to right and varies brightness and contrast.
pub(super) fn open() -> Result<Source> {
    let photos = Arc::new(PHOTOS.iter().map(decode).collect::<Result<Vec<_>>>()?);
    let train = Patches::select("photos", &photos, TRAIN_PATCHES, Photo::is_train);
    let test = Patches::select("photos", &photos, TEST_PATCHES, Photo::is_test);
    let normalise = Normalise::of(&train)?;
    Ok(Source {
        train: Arc::new(train),
        test: Arc::new(test),
        normalise,
        augment: Augment { flip: true, brightness: 0.1, contrast: 0.2, ..Augment::none() },
    })
}

fn decode(&(name, file): &(&'static str, &[u8])) -> Result<Photo> {
    let image = image::load_from_memory(file)
        .map_err(|e| Error::data(Path::new("assets/photos").join(name), e.to_string()))?
        .into_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Photo { name, width, height, rgb: image.into_raw() })
}

/// A photograph that gabor contains, by name: width, height and three bytes a pixel, row-major.
///
/// Errors where there is none of that name; the message lists them.
pub fn photograph(name: &str) -> Result<(usize, usize, Vec<u8>)> {
    let found = PHOTOS.iter().find(|(known, _)| *known == name);
    let unknown = || Error::unknown("photograph", name, PHOTOS.iter().map(|(known, _)| *known));
    let photo = decode(found.ok_or_else(unknown)?)?;
    Ok((photo.width, photo.height, photo.rgb))
}

/// Whether the block at this column and row is for testing.
fn is_test_block(column: usize, row: usize) -> bool {
    (column + 2 * row).is_multiple_of(5)
}

impl Photo {
    /// Whether the patch at `(x, y)` lies inside one test block.
    fn is_test(&self, x: usize, y: usize) -> bool {
        let last = PATCH - 1;
        let inside = x / BLOCK == (x + last) / BLOCK && y / BLOCK == (y + last) / BLOCK;
        inside && is_test_block(x / BLOCK, y / BLOCK)
    }

    /// Whether the patch at `(x, y)` touches no test block. A patch is smaller than a block, so its
    /// corners lie in every block that it touches.
    fn is_train(&self, x: usize, y: usize) -> bool {
        let last = PATCH - 1;
        [(x, y), (x + last, y), (x, y + last), (x + last, y + last)]
            .into_iter()
            .all(|(x, y)| !is_test_block(x / BLOCK, y / BLOCK))
    }

    /// The standard deviation in the patch at `(x, y)`: root of the mean variance of the channels.
    fn deviation(&self, x: usize, y: usize) -> f64 {
        let (mut sums, mut squares) = ([0u32; 3], [0u32; 3]);
        for row in y..y + PATCH {
            for pixel in self.rgb[3 * (row * self.width + x)..][..3 * PATCH].chunks_exact(3) {
                for channel in 0..3 {
                    let value = u32::from(pixel[channel]);
                    sums[channel] += value;
                    squares[channel] += value * value;
                }
            }
        }
        let n = (PATCH * PATCH) as f64;
        let variance = |c: usize| f64::from(squares[c]) / n - (f64::from(sums[c]) / n).powi(2);
        ((0..3).map(variance).sum::<f64>().max(0.0) / 3.0).sqrt()
    }
}

impl Patches {
    /// Up to `count` patches a photograph, drawn from those that are `allowed` and not nearly
    /// constant; always the same ones.
    fn select(
        name: &'static str,
        photos: &Arc<Vec<Photo>>,
        count: usize,
        allowed: fn(&Photo, usize, usize) -> bool,
    ) -> Self {
        let mut positions = Vec::new();
        for (index, photo) in (0u32..).zip(photos.iter()) {
            let columns = (photo.width + 1).saturating_sub(PATCH);
            let rows = (photo.height + 1).saturating_sub(PATCH);
            let mut candidates: Vec<_> = (0..rows)
                .flat_map(|y| (0..columns).map(move |x| (x, y)))
                .filter(|&(x, y)| allowed(photo, x, y))
                .collect();
            Stream::new(SELECTION_SEED, [index, 0, 0]).shuffle(&mut candidates);
            let chosen = candidates
                .into_iter()
                .filter(|&(x, y)| photo.deviation(x, y) >= LEAST_STD)
                .take(count)
                .map(|(x, y)| Position { photo: index, x: x as u32, y: y as u32 });
            positions.extend(chosen);
        }
        let classes = photos.iter().map(|photo| photo.name.to_owned()).collect();
        Patches { name, photos: Arc::clone(photos), classes, positions }
    }
}

impl Dataset for Patches {
    fn name(&self) -> &str {
        self.name
    }

    fn len(&self) -> usize {
        self.positions.len()
    }

    fn shape(&self) -> [usize; 3] {
        [3, PATCH, PATCH]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<u32> {
        check_load(self, index, pixels)?;
        let Position { photo: label, x, y } = self.positions[index];
        let photo = &self.photos[label as usize];
        for row in 0..PATCH {
            let start = 3 * ((y as usize + row) * photo.width + x as usize);
            for (column, pixel) in photo.rgb[start..][..3 * PATCH].chunks_exact(3).enumerate() {
                for (channel, &value) in pixel.iter().enumerate() {
                    pixels[(channel * PATCH + row) * PATCH + column] = value;
                }
            }
        }
        Ok(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> (Patches, Patches) {
        let photos = Arc::new(PHOTOS.iter().map(decode).collect::<Result<Vec<_>>>().unwrap());
        (
            Patches::select("photos", &photos, TRAIN_PATCHES, Photo::is_train),
            Patches::select("photos", &photos, TEST_PATCHES, Photo::is_test),
        )
    }

    /// How often each pixel of each photograph is part of a patch.
    fn marks(patches: &Patches) -> Vec<Vec<u32>> {
        let mut marks: Vec<_> =
            patches.photos.iter().map(|p| vec![0; p.width * p.height]).collect();
        for position in &patches.positions {
            let width = patches.photos[position.photo as usize].width;
            for row in 0..PATCH {
                let start = (position.y as usize + row) * width + position.x as usize;
                for mark in &mut marks[position.photo as usize][start..start + PATCH] {
                    *mark += 1;
                }
            }
        }
        marks
    }

    #[test]
    fn no_pixel_is_both_trained_and_tested_on() {
        let (train, test) = sets();
        for (photo, (train, test)) in marks(&train).iter().zip(&marks(&test)).enumerate() {
            let name = PHOTOS[photo].0;
            let both = train.iter().zip(test).filter(|&(&a, &b)| a > 0 && b > 0).count();
            assert_eq!(both, 0, "{name}");
            let covered = |marks: &[u32]| marks.iter().filter(|&&m| m > 0).count() as f64;
            let (train, test) = (covered(train), covered(test));
            // Most of the picture is used; the parts that are not are nearly constant or edges.
            assert!(test / (train + test) > 0.05, "{name}: {train} {test}");
        }
    }

    #[test]
    fn every_class_has_all_its_patches() {
        let (train, test) = sets();
        for (set, count) in [(&train, TRAIN_PATCHES), (&test, TEST_PATCHES)] {
            let mut counts = [0; 9];
            let mut pixels = vec![0; 3 * PATCH * PATCH];
            for index in 0..set.len() {
                counts[set.load(index, &mut pixels).unwrap() as usize] += 1;
            }
            assert_eq!(counts, [count; 9]);
        }
        assert_eq!(train.classes()[0], "astronaut");
        assert_eq!(train.classes().len(), 9);
    }

    #[test]
    fn patches_are_the_photographs_pixels() {
        let (train, _) = sets();
        let mut pixels = vec![0; 3 * PATCH * PATCH];
        for index in (0..train.len()).step_by(997) {
            let label = train.load(index, &mut pixels).unwrap() as usize;
            let position = train.positions[index];
            let photo = image::load_from_memory(PHOTOS[label].1).unwrap().into_rgb8();
            for (at, &value) in pixels.iter().enumerate() {
                let (channel, row, column) = (at / 1024, at / 32 % 32, at % 32);
                let pixel = photo.get_pixel(position.x + column as u32, position.y + row as u32);
                assert_eq!(pixel[channel], value);
            }
            // Recomputed by definition, in two passes.
            let variance: f64 = pixels
                .chunks_exact(1024)
                .map(|plane| {
                    let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / 1024.0;
                    plane.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 1024.0
                })
                .sum::<f64>()
                / 3.0;
            assert!(variance.sqrt() >= LEAST_STD - 1e-9);
        }
        assert!(train.load(train.len(), &mut pixels).is_err());
    }

    #[test]
    fn grey_photographs_have_three_equal_channels() {
        let photo = decode(&PHOTOS[1]).unwrap();
        assert!(photo.rgb.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
        let colour = decode(&PHOTOS[3]).unwrap();
        assert!(colour.rgb.chunks_exact(3).any(|p| p[0] != p[2]));
    }
}
