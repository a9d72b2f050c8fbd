//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `bytes` to `path` so that a reader, even after a crash, finds the old content or the new
/// content and never a part of either: into a temporary file in the same folder, flushed to the
/// disk, then renamed.
///
/// # Errors
/// [`Error::Io`] where the folder does not exist or cannot be written, or the disk is full. The old
/// file is then untouched and the temporary one removed.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path.as_ref(), |out| out.write_all(bytes))
}

/// [`write_atomic`] for content that is produced piece by piece.
pub(crate) fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<()> {
    replace(path, write).map_err(|source| io_error(path, source))
}

fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".gabor-").suffix(".part");
    // Temporary files are private by default; this one becomes an ordinary file, so it gets the
    // rights that the user's umask leaves to any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

/// An [`Error::Io`] with the remedy that fits what the operating system reports.
pub(crate) fn io_error(path: &Path, source: io::Error) -> Error {
    let remedy = match source.kind() {
        ErrorKind::NotFound => "check the path and create its folder first",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a place that you may read and write"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some disk space and try again",
        ErrorKind::IsADirectory => "name a file, not a folder",
        ErrorKind::NotADirectory => "a part of the path is a file; name a folder there",
        _ => "check that the path names a file on a disk that can be read and written",
    };
    Error::io(path, source, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_old_content_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, b"first, and longer").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_failure_half_way_keeps_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, b"old").unwrap();
        let error = write_atomic_with(&path, |out| {
            out.write_all(&vec![7; 3 << 20])?;
            Err(io::Error::from(ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.to_string().contains("disk space"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn errors_name_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/a.bin");
        let message = write_atomic(&missing, b"x").unwrap_err().to_string();
        assert!(message.starts_with(&*missing.to_string_lossy()), "{message}");
        assert!(message.ends_with("create its folder first"), "{message}");

        let message = write_atomic(folder.path(), b"x").unwrap_err().to_string();
        assert!(message.contains(&*folder.path().to_string_lossy()), "{message}");
        assert_eq!(message.lines().count(), 1);

        std::fs::write(folder.path().join("file"), "").unwrap();
        let below = folder.path().join("file/a.bin");
        let message = write_atomic(&below, b"x").unwrap_err().to_string();
        assert!(message.contains("a part of the path is a file"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_where_the_umask_lets_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomic(&ours, b"x").unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&ours), mode(&plain));
    }
}
