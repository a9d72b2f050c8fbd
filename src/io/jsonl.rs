//! Event logs: one JSON object a line, readable while the run that writes them goes on.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::atomic::io_error;
use crate::error::{Error, Result};

/// How long a line may wait in memory.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Writes one JSON value a line. Lines reach the file at least every second while lines are
/// written, on [`flush`](Self::flush) and on drop.
///
/// Numbers that are not finite become `null`, since JSON has no other word for them.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    out: BufWriter<File>,
    line: Vec<u8>,
    flushed: Instant,
}

impl JsonLines {
    /// Starts an empty log at `path`, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::create(&path).map_err(|source| io_error(&path, source))?;
        Ok(JsonLines::new(path, file))
    }

    /// Goes on with the log at `path`, or starts one. A last line that a crash cut short is
    /// removed.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read or written.
    pub fn append(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = open_at_end(&path).map_err(|source| io_error(&path, source))?;
        Ok(JsonLines::new(path, file))
    }

    fn new(path: PathBuf, file: File) -> Self {
        let flushed = Instant::now();
        JsonLines { path, out: BufWriter::new(file), line: Vec::new(), flushed }
    }

    /// Writes `value` as one line.
    ///
    /// # Errors
    /// [`Error::Usage`] where `value` has no JSON form (the log is then unchanged); [`Error::Io`]
    /// where the file cannot be written.
    pub fn write(&mut self, value: &impl Serialize) -> Result<()> {
        self.line.clear();
        // Serialised aside first, so that a value that fails half-way leaves no half line.
        serde_json::to_writer(&mut self.line, value).map_err(|error| {
            Error::Usage(format!("a line for {} has no JSON form: {error}", self.path.display()))
        })?;
        self.line.push(b'\n');
        self.out.write_all(&self.line).map_err(|source| io_error(&self.path, source))?;
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands all lines to the operating system.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        self.out.flush().map_err(|source| io_error(&self.path, source))
    }

    /// The log's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the lines of the log at `path`. A last line without its line end, as a killed run leaves
/// it, is left out. Numbers that were not finite read as `null`: use `Option<f32>` for them.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Data`], with the line's number, for a line
/// that is not a `T`.
pub fn read<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Vec<T>> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
    let whole = &bytes[..whole_lines(&bytes)];
    let lines =
        whole.split(|&b| b == b'\n').enumerate().filter(|(_, l)| !l.trim_ascii().is_empty());
    lines
        .map(|(i, line)| {
            serde_json::from_slice(line)
                .map_err(|error| Error::data(path, format!("line {}: {error}", i + 1)))
        })
        .collect()
}

fn open_at_end(path: &Path) -> std::io::Result<File> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = whole_lines(&bytes) as u64;
    file.set_len(whole)?;
    file.seek(SeekFrom::Start(whole))?;
    Ok(file)
}

/// The length of `bytes` up to and with the last line end.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Line {
        step: u64,
        loss: Option<f32>,
        text: String,
    }

    fn line(step: u64) -> Line {
        Line { step, loss: Some(step as f32 / 7.0), text: format!("a\n\"{step}\"") }
    }

    fn log() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        (folder, path)
    }

    #[test]
    fn lines_come_back_after_drop() {
        let (_folder, path) = log();
        let mut out = JsonLines::create(&path).unwrap();
        (1..=1000).for_each(|step| out.write(&line(step)).unwrap());
        drop(out);
        assert_eq!(read::<Line>(&path).unwrap(), (1..=1000).map(line).collect::<Vec<_>>());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1000);
    }

    #[test]
    fn a_flushed_line_can_be_read_while_writing_goes_on() {
        let (_folder, path) = log();
        let mut out = JsonLines::create(&path).unwrap();
        out.write(&line(1)).unwrap();
        assert!(read::<Line>(&path).unwrap().is_empty());
        out.flush().unwrap();
        assert_eq!(read::<Line>(&path).unwrap(), [line(1)]);
        out.flushed -= FLUSH_INTERVAL;
        out.write(&line(2)).unwrap();
        assert_eq!(read::<Line>(&path).unwrap(), [line(1), line(2)]);
    }

    #[test]
    fn numbers_that_are_not_finite_are_null() {
        let (_folder, path) = log();
        let mut out = JsonLines::create(&path).unwrap();
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5];
        out.write(&values).unwrap();
        out.write(&values.map(|v| v as f32)).unwrap();
        drop(out);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "[null,null,null,0.5]\n[null,null,null,0.5]\n");
    }

    #[test]
    fn a_value_without_json_form_leaves_no_trace() {
        let (_folder, path) = log();
        let mut out = JsonLines::create(&path).unwrap();
        let bad = BTreeMap::from([([1u8, 2], 3)]);
        let message = out.write(&bad).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl has no JSON form"), "{message}");
        out.write(&line(3)).unwrap();
        drop(out);
        assert_eq!(read::<Line>(&path).unwrap(), [line(3)]);
    }

    #[test]
    fn appending_mends_a_torn_last_line() {
        let (_folder, path) = log();
        JsonLines::append(&path).unwrap().write(&line(1)).unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"step\":2,\"lo");
        std::fs::write(&path, torn).unwrap();
        assert_eq!(read::<Line>(&path).unwrap(), [line(1)]);
        JsonLines::append(&path).unwrap().write(&line(2)).unwrap();
        assert_eq!(read::<Line>(&path).unwrap(), [line(1), line(2)]);
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let (_folder, path) = log();
        std::fs::write(&path, "{\"step\":1,\"loss\":null,\"text\":\"\"}\n\nnonsense\n").unwrap();
        let message = read::<Line>(&path).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl: line 3: "), "{message}");
        let missing = path.with_file_name("none").join("m.jsonl");
        assert!(read::<Line>(&missing).unwrap_err().to_string().contains("check the path"));
        assert!(JsonLines::create(&missing).is_err());
        assert!(JsonLines::append(&missing).is_err());
    }
}
