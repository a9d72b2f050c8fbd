//! Data sets of labelled images, their augmentation, and the loader that makes batches of them.
//!
//! [`open`] finds a data set by name. A new one is a file in this folder that makes a [`Source`],
//! and a line in the list that it looks through, `SOURCES`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::cifar::Cifar;
use crate::error::{Error, Result};

mod augment;
pub mod cifar;
#[cfg(feature = "images")]
pub mod decode;
pub mod describe;
mod digits;
#[cfg(feature = "download")]
pub mod download;
#[cfg(feature = "images")]
pub mod folder;
pub mod idx;
mod images;
mod loader;
mod normalise;
#[cfg(feature = "images")]
mod photos;
mod picture;
mod scale;
pub mod speed;
pub mod split;
pub mod transform;

pub use augment::Augment;
pub use images::Images;
pub use loader::{Batch, Batches, Loader, LoaderConfig};
pub use normalise::Normalise;
#[cfg(feature = "images")]
pub use photos::photograph;
pub use picture::{Picture, Region};
pub use transform::{Preparation, Transform, Transforms};

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

    /// [`Dataset::load`] for sets that may leave images out: `None` for an image that cannot be
    /// read and is passed over.
    fn try_load(&self, index: usize, pixels: &mut [u8]) -> Result<Option<u32>> {
        self.load(index, pixels).map(Some)
    }

    /// Image `index` as it is stored, of whatever size, with its label; `None` as in
    /// [`Dataset::try_load`]. Its bytes may take the place of `memory`: those of a picture that is no
    /// longer needed ([`Picture::into_bytes`]), or an empty vector.
    ///
    /// Errors as [`Dataset::load`], and for images that have neither 1 nor 3 channels.
    fn picture(&self, index: usize, memory: Vec<u8>) -> Result<Option<(Picture, u32)>> {
        drop(memory);
        let shape = self.shape();
        let mut pixels = vec![0; shape.iter().product()];
        let Some(label) = self.try_load(index, &mut pixels)? else { return Ok(None) };
        Ok(Some((Picture::from_planes(shape, &pixels)?, label)))
    }

    /// The label of image `index`. Errors as [`Dataset::load`].
    fn label(&self, index: usize) -> Result<u32> {
        let mut pixels = vec![0; self.shape().iter().product()];
        self.load(index, &mut pixels)
    }

    /// Whether loading an image takes long, so that it should be done on many threads.
    fn is_decoding(&self) -> bool {
        false
    }

    /// The images that have been left out so far, because they cannot be read.
    fn skipped(&self) -> Vec<Skipped> {
        vec![]
    }
}

/// A file that was left out.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl Skipped {
    /// `path` was left out because of `problem`.
    pub fn new(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Skipped { path: path.into(), problem: problem.into() }
    }
}

/// How a data set is opened, where it leaves a choice.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenOptions {
    /// Files that may be left out because they cannot be read; one more ends the run.
    pub max_bad: usize,
    /// Height and width that pictures of different sizes are brought to.
    pub image_size: usize,
    /// The share of each class that is tested on, where the data does not say.
    pub test_share: f64,
    /// Decides which images those are.
    pub seed: u64,
}

impl Default for OpenOptions {
    /// No file may be broken; 224 pixels; a fifth is for testing.
    fn default() -> Self {
        OpenOptions { max_bad: 0, image_size: 224, test_share: 0.2, seed: 0 }
    }
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
    open: fn(&str, &OpenOptions) -> Result<Source>,
}

/// Every data set, the default first.
const SOURCES: &[Kind] = &[
    Kind { pattern: "digits", open: |_, _| digits::open() },
    Kind { pattern: "photos", open: |_, _| open_photos() },
    Kind { pattern: "idx:DIR", open: |dir, _| idx::open(Path::new(dir)) },
    Kind { pattern: "cifar10:DIR", open: |dir, _| cifar::open(Path::new(dir), Cifar::Ten) },
    Kind { pattern: "cifar100:DIR", open: |dir, _| cifar::open(Path::new(dir), Cifar::Hundred) },
    Kind {
        pattern: "cifar100-coarse:DIR",
        open: |dir, _| cifar::open(Path::new(dir), Cifar::Coarse),
    },
    Kind { pattern: "folder:DIR", open: |dir, options| open_folder(Path::new(dir), options) },
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
/// - `idx:DIR`: a folder of MNIST-format files, plain or gzipped; see [`idx::open`];
/// - `cifar10:DIR`, `cifar100:DIR` and `cifar100-coarse:DIR` (its 20 superclasses): the official
///   binary files, in a folder or in their archive; see [`cifar::open`];
/// - `folder:DIR`: PNG and JPEG files, a folder a class; see `folder::open`.
///
/// Errors where the name is unknown or the data cannot be read.
pub fn open(name: &str) -> Result<Source> {
    open_with(name, &OpenOptions::default())
}

/// [`open`] with a choice where the data set leaves one.
///
/// Errors where the name is unknown, an option out of range, or the data cannot be read.
pub fn open_with(name: &str, options: &OpenOptions) -> Result<Source> {
    let (stem, argument) = match name.split_once(':') {
        Some((stem, argument)) => (stem, Some(argument)),
        None => (name, None),
    };
    for kind in SOURCES {
        match (kind.pattern.split_once(':'), argument) {
            (None, None) if kind.pattern == stem => return (kind.open)("", options),
            (Some((known, _)), Some(argument)) if known == stem && !argument.is_empty() => {
                return (kind.open)(argument, options);
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

#[cfg(feature = "images")]
fn open_folder(dir: &Path, options: &OpenOptions) -> Result<Source> {
    folder::open(dir, options)
}

#[cfg(not(feature = "images"))]
fn open_folder(_: &Path, _: &OpenOptions) -> Result<Source> {
    Err(Error::setting("data", "folder", "build gabor with the feature `images` to use it"))
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
