//! Data sets of labelled images, their augmentation, and the loader that makes batches of them.
//!
//! [`open`] finds a data set by name. A new one is a file in this folder that makes a [`Source`],
//! and a line in the list that it looks through, `SOURCES`.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};

mod augment;
mod digits;
pub mod idx;
mod images;
mod loader;
mod normalise;
#[cfg(feature = "images")]
mod photos;

pub use augment::Augment;
pub use images::Images;
pub use loader::{Batch, Batches, Loader, LoaderConfig};
pub use normalise::Normalise;
#[cfg(feature = "images")]
pub use photos::photograph;

/// Labelled images of one size. Implementations are read by several threads at once.
pub trait Dataset: Send + Sync {
    /// The name, as in `digits`.
    fn name(&self) -> &str;

    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[channels, height, width]` of every image.
    fn shape(&self) -> [usize; 3];

    /// The names of the classes; a label is an index into them.
    fn classes(&self) -> &[String];

    /// Writes image `index` to `pixels`, bytes in the order channel, row, column, and returns its
    /// label. `pixels` holds exactly `channels * height * width` bytes. Errors where there is no
    /// such image or it cannot be read.
    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<u32>;
}

/// A training and a test set of the same classes and image size, and how to prepare them.
#[derive(Clone)]
pub struct Source {
    /// What to train on.
    pub train: Arc<dyn Dataset>,
    /// What to test on; shares no image with `train`.
    pub test: Arc<dyn Dataset>,
    /// From bytes to the network's input, the same for both sets.
    pub normalise: Normalise,
    /// What suits the training images; not for the test set.
    pub augment: Augment,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (train, test) = (self.train.len(), self.test.len());
        write!(f, "Source({}: {train} to train on, {test} to test on)", self.train.name())
    }
}

/// One kind of data set that [`open`] knows.
struct Kind {
    /// The name, or for sets that live in a folder `name:DIR`.
    pattern: &'static str,
    /// Opens it; the argument is what follows the colon, empty where the pattern has none.
    open: fn(&str) -> Result<Source>,
}

/// Every data set, the default first.
const SOURCES: &[Kind] = &[
    Kind { pattern: "digits", open: |_| digits::open() },
    Kind { pattern: "photos", open: |_| open_photos() },
    Kind { pattern: "idx:DIR", open: |dir| idx::open(Path::new(dir)) },
];

/// The name of the data set to take where none is asked for.
pub const DEFAULT: &str = "digits";

/// The names that [`open`] takes.
pub fn known() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|kind| kind.pattern)
}

/// Opens a data set by name:
/// - `digits`: 5,000 handwritten digits that gabor contains, 28x28, 10 classes;
/// - `photos`: 32x32 colour patches of nine photographs that gabor contains, a class a photograph;
/// - `idx:DIR`: a folder of MNIST-format files, plain or gzipped; see [`idx::open`].
///
/// Errors where the name is unknown or the data cannot be read.
pub fn open(name: &str) -> Result<Source> {
    let (stem, argument) = match name.split_once(':') {
        Some((stem, argument)) => (stem, Some(argument)),
        None => (name, None),
    };
    for kind in SOURCES {
        match (kind.pattern.split_once(':'), argument) {
            (None, None) if kind.pattern == stem => return (kind.open)(""),
            (Some((known, _)), Some(argument)) if known == stem && !argument.is_empty() => {
                return (kind.open)(argument);
            }
            _ => {}
        }
    }
    Err(Error::unknown("data set", name, known()))
}

#[cfg(feature = "images")]
fn open_photos() -> Result<Source> {
    photos::open()
}

#[cfg(not(feature = "images"))]
fn open_photos() -> Result<Source> {
    Err(Error::setting("data", "photos", "build gabor with the feature `images` to use it"))
}

/// Errors unless `pixels` holds exactly one image of `dataset` and `index` is one of its images.
fn check_load(dataset: &dyn Dataset, index: usize, pixels: &[u8]) -> Result<()> {
    let shape = dataset.shape();
    if index < dataset.len() && pixels.len() == shape.iter().product::<usize>() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "data set {}: image {index} was asked for into {} bytes; there are {} images of {shape:?} \
         bytes each",
        dataset.name(),
        pixels.len(),
        dataset.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_list_the_known() {
        for name in ["", "digit", "digits:", "digits:x", "photos:/tmp", "idx", "idx:", "mnist"] {
            let error = open(name).expect_err(name).to_string();
            assert!(error.contains("digits, photos, idx:DIR"), "{name}: {error}");
        }
        assert_eq!(known().next(), Some(DEFAULT));
    }

    #[cfg(not(feature = "images"))]
    #[test]
    fn photos_need_their_feature() {
        let error = open("photos").err().expect("an error").to_string();
        assert!(error.contains("feature `images`"), "{error}");
    }
}
