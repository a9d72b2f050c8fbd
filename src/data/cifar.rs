//! CIFAR-10 and CIFAR-100 in their official binary format.
//!
//! A file is a row of records without a header: for CIFAR-10 a label and 3,072 bytes, for CIFAR-100
//! a coarse label, a fine label and 3,072 bytes. The bytes are 32x32 pixels, first all red, then all
//! green, then all blue, row-major.
//! Source: A. Krizhevsky, <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version".

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::{Augment, Images, Normalise, Source};
use crate::error::{Error, Result};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
/// No file of a set is longer; the longest official one has 153,700,000 bytes.
const MOST_FILE: u64 = 256 << 20;
/// No archive holds more; the official ones hold 184 MB.
const MOST_ARCHIVE: u64 = 1 << 30;

/// Which set, with which of its labels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cifar {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100 with its 100 classes.
    Hundred,
    /// CIFAR-100 with its 20 superclasses.
    Coarse,
}

impl Cifar {
    fn train(self) -> &'static [&'static str] {
        const TEN: [&str; 5] = [
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ];
        if self == Cifar::Ten { &TEN } else { &["train.bin"] }
    }

    fn test(self) -> &'static str {
        if self == Cifar::Ten { "test_batch.bin" } else { "test.bin" }
    }

    /// The folder within the archive, and the archive.
    fn places(self) -> [&'static str; 2] {
        match self {
            Cifar::Ten => ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"],
            _ => ["cifar-100-binary", "cifar-100-binary.tar.gz"],
        }
    }

    /// The file of the classes' names, a line each.
    fn names(self) -> &'static str {
        match self {
            Cifar::Ten => "batches.meta.txt",
            Cifar::Hundred => "fine_label_names.txt",
            Cifar::Coarse => "coarse_label_names.txt",
        }
    }

    fn classes(self) -> usize {
        match self {
            Cifar::Ten => 10,
            Cifar::Hundred => 100,
            Cifar::Coarse => 20,
        }
    }

    /// How many labels a record has, and which of them counts.
    fn labels(self) -> (usize, usize) {
        match self {
            Cifar::Ten => (1, 0),
            Cifar::Hundred => (2, 1),
            Cifar::Coarse => (2, 0),
        }
    }
}

/// Opens `path`: a folder with the official files (`data_batch_1.bin` to `data_batch_5.bin` and
/// `test_batch.bin`, or `train.bin` and `test.bin`), the folder above it, or the official archive,
/// which need not be unpacked. The classes' names are read from `batches.meta.txt`,
/// `fine_label_names.txt` or `coarse_label_names.txt` where there is such a file and are numbers
/// elsewhere.
///
/// Pixels are normalised by the training set's mean and deviation; the augmentation mirrors left to
/// right and shifts by up to 4 pixels.
///
/// Errors where a file is missing or is not a row of whole records, or a label is out of range.
pub fn open(path: &Path, set: Cifar) -> Result<Source> {
    let mut files = Files::find(path, set)?;
    let classes = files.classes(set)?;
    let name = path.display().to_string();
    let (mut pixels, mut labels) = (vec![], vec![]);
    for file in set.train() {
        files.records(file, set, &mut pixels, &mut labels)?;
    }
    let shape = [3, SIDE, SIDE];
    let train = Images::new(&name, shape, classes.clone(), pixels, labels)?;
    let (mut pixels, mut labels) = (vec![], vec![]);
    files.records(set.test(), set, &mut pixels, &mut labels)?;
    let test = Images::new(&name, shape, classes, pixels, labels)?;
    let normalise = Normalise::of(&train)?;
    let augment = Augment { flip: true, max_shift: 4, ..Augment::none() };
    Ok(Source { train: Arc::new(train), test: Arc::new(test), normalise, augment })
}

/// Where the files are.
enum Files {
    Folder(PathBuf),
    /// The content of an archive's files, by the last part of their names.
    Archive(PathBuf, HashMap<String, Vec<u8>>),
}

impl Files {
    fn find(path: &Path, set: Cifar) -> Result<Self> {
        let [folder, archive] = set.places();
        let remedy = format!("give a folder with {} or {archive}", set.test());
        let kind = std::fs::metadata(path).map_err(|e| Error::io(path, e, remedy.as_str()))?;
        if !kind.is_dir() {
            return Files::unpack(path, set);
        }
        let places = [path.to_owned(), path.join(folder)];
        if let Some(folder) = places.into_iter().find(|place| place.join(set.test()).exists()) {
            return Ok(Files::Folder(folder));
        }
        let archive = path.join(archive);
        if archive.exists() {
            return Files::unpack(&archive, set);
        }
        Err(Error::data(path, format!("lacks {}; {remedy}", set.test())))
    }

    /// Reads the files that count out of a gzipped tar archive; nothing is written.
    fn unpack(path: &Path, set: Cifar) -> Result<Self> {
        let damaged = |e: std::io::Error| {
            let problem = format!("cannot be unpacked ({e}); {} was expected", set.places()[1]);
            Error::data(path, problem)
        };
        let gzip = MultiGzDecoder::new(BufReader::new(open_file(path)?.0)).take(MOST_ARCHIVE);
        let mut archive = tar::Archive::new(gzip);
        let mut files = HashMap::new();
        for entry in archive.entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let name = entry.path().map_err(damaged)?;
            let name = name.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
            let counts = set.train().contains(&name.as_str())
                || [set.test(), set.names()].contains(&name.as_str());
            if !counts || !entry.header().entry_type().is_file() {
                continue;
            }
            let said = entry.size();
            if said > MOST_FILE {
                let problem = format!("its file {name} claims {said} bytes; it is corrupt");
                return Err(Error::data(path, problem));
            }
            let mut content = vec![];
            entry.take(said).read_to_end(&mut content).map_err(damaged)?;
            if content.len() as u64 != said {
                let problem = format!("its file {name} is cut short; get the archive again");
                return Err(Error::data(path, problem));
            }
            if files.insert(name.clone(), content).is_some() {
                return Err(Error::data(path, format!("holds {name} twice; it is corrupt")));
            }
        }
        // To the very end, where the checksum is.
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(damaged)?;
        Ok(Files::Archive(path.to_owned(), files))
    }

    /// The path of a file for messages, and its content; `None` where there is no such file.
    fn read(&mut self, name: &str) -> Result<(PathBuf, Option<Vec<u8>>)> {
        match self {
            Files::Archive(path, files) => Ok((path.join(name), files.remove(name))),
            Files::Folder(folder) => {
                let path = folder.join(name);
                if !path.exists() {
                    return Ok((path, None));
                }
                let (file, size) = open_file(&path)?;
                if size > MOST_FILE {
                    let problem = format!("{size} bytes are more than any CIFAR file has");
                    return Err(Error::data(path, problem));
                }
                let mut content = vec![];
                let read = file.take(MOST_FILE).read_to_end(&mut content);
                read.map_err(|e| Error::io(&path, e, "check that it is readable"))?;
                Ok((path, Some(content)))
            }
        }
    }

    fn classes(&mut self, set: Cifar) -> Result<Vec<String>> {
        let (path, content) = self.read(set.names())?;
        let Some(content) = content else {
            return Ok((0..set.classes()).map(|class| class.to_string()).collect());
        };
        let text = String::from_utf8(content)
            .map_err(|_| Error::data(&path, "is not text; a class name a line was expected"))?;
        let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        if names.len() != set.classes() {
            let problem = format!("holds {} names, expected {}", names.len(), set.classes());
            return Err(Error::data(path, problem));
        }
        Ok(names)
    }

    /// Appends the records of a file.
    fn records(
        &mut self,
        name: &str,
        set: Cifar,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<()> {
        let (path, content) = self.read(name)?;
        let Some(content) = content else {
            return Err(Error::data(path, "is missing; get the whole data set again"));
        };
        let (count, which) = set.labels();
        let record = count + PIXELS;
        if content.is_empty() || content.len() % record != 0 {
            return Err(Error::data(
                path,
                format!(
                    "{} bytes are not a row of records of {record} bytes; it is cut short or no \
                     CIFAR file of this kind",
                    content.len()
                ),
            ));
        }
        for (index, record) in content.chunks_exact(record).enumerate() {
            let label = record[which];
            if usize::from(label) >= set.classes() {
                let most = set.classes() - 1;
                return Err(Error::data(
                    path,
                    format!("label {label} of record {index} is out of range, 0 to {most}"),
                ));
            }
            labels.push(label.into());
            pixels.extend_from_slice(&record[count..]);
        }
        Ok(())
    }
}

/// A file and its size in bytes.
fn open_file(path: &Path) -> Result<(File, u64)> {
    let failed = |e| Error::io(path, e, "check that it is a readable file");
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        // Opening a pipe would wait for its writer.
        return Err(Error::data(path, "is not a file; a CIFAR file was expected"));
    }
    Ok((File::open(path).map_err(failed)?, kind.len()))
}
