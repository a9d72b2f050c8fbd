//! Folders of PNG and JPEG files, a folder a class.
//!
//! Files are decoded when they are asked for, on the loader's threads, so that a set may be larger
//! than memory; small sets are kept once they have been decoded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::split::{Subset, stratified};
use super::{
    Augment, Dataset, Normalise, OpenOptions, Picture, Skipped, Source, check_load, decode,
};
use crate::error::{Error, Result};

mod scan;

/// Sets that take no more bytes are kept in memory.
const HELD: usize = 256 << 20;
/// Names of the folder that is trained on, and of the one that is tested on.
const TRAIN: &str = "train";
const TEST: [&str; 4] = ["val", "valid", "validation", "test"];

/// Pictures in folders, a class each.
pub struct Folder {
    name: String,
    classes: Vec<String>,
    files: Vec<PathBuf>,
    labels: Vec<u32>,
    /// Height and width that pictures are scaled to.
    size: usize,
    held: Option<Vec<OnceLock<Box<[u8]>>>>,
    broken: Arc<Broken>,
}

/// Files that could not be read, shared by the sets of a source.
struct Broken {
    most: usize,
    files: Mutex<BTreeMap<PathBuf, String>>,
}

/// Opens a folder of PNG and JPEG files: `DIR/train/CLASS/*` and `DIR/val/CLASS/*` (or `valid`,
/// `validation`, `test`), or `DIR/CLASS/*`, of which a share of every class is then tested on; which
/// files, [`OpenOptions::seed`] and their names decide alone. Classes are in the order of their
/// names. Files of other types, and names that begin with a dot, are left alone; folders within a
/// class belong to it.
///
/// [`Dataset::load`] scales a picture so that its shorter side is [`OpenOptions::image_size`] and
/// takes the middle. Pixels are normalised by mean and deviation of up to 1,024 training pictures;
/// the augmentation mirrors left to right.
///
/// A file that cannot be decoded is left out, up to [`OpenOptions::max_bad`] of them.
///
/// Errors where a folder cannot be read, there are no classes or a class has no pictures, folders
/// link to one another in a circle, or a class of `val` is none of `train`.
pub fn open(dir: &Path, options: &OpenOptions) -> Result<Source> {
    let remedy = "give a folder with a folder of pictures for each class, as in folder:DIR";
    let kind = std::fs::metadata(dir).map_err(|e| Error::io(dir, e, remedy))?;
    if !kind.is_dir() {
        return Err(Error::data(dir, format!("is not a folder; {remedy}")));
    }
    let broken = Arc::new(Broken { most: options.max_bad, files: Mutex::default() });
    let test = TEST.iter().map(|name| dir.join(name)).find(|path| path.is_dir());
    let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = match test {
        Some(test) if dir.join(TRAIN).is_dir() => {
            let train = Folder::scan(&dir.join(TRAIN), None, options, &broken)?;
            let test = Folder::scan(&test, Some(&train.classes), options, &broken)?;
            (Arc::new(train), Arc::new(test))
        }
        _ => {
            let all = Folder::scan(dir, None, options, &broken)?;
            let (train, test) =
                stratified(&all.labels, options.test_share, options.seed).map_err(|problem| {
                    Error::data(dir, format!("cannot be split for testing: {problem}"))
                })?;
            let all: Arc<dyn Dataset> = Arc::new(all);
            (Arc::new(Subset::new(&all, train)?), Arc::new(Subset::new(&all, test)?))
        }
    };
    let normalise = Normalise::of_sample(&*train, 1024)?;
    Ok(Source { train, test, normalise, augment: Augment { flip: true, ..Augment::none() } })
}

impl Folder {
    fn scan(
        dir: &Path,
        known: Option<&[String]>,
        options: &OpenOptions,
        broken: &Arc<Broken>,
    ) -> Result<Self> {
        let size = options.image_size;
        if !(1..=4096).contains(&size) {
            return Err(Error::setting("image-size", size, "must be from 1 to 4096 pixels"));
        }
        let found = scan::classes(dir)?;
        let classes: Vec<String> = match known {
            Some(known) => known.to_vec(),
            None => found.keys().cloned().collect(),
        };
        let (mut files, mut labels) = (vec![], vec![]);
        for (class, of_class) in found {
            let Ok(label) = classes.binary_search(&class) else {
                let problem = format!("class `{class}` has no training pictures; remove it");
                return Err(Error::data(dir, problem));
            };
            labels.extend(std::iter::repeat_n(label as u32, of_class.len()));
            files.extend(of_class);
        }
        if files.len() > u32::MAX as usize {
            return Err(Error::data(dir, "holds more pictures than can be counted"));
        }
        let is_small = files.len().checked_mul(3 * size * size).is_some_and(|bytes| bytes <= HELD);
        let held = is_small.then(|| files.iter().map(|_| OnceLock::new()).collect());
        let name = format!("folder:{}", dir.display());
        Ok(Folder { name, classes, files, labels, size, held, broken: Arc::clone(broken) })
    }

    /// The files, in the order of the images.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What `index` holds as it is stored; `None` for a file that is left out.
    fn decoded(&self, index: usize, memory: Vec<u8>) -> Result<Option<Picture>> {
        let path = &self.files[index];
        match decode::read_into(path, memory) {
            Ok(picture) => Ok(Some(picture)),
            Err(error) => self.broken.add(path, &error).map(|()| None),
        }
    }
}

impl Broken {
    /// Notes a file that cannot be read. Errors where it is one too many.
    fn add(&self, path: &Path, error: &Error) -> Result<()> {
        let problem = match error {
            Error::Data { problem, .. } => problem.clone(),
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), problem.clone());
        if files.len() <= self.most {
            return Ok(());
        }
        let remedy = match self.most {
            0 => "repair or remove it, or leave broken files out with --max-bad N".to_owned(),
            most => format!(
                "with it {} files are broken, more than the {most} of --max-bad",
                files.len()
            ),
        };
        Err(Error::data(path, format!("{problem}; {remedy}")))
    }
}

impl Dataset for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn shape(&self) -> [usize; 3] {
        [3, self.size, self.size]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<u32> {
        match self.try_load(index, pixels)? {
            Some(label) => Ok(label),
            None => Err(Error::data(&self.files[index], "cannot be read; it was left out before")),
        }
    }

    fn try_load(&self, index: usize, pixels: &mut [u8]) -> Result<Option<u32>> {
        check_load(self, index, pixels)?;
        let held = self.held.as_ref().map(|held| &held[index]);
        if let Some(bytes) = held.and_then(OnceLock::get) {
            pixels.copy_from_slice(bytes);
            return Ok(Some(self.labels[index]));
        }
        let Some(picture) = self.decoded(index, vec![])? else { return Ok(None) };
        let middle = picture.middle(self.size, self.size);
        let scaled = picture.resized(middle, self.size, self.size)?;
        scaled.write_planes(pixels);
        if let Some(held) = held {
            // Another thread may have been faster, with the same bytes.
            let _ = held.set(pixels.into());
        }
        Ok(Some(self.labels[index]))
    }

    fn picture(&self, index: usize, memory: Vec<u8>) -> Result<Option<(Picture, u32)>> {
        if index >= self.files.len() {
            return Err(Error::Usage(format!("data set {}: there is no image {index}", self.name)));
        }
        Ok(self.decoded(index, memory)?.map(|picture| (picture, self.labels[index])))
    }

    fn label(&self, index: usize) -> Result<u32> {
        let missing = || Error::Usage(format!("data set {}: there is no image {index}", self.name));
        self.labels.get(index).copied().ok_or_else(missing)
    }

    fn is_decoding(&self) -> bool {
        true
    }

    fn skipped(&self) -> Vec<Skipped> {
        let files = self.broken.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|(path, problem)| Skipped::new(path, problem)).collect()
    }
}
