//! The user's cache of picks.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::Picks;
use crate::error::{Error, Result};

/// The variable that names gabor's cache folder where the platform's is not wanted.
pub const CACHE_VARIABLE: &str = "GABOR_CACHE";

/// A file of picks that outlives the process, and that processes share. A file that cannot be read
/// is as good as none: everything in it can be measured again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache(Option<PathBuf>);

impl Cache {
    /// `tuning.json` in the folder that the variable `GABOR_CACHE` names, else in `gabor` in the
    /// user's cache folder: `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on Windows
    /// `%LOCALAPPDATA%`. As [`Cache::none`] for a user without a home.
    pub fn user() -> Self {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let folder = match named(CACHE_VARIABLE).filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => Some(folder),
            None => platform_folder(&named).map(|folder| folder.join("gabor")),
        };
        Cache(folder.map(|folder| folder.join("tuning.json")))
    }

    /// This file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Cache(Some(path.into()))
    }

    /// Nothing is kept.
    pub fn none() -> Self {
        Cache(None)
    }

    /// The file.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// What it holds. A file that is damaged, or of another version, is passed over with a line in
    /// the log.
    pub fn load(&self) -> Picks {
        let Some(path) = self.0.as_deref().filter(|path| path.exists()) else {
            return Picks::default();
        };
        Picks::read(path).unwrap_or_else(|error| {
            log::warn!("the cache of kernels is not used: {error}");
            Picks::default()
        })
    }

    /// Adds `picks` to what the file holds by now. Processes that do so at the same time wait for
    /// each other, so that none loses the others' picks.
    ///
    /// Errors where folder or file cannot be written.
    pub fn store(&self, picks: &Picks) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let remedy = "set GABOR_CACHE to a folder that can be written";
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e, remedy))?;
        let _lock = lock(&path.with_extension("lock"));
        let mut all = self.load();
        all.merge(picks.clone());
        all.write(path)
    }
}

/// Waits until nobody else holds the lock; it is held until the file is dropped. Without one, where
/// the file system has none, a pick may be lost to another process, but never the file.
fn lock(path: &Path) -> Option<File> {
    let file = OpenOptions::new().create(true).append(true).open(path).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// The folder that the platform has for caches. A relative `XDG_CACHE_HOME` is to be ignored.
fn platform_folder(named: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        return named("LOCALAPPDATA");
    }
    let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let home = || Some(std::env::home_dir()?.join(below_home));
    named("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::{Dropped, Key, Pick, Place};

    fn pick(op: &str, kernel: &str) -> Pick {
        Pick {
            key: Key {
                op: op.into(),
                settings: "Settings { stride: 2 }".into(),
                inputs: "f32[2, 3]".into(),
                outputs: "f32[3]".into(),
                kernels: "0123".into(),
                place: Place {
                    adapter: "adapter \"X\"".into(),
                    backend: "vulkan".into(),
                    driver: "1.2".into(),
                    software: "gabor 0".into(),
                    checked: false,
                    deterministic: true,
                },
            },
            kernel: kernel.into(),
            ms: 0.361_235,
            first: "tiled".into(),
            first_ms: Some(12.000_007),
            dropped: vec![Dropped { kernel: "naive".into(), why: "off".into() }],
            thorough: true,
        }
    }

    #[test]
    fn what_is_stored_is_loaded_and_newer_picks_win() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("deep/down/tuning.json"));
        assert!(cache.load().is_empty());
        let mut picks = Picks::default();
        picks.insert(pick("a", "tiled"));
        picks.insert(pick("b", "tiled"));
        cache.store(&picks).unwrap();
        assert_eq!(cache.load(), picks);

        let mut newer = Picks::default();
        newer.insert(pick("b", "direct"));
        cache.store(&newer).unwrap();
        let kernels: Vec<_> = cache.load().iter().map(|p| p.kernel.clone()).collect();
        assert_eq!(kernels, ["tiled", "direct"]);
        assert_eq!(cache.load().at(&pick("a", "").key.place).len(), 2);
        let elsewhere = Place { driver: "1.3".into(), ..pick("a", "").key.place };
        assert!(cache.load().at(&elsewhere).is_empty());
    }

    #[test]
    fn a_damaged_or_foreign_file_is_passed_over_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuning.json");
        let cache = Cache::at(&path);
        let mut picks = Picks::default();
        picks.insert(pick("a", "tiled"));
        cache.store(&picks).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let foreign = whole.replace("gabor-kernels-1", "gabor-kernels-9");
        for text in ["", "\0\u{1}", "[]", "{\"picks\": 3}", &whole[..whole.len() / 2], &foreign] {
            std::fs::write(&path, text).unwrap();
            assert!(cache.load().is_empty(), "{text:?}");
            let message = Picks::read(&path).unwrap_err().to_string();
            assert!(
                message.contains("gabor tune --export") && !message.contains('\n'),
                "{message}"
            );
            cache.store(&picks).unwrap();
            assert_eq!(cache.load(), picks);
        }
        // A folder in the file's place can be neither read nor written.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(cache.load().is_empty());
        assert!(cache.store(&picks).is_err());
    }

    #[test]
    fn those_who_store_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("tuning.json"));
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let cache = cache.clone();
                scope.spawn(move || {
                    for i in 0..4 {
                        let mut picks = Picks::default();
                        picks.insert(pick(&format!("op {writer} {i}"), "tiled"));
                        cache.store(&picks).unwrap();
                    }
                });
            }
        });
        assert_eq!(cache.load().len(), 16);
    }
}
