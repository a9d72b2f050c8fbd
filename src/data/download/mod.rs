//! Data sets from the network, or from a copy at hand, checked by their sums.
//!
//! A download that was cut goes on where it ended. A file has its name only once its length and
//! SHA-256 are right; until then it is `NAME.part`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

mod fetch;
mod unpack;

pub use fetch::{RemoteFile, fetch};
pub use unpack::unpack;

/// A data set that can be fetched by name.
#[derive(Clone, Copy, Debug)]
pub struct RemoteSet {
    /// The name, as in `cifar10`.
    pub name: &'static str,
    /// What [`super::open`] calls its format: `idx`, `cifar10` or `cifar100`.
    pub format: &'static str,
    /// Where its files are.
    url: &'static str,
    /// The files; a single one is an archive.
    pub files: &'static [RemoteFile],
}

/// The sets that are known.
///
/// Lengths and sums are those that TensorFlow Datasets lists for the same files at the same addresses
/// (`tensorflow_datasets/url_checksums/`: `mnist.txt`, `fashion_mnist.txt`, `cifar10.txt`,
/// `cifar100.txt`); several other libraries have the same ones.
pub const SETS: &[RemoteSet] = &[
    RemoteSet {
        name: "mnist",
        format: "idx",
        // The mirror of the Common Visual Data Foundation.
        url: "https://storage.googleapis.com/cvdf-datasets/mnist",
        files: &[
            RemoteFile {
                name: "train-images-idx3-ubyte.gz",
                bytes: 9_912_422,
                sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            },
            RemoteFile {
                name: "train-labels-idx1-ubyte.gz",
                bytes: 28_881,
                sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            },
            RemoteFile {
                name: "t10k-images-idx3-ubyte.gz",
                bytes: 1_648_877,
                sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            },
            RemoteFile {
                name: "t10k-labels-idx1-ubyte.gz",
                bytes: 4_542,
                sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            },
        ],
    },
    RemoteSet {
        name: "fashion-mnist",
        format: "idx",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        files: &[
            RemoteFile {
                name: "train-images-idx3-ubyte.gz",
                bytes: 26_421_880,
                sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            },
            RemoteFile {
                name: "train-labels-idx1-ubyte.gz",
                bytes: 29_515,
                sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            },
            RemoteFile {
                name: "t10k-images-idx3-ubyte.gz",
                bytes: 4_422_102,
                sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            },
            RemoteFile {
                name: "t10k-labels-idx1-ubyte.gz",
                bytes: 5_148,
                sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            },
        ],
    },
    RemoteSet {
        name: "cifar10",
        format: "cifar10",
        url: "https://www.cs.toronto.edu/~kriz",
        files: &[RemoteFile {
            name: "cifar-10-binary.tar.gz",
            bytes: 170_052_171,
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        }],
    },
    RemoteSet {
        name: "cifar100",
        format: "cifar100",
        url: "https://www.cs.toronto.edu/~kriz",
        files: &[RemoteFile {
            name: "cifar-100-binary.tar.gz",
            bytes: 168_513_733,
            sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        }],
    },
];

impl RemoteSet {
    /// The set of this name.
    ///
    /// Errors where it is not known.
    pub fn named(name: &str) -> Result<RemoteSet> {
        let found = SETS.iter().find(|set| set.name == name);
        let known = || Error::unknown("data set", name, SETS.iter().map(|set| set.name));
        found.copied().ok_or_else(known)
    }

    /// Fetches the set into the folder `to`, which is created, and unpacks archives there. From
    /// `mirror` where one is given: an address or a folder under which the files have their names,
    /// or, for a set of one file, that file. Returns the name to open it by. `progress` is told a
    /// file's name, the bytes that are there, and those that it has.
    ///
    /// Files that are there already are kept if their sums are right.
    ///
    /// Errors where a file cannot be had, its length or sum is wrong, or it cannot be written; what
    /// arrived is kept for the next time unless its sum was wrong.
    pub fn get(
        &self,
        mirror: Option<&str>,
        to: &Path,
        mut progress: impl FnMut(&str, u64, u64),
    ) -> Result<String> {
        let remedy = "choose a folder that can be written with --to";
        std::fs::create_dir_all(to).map_err(|e| Error::io(to, e, remedy))?;
        for file in self.files {
            let from = self.address(mirror.unwrap_or(self.url), file)?;
            let path = fetch(file, &from, to, |done| progress(file.name, done, file.bytes))?;
            if file.name.ends_with(".tar.gz") {
                unpack(&path, to)?;
            }
        }
        Ok(format!("{}:{}", self.format, to.display()))
    }

    /// Where a file is, an address or a path.
    fn address(&self, mirror: &str, file: &RemoteFile) -> Result<String> {
        if fetch::is_address(mirror) {
            return Ok(format!("{}/{}", mirror.trim_end_matches('/'), file.name));
        }
        let path = PathBuf::from(mirror);
        let path = match path.is_file() && self.files.len() == 1 {
            true => path,
            false => path.join(file.name),
        };
        let words = || Error::data(&path, "is not UTF-8; rename the folder of the mirror");
        path.to_str().map(str::to_owned).ok_or_else(words)
    }
}
