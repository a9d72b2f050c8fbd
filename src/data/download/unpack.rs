//! Gzipped tar archives that are not to be trusted.

use std::fs::File;
use std::io::{BufReader, Read, copy};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use crate::error::{Error, Result};

/// No archive of a data set holds more.
const MOST_BYTES: u64 = 2 << 30;
/// No archive of a data set holds more files and folders.
const MOST_ENTRIES: usize = 10_000;

/// Unpacks the gzipped tar file `archive` into the folder `to` and returns the files, in their order
/// in the archive. Nothing appears in `to` unless all of it is in order.
///
/// Errors where the archive is damaged or cut short; holds a path that leaves the folder (absolute, or
/// with `..`), a link or a device; holds a path twice; or comes to more than 2 GiB or 10,000 files.
pub fn unpack(archive: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(to, e, "choose a folder with enough space that can be written");
    let staging = tempfile::Builder::new().prefix(".unpack-").tempdir_in(to).map_err(failed)?;
    let files = extract(archive, staging.path())?;
    let mut paths = vec![];
    for file in files {
        let target = to.join(&file);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e, "remove it first"))?;
        }
        let moved = std::fs::rename(staging.path().join(&file), &target);
        moved.map_err(|e| Error::io(&target, e, "remove it first"))?;
        paths.push(target);
    }
    Ok(paths)
}

/// Unpacks into the empty folder `to`; returns the paths within it.
fn extract(archive: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let read = |e| Error::io(archive, e, "check that it is a readable file");
    let file = BufReader::new(File::open(archive).map_err(read)?);
    let fault = |problem: String| Error::data(archive, format!("{problem}; nothing was unpacked"));
    let damaged = |e: std::io::Error| fault(format!("cannot be unpacked ({e})"));
    // One byte more than is allowed, so that the end of the limit is not taken for the archive's.
    let mut tar = tar::Archive::new(MultiGzDecoder::new(file).take(MOST_BYTES + 1));
    let (mut files, mut total) = (vec![], 0u64);
    for (index, entry) in tar.entries().map_err(damaged)?.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.into_owned();
        let shown = name.display().to_string();
        let inside = inside(&name)
            .ok_or_else(|| fault(format!("holds the path {shown:?}, which leaves the folder")))?;
        if index == MOST_ENTRIES {
            return Err(fault(format!("holds more than {MOST_ENTRIES} files")));
        }
        let target = to.join(&inside);
        let write = |e: std::io::Error| fault(format!("{shown:?} cannot be written ({e})"));
        match entry.header().entry_type() {
            EntryType::Directory => {
                std::fs::create_dir_all(&target).map_err(write)?;
                continue;
            }
            EntryType::Regular | EntryType::Continuous if !inside.as_os_str().is_empty() => {}
            EntryType::XGlobalHeader => continue,
            other => {
                let problem = format!("holds {shown:?}, which is no file or folder ({other:?})");
                return Err(fault(problem));
            }
        }
        let said = entry.size();
        total = total.saturating_add(said);
        if total > MOST_BYTES {
            return Err(fault(format!("holds more than {} GiB", MOST_BYTES >> 30)));
        }
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(write)?;
        }
        let mut out = File::create_new(&target).map_err(write)?;
        let count = copy(&mut (&mut entry).take(said), &mut out).map_err(damaged)?;
        if count != said {
            return Err(fault(format!("{shown:?} is cut short")));
        }
        files.push(inside);
    }
    // To the very end, where the checksum is.
    copy(&mut tar.into_inner(), &mut std::io::sink()).map_err(damaged)?;
    if files.is_empty() {
        return Err(fault("holds no files".into()));
    }
    Ok(files)
}

/// The path as one within a folder; `None` where it leads out of it.
fn inside(path: &Path) -> Option<PathBuf> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}
