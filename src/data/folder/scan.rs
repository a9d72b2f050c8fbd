//! Which files a folder of classes holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The ends of the names that are taken, in lower case.
const ENDS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Folders within folders are followed no deeper.
const DEPTH: usize = 16;

/// The files of each class of `dir`, in the order of their paths.
///
/// Errors where a folder cannot be read, is linked to from within itself, or is nested too deep;
/// where a class has no pictures or a name that is not UTF-8; and where there is no class.
pub(super) fn classes(dir: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut classes = BTreeMap::new();
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default();
        let Some(name) = name.to_str() else {
            return Err(Error::data(&path, "a class needs a name in UTF-8; rename the folder"));
        };
        let mut files = vec![];
        let mut above = vec![real(dir)?];
        collect(&path, &mut above, &mut files)?;
        if files.is_empty() {
            let problem = "holds no PNG or JPEG files; add some or remove the folder";
            return Err(Error::data(path, problem));
        }
        classes.insert(name.to_owned(), files);
    }
    if classes.is_empty() {
        let problem = "holds no folders; every class needs a folder of PNG or JPEG files";
        return Err(Error::data(dir, problem));
    }
    Ok(classes)
}

/// Adds the pictures under `dir`. `above` holds the real paths of the folders that lead to it.
fn collect(dir: &Path, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    let here = real(dir)?;
    if above.contains(&here) {
        let problem = format!("links to {}, in which it lies; remove the link", here.display());
        return Err(Error::data(dir, problem));
    }
    if above.len() > DEPTH {
        return Err(Error::data(dir, format!("folders are nested deeper than {DEPTH}")));
    }
    above.push(here);
    for path in entries(dir)? {
        if path.is_dir() {
            collect(&path, above, files)?;
        } else if is_picture(&path) {
            files.push(path);
        }
    }
    above.pop();
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    end.is_some_and(|end| ENDS.contains(&end.as_str()))
}

/// The entries of a folder whose names do not begin with a dot, in the order of their names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(dir, e, "check that it is a readable folder");
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn real(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|e| Error::io(path, e, "check the folder and what it links to"))
}
