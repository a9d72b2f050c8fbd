//! Picks, and the files that hold them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::write_atomic;

/// What a pick holds for: everything that decides which kernels there are and how fast each is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
pub struct Key {
    /// The op's name.
    pub op: String,
    /// Its settings.
    pub settings: String,
    /// The types of its inputs.
    pub inputs: String,
    /// The types of its outputs.
    pub outputs: String,
    /// A hash of the kernels to choose from: shaders with their imports and constants, bindings,
    /// parameters, grids.
    pub kernels: String,
    /// Where they run.
    pub place: Place,
}

/// Where kernels run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The adapter's name.
    pub adapter: String,
    /// `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// The versions of gabor and of wgpu.
    pub software: String,
    /// Whether the crate's own shaders run with the driver's run-time checks.
    pub checked: bool,
    /// Whether only kernels that give the same bits each time are chosen from. All of gabor's do.
    pub deterministic: bool,
}

/// The kernel that was fastest.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Pick {
    /// What it holds for.
    #[serde(flatten)]
    pub key: Key,
    /// The kernel's name among the op's variants.
    pub kernel: String,
    /// Its milliseconds a run.
    pub ms: f64,
    /// The kernel that the op puts first: its best guess.
    pub first: String,
    /// The best guess's milliseconds a run; none where it was dropped.
    pub first_ms: Option<f64>,
    /// Kernels that were not timed.
    pub dropped: Vec<Dropped>,
    /// Whether it was measured with [`Tuning::Full`](super::Tuning::Full).
    pub thorough: bool,
}

impl Pick {
    /// How many times as fast as the op's best guess the kernel is.
    pub fn gain(&self) -> Option<f64> {
        self.first_ms.map(|first| first / self.ms)
    }
}

/// A kernel that was not timed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Dropped {
    /// Its name.
    pub kernel: String,
    /// What it did wrong.
    pub why: String,
}

/// Picks by their keys.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Picks(BTreeMap<Key, Pick>);

/// The content of a file of picks.
#[derive(serde::Serialize, serde::Deserialize)]
struct File<P> {
    format: String,
    picks: P,
}

/// Says what the file is, and which version of it.
const FORMAT: &str = "gabor-kernels-1";

impl Picks {
    /// The pick for `key`.
    pub fn get(&self, key: &Key) -> Option<&Pick> {
        self.0.get(key)
    }

    /// Adds a pick in place of an older one.
    pub fn insert(&mut self, pick: Pick) {
        self.0.insert(pick.key.clone(), pick);
    }

    /// Adds all of `newer` in place of older ones.
    pub fn merge(&mut self, newer: Picks) {
        self.0.extend(newer.0);
    }

    /// Those for one place.
    pub fn at(&self, place: &Place) -> Picks {
        let here = self.0.iter().filter(|(key, _)| key.place == *place);
        Picks(here.map(|(key, pick)| (key.clone(), pick.clone())).collect())
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Pick> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a file that [`Picks::write`] wrote.
    ///
    /// Errors where it cannot be read, or is something else.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let remedy = "give a file that `gabor tune --export` wrote";
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e, remedy))?;
        let faulty = |what: String| Error::data(path, format!("{what}; {remedy}"));
        let file: File<Vec<Pick>> = serde_json::from_slice(&bytes)
            .map_err(|e| faulty(format!("it holds no picks of kernels ({e})")))?;
        if file.format != FORMAT {
            return Err(faulty(format!("its format is `{}`, not `{FORMAT}`", file.format)));
        }
        Ok(Picks(file.picks.into_iter().map(|pick| (pick.key.clone(), pick)).collect()))
    }

    /// Writes them to a JSON file, in the order of their keys.
    ///
    /// Errors where the file cannot be written; an older one is left as it was then.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let file = File { format: FORMAT.to_owned(), picks: self.iter().collect::<Vec<_>>() };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|e| Error::Usage(format!("picks of kernels as JSON: {e}")))?;
        write_atomic(path, text.as_bytes())
    }
}
