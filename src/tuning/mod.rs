//! Which kernel an op runs with: where that is decided, and what was decided before.
//!
//! An op offers several kernels for a GPU, best guess first. A tuner measures them and remembers
//! which is fastest as a [`Pick`]; picks are kept in a [`Cache`], and can be written to a file and
//! read again elsewhere. This module holds the plain data; [`Device::tuned`](crate::device::Device::tuned)
//! puts it to use.

mod cache;
mod picks;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use cache::{CACHE_VARIABLE, Cache};
pub use picks::{Dropped, Key, Pick, Picks, Place};

use crate::error::Error;

/// Where the choice among an op's kernels comes from.
#[derive(Clone, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Tuning {
    /// Each op's own best guess. Nothing is measured or read.
    #[default]
    Off,
    /// What earlier tuning left in the cache; else the best guess. Nothing is measured.
    Cached,
    /// As `Cached`, and what is missing there is measured, the most expensive ops first, until 20 s
    /// are over.
    Quick,
    /// As `Quick`, but longer and without an end: what was only measured quickly counts as missing.
    Full,
    /// The picks of a file and no others; else the best guess.
    File(PathBuf),
}

impl Tuning {
    /// A relative [`Tuning::File`] taken as one in `folder`.
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Tuning::File(path) => Tuning::File(folder.join(path)),
            other => other,
        }
    }
}

impl FromStr for Tuning {
    type Err = Error;

    /// `off`, `cached`, `quick`, `full`, or a file, whose name has a dot or a slash.
    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "off" => Tuning::Off,
            "cached" => Tuning::Cached,
            "quick" => Tuning::Quick,
            "full" => Tuning::Full,
            file if file.contains(['.', '/', '\\']) => Tuning::File(file.into()),
            other => {
                let known = ["off", "cached", "quick", "full", "FILE.json"];
                return Err(Error::unknown("tuning", other, known));
            }
        })
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tuning::Off => f.write_str("off"),
            Tuning::Cached => f.write_str("cached"),
            Tuning::Quick => f.write_str("quick"),
            Tuning::Full => f.write_str("full"),
            Tuning::File(path) => path.display().fmt(f),
        }
    }
}

impl TryFrom<String> for Tuning {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Tuning> for String {
    fn from(tuning: Tuning) -> Self {
        tuning.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["off", "cached", "quick", "full", "kernels.json", "runs/kernels"] {
            assert_eq!(text.parse::<Tuning>().unwrap().to_string(), text);
        }
        let message = "quik".parse::<Tuning>().unwrap_err().to_string();
        assert!(message.contains("quick"), "{message}");
        let file: Tuning = "kernels.json".parse().unwrap();
        assert_eq!(file.within(Path::new("runs")).to_string(), "runs/kernels.json");
        assert_eq!(Tuning::Quick.within(Path::new("runs")), Tuning::Quick);
    }
}
