//! MNIST-format folders: IDX files, plain or gzipped.
//!
//! An IDX file is a magic number `0x0000TTRR` (`TT` the element type, `RR` the rank), `RR` extents
//! as big-endian `u32`, then the elements, row-major. Images are `0x00000803` (unsigned bytes,
//! `[count, height, width]`), labels `0x00000801` (unsigned bytes, `[count]`).
//! Source: <https://yann.lecun.com/exdb/mnist/>, "File formats for the MNIST database".
//!
//! The reader trusts nothing: it never reserves memory for what a header merely claims, and reads
//! no further than one byte past what the header calls for.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::{Augment, Images, Normalise, Source};
use crate::error::{Error, Result};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// No DEFLATE stream expands by more: 258 bytes from two bits (RFC 1951).
const DEFLATE_RATIO: u64 = 1032;

/// The four files of a folder: the official name's stem and the two ways its end is written.
const FILES: [(&str, &str); 4] = [
    ("train-images", "idx3-ubyte"),
    ("train-labels", "idx1-ubyte"),
    ("t10k-images", "idx3-ubyte"),
    ("t10k-labels", "idx1-ubyte"),
];

/// The content of an image file.
pub(super) struct ImageFile {
    /// `[count, height, width]`, none of them zero.
    pub extents: [usize; 3],
    /// The pixels, row-major.
    pub pixels: Vec<u8>,
}

/// Opens the MNIST-format folder `dir`: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or with `.gz`; names with
/// `.idx3-ubyte` for `-idx3-ubyte` are taken too.
///
/// The classes are `0` to the training set's largest label. Pixels are normalised by the training
/// set's mean and deviation; there is no augmentation, for what the images show is not known.
///
/// Errors where the folder or a file is missing, a file is not what its name says, counts or image
/// sizes do not agree, or a test label is not a class of the training set.
pub fn open(dir: &Path) -> Result<Source> {
    let [train_images, train_labels, test_images, test_labels] = find(dir)?;
    let name = format!("idx:{}", dir.display());
    let train = Pair {
        images: read_images_file(&train_images)?,
        labels: read_labels_file(&train_labels)?,
        images_path: &train_images,
        labels_path: &train_labels,
    };
    let test = Pair {
        images: read_images_file(&test_images)?,
        labels: read_labels_file(&test_labels)?,
        images_path: &test_images,
        labels_path: &test_labels,
    };
    let (train, test) = assemble(&name, train, test)?;
    let normalise = Normalise::of(&train)?;
    Ok(Source { train: Arc::new(train), test: Arc::new(test), normalise, augment: Augment::none() })
}

/// Images and labels that belong together, with the files they come from.
pub(super) struct Pair<'a> {
    pub images: ImageFile,
    pub labels: Vec<u8>,
    pub images_path: &'a Path,
    pub labels_path: &'a Path,
}

/// Joins a training and a test pair into two sets with the training set's classes.
pub(super) fn assemble(name: &str, train: Pair, test: Pair) -> Result<(Images, Images)> {
    let [_, height, width] = train.images.extents;
    let [_, test_height, test_width] = test.images.extents;
    if [height, width] != [test_height, test_width] {
        return Err(Error::data(
            test.images_path,
            format!(
                "its images are {test_height}x{test_width}, those of {} {height}x{width}; both must \
                 have one size",
                train.images_path.display()
            ),
        ));
    }
    let count = train.labels.iter().max().map_or(0, |&largest| usize::from(largest) + 1);
    let classes: Vec<String> = (0..count).map(|c| c.to_string()).collect();
    let train = train.into_images(name, &classes)?;
    let test = test.into_images(name, &classes)?;
    Ok((train, test))
}

impl Pair<'_> {
    fn into_images(self, name: &str, classes: &[String]) -> Result<Images> {
        let [count, height, width] = self.images.extents;
        if count != self.labels.len() {
            return Err(Error::data(
                self.images_path,
                format!(
                    "holds {count} images, {} holds {} labels; the counts must agree",
                    self.labels_path.display(),
                    self.labels.len()
                ),
            ));
        }
        if let Some(at) = self.labels.iter().position(|&l| usize::from(l) >= classes.len()) {
            return Err(Error::data(
                self.labels_path,
                format!(
                    "label {} at index {at} is no class of the training set, whose labels are 0..={}",
                    self.labels[at],
                    classes.len() - 1
                ),
            ));
        }
        let labels = self.labels.into_iter().map(u32::from).collect();
        Images::new(name, [1, height, width], classes.to_vec(), self.images.pixels, labels)
    }
}

/// The paths of the four files of `dir`, or which of them are missing.
fn find(dir: &Path) -> Result<[PathBuf; 4]> {
    let remedy = "give a folder with the four MNIST-format files, as in idx:DIR";
    let kind = std::fs::metadata(dir).map_err(|e| Error::io(dir, e, remedy))?;
    if !kind.is_dir() {
        return Err(Error::data(dir, format!("is not a folder; {remedy}")));
    }
    let mut missing = Vec::new();
    let found = FILES.map(|(stem, end)| {
        let names = ["-", "."].map(|joint| format!("{stem}{joint}{end}"));
        let path = names
            .iter()
            .flat_map(|name| [dir.join(name), dir.join(format!("{name}.gz"))])
            .find(|path| path.exists());
        if path.is_none() {
            missing.push(names[0].clone());
        }
        path.unwrap_or_default()
    });
    if missing.is_empty() {
        return Ok(found);
    }
    Err(Error::data(dir, format!("lacks {}; each may also end in .gz", missing.join(", "))))
}

fn read_images_file(path: &Path) -> Result<ImageFile> {
    let (mut file, stored) = open_file(path)?;
    read_images(path, &mut file, stored)
}

fn read_labels_file(path: &Path) -> Result<Vec<u8>> {
    let (mut file, stored) = open_file(path)?;
    read_labels(path, &mut file, stored)
}

/// A reader of `path` and the file's size in bytes.
fn open_file(path: &Path) -> Result<(BufReader<File>, u64)> {
    let failed = |e| Error::io(path, e, "check that it is a readable file");
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        // Opening a pipe would wait for its writer.
        return Err(Error::data(path, "is not a file; an IDX file was expected"));
    }
    Ok((BufReader::new(File::open(path).map_err(failed)?), kind.len()))
}

/// Reads an image file, gzipped or not, from `source`, which holds `stored` bytes.
/// `path` names it in errors.
pub(super) fn read_images(path: &Path, source: &mut dyn BufRead, stored: u64) -> Result<ImageFile> {
    let (extents, pixels) = read::<3>(path, source, stored, IMAGES_MAGIC)?;
    Ok(ImageFile { extents, pixels })
}

/// Reads a label file, gzipped or not, from `source`, which holds `stored` bytes.
/// `path` names it in errors.
pub(super) fn read_labels(path: &Path, source: &mut dyn BufRead, stored: u64) -> Result<Vec<u8>> {
    Ok(read::<1>(path, source, stored, LABELS_MAGIC)?.1)
}

fn read<const RANK: usize>(
    path: &Path,
    source: &mut dyn BufRead,
    stored: u64,
    magic: u32,
) -> Result<([usize; RANK], Vec<u8>)> {
    let start = source.fill_buf().map_err(|e| Error::io(path, e, "check that it is readable"))?;
    if start.starts_with(&GZIP_MAGIC) {
        let most = stored.saturating_mul(DEFLATE_RATIO);
        parse(path, &mut MultiGzDecoder::new(source), most, magic)
    } else {
        parse(path, source, stored, magic)
    }
}

/// Reads header and elements; `most` is the most bytes that `source` can possibly give.
fn parse<const RANK: usize>(
    path: &Path,
    source: &mut dyn Read,
    most: u64,
    magic: u32,
) -> Result<([usize; RANK], Vec<u8>)> {
    let found = read_word(path, source, "magic number")?;
    if found != magic {
        return Err(Error::data(
            path,
            format!(
                "starts with {found:#010x} ({}), expected {magic:#010x} ({})",
                describe(found),
                describe(magic)
            ),
        ));
    }
    let mut extents = [0u32; RANK];
    for extent in &mut extents {
        *extent = read_word(path, source, "header")?;
    }
    let shape = extents.map(|e| e.to_string()).join(" x ");
    if extents.contains(&0) {
        return Err(Error::data(
            path,
            format!("its header says {shape} elements; no count or size may be 0"),
        ));
    }
    let header = 4 * (RANK as u64 + 1);
    let elements = extents.iter().try_fold(1u64, |product, &e| product.checked_mul(e.into()));
    let expected = elements.filter(|&n| usize::try_from(n).is_ok_and(|n| n < isize::MAX as usize));
    let Some(expected) = expected else {
        return Err(Error::data(
            path,
            format!(
                "its header says {shape} elements, more than memory can address; it is corrupt"
            ),
        ));
    };
    if expected > most.saturating_sub(header) {
        return Err(Error::data(
            path,
            format!(
                "its header says {shape} elements, a file of this size can hold {most} bytes at \
                 most; it is truncated or corrupt"
            ),
        ));
    }

    let mut elements = Vec::new();
    // One byte more than expected, so that anything that follows is seen; reading to the end is
    // also what checks a gzip file's checksum.
    let count = source
        .take(expected + 1)
        .read_to_end(&mut elements)
        .map_err(|e| damaged(path, &e, "elements"))? as u64;
    if count != expected {
        let fault = if count < expected {
            format!("ends after {count} of the {expected} elements that its header ({shape}) says")
        } else {
            format!("goes on after the {expected} elements that its header ({shape}) says")
        };
        return Err(Error::data(path, format!("{fault}; it is not a whole IDX file")));
    }
    elements.shrink_to_fit();
    // Each extent divides `expected`, which fits.
    Ok((extents.map(|e| e as usize), elements))
}

fn read_word(path: &Path, source: &mut dyn Read, what: &str) -> Result<u32> {
    let mut word = [0; 4];
    source.read_exact(&mut word).map_err(|e| damaged(path, &e, what))?;
    Ok(u32::from_be_bytes(word))
}

fn damaged(path: &Path, error: &std::io::Error, what: &str) -> Error {
    let fault = if error.kind() == std::io::ErrorKind::UnexpectedEof {
        "the file is cut short".to_owned()
    } else {
        error.to_string()
    };
    Error::data(path, format!("cannot read its {what}: {fault}; a whole IDX file was expected"))
}

/// In words, what a magic number stands for.
fn describe(magic: u32) -> &'static str {
    match magic {
        IMAGES_MAGIC => "an image file of unsigned bytes",
        LABELS_MAGIC => "a label file of unsigned bytes",
        _ if magic >> 24 == 0x1f && magic >> 16 & 0xff == 0x8b => "gzip within gzip",
        _ if magic >> 16 == 0 && matches!(magic >> 8, 0x08..=0x0e) => "IDX of another type or rank",
        _ => "not an IDX file",
    }
}
