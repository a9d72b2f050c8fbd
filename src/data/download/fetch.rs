//! One file, from an address or a path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::error::{Error, Result};

/// Attempts in a row that bring nothing new before giving up.
const FUTILE: usize = 3;
/// Before the next attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// A server that is silent for longer is given up, and asked anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file whose content is known by its length and sum.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile {
    /// The name, at its address and on disk.
    pub name: &'static str,
    /// The length in bytes.
    pub bytes: u64,
    /// The SHA-256 in lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// Whether `text` is an address and not a path.
pub(super) fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Fetches `file` from `from`, an `http` or `https` address or a path, into the folder `to`, and
/// returns its path. `progress` is told how many bytes are there. A connection that is cut is taken
/// up where it ended, also by a later call.
///
/// Errors where the file cannot be had, is longer than it should be or has another sum, or cannot be
/// written.
pub fn fetch(
    file: &RemoteFile,
    from: &str,
    to: &Path,
    mut progress: impl FnMut(u64),
) -> Result<PathBuf> {
    let path = to.join(file.name);
    let part = to.join(format!("{}.part", file.name));
    if path.is_file() && sum(&path)? == file.sha256 {
        progress(file.bytes);
        return Ok(path);
    }
    let mut futile = 0;
    while length(&part)? < file.bytes {
        let before = length(&part)?;
        let outcome = match is_address(from) {
            true => download(file, from, before, &part, &mut progress),
            false => copy(file, Path::new(from), &part, &mut progress),
        };
        let after = length(&part)?;
        match outcome {
            Ok(()) if after >= file.bytes => break,
            Err(Failure::Final(error)) => return Err(error),
            outcome => {
                futile = if after > before { 0 } else { futile + 1 };
                if futile == FUTILE {
                    let problem = match outcome {
                        Err(Failure::Passing(problem)) => problem,
                        _ => format!("it ends after {after} bytes"),
                    };
                    return Err(Error::data(
                        from,
                        format!(
                            "{problem}; {after} of {} bytes are there, try again to go on, or \
                             name another source with --mirror",
                            file.bytes
                        ),
                    ));
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
    let found = sum(&part)?;
    if found != file.sha256 {
        let failed = |e| Error::io(&part, e, "remove it");
        std::fs::remove_file(&part).map_err(failed)?;
        return Err(Error::data(
            from,
            format!(
                "its SHA-256 is {found}, {} was expected; it was not kept, name another source \
                 with --mirror",
                file.sha256
            ),
        ));
    }
    std::fs::rename(&part, &path).map_err(|e| Error::io(&path, e, "check the folder"))?;
    Ok(path)
}

/// Why an attempt failed.
enum Failure {
    /// Another attempt may succeed.
    Passing(String),
    /// None will.
    Final(Error),
}

/// The bytes from `start` on, appended to `part`.
fn download(
    file: &RemoteFile,
    url: &str,
    start: u64,
    part: &Path,
    progress: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    let passing = |e: ureq::Error| Failure::Passing(e.to_string());
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .http_status_as_error(false)
        .user_agent(concat!("gabor/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.get(url);
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
    }
    let mut response = request.call().map_err(passing)?;
    let status = response.status().as_u16();
    let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
    let start = match status {
        200 => 0,
        206 if range.is_some_and(|range| range.starts_with(&format!("bytes {start}-"))) => start,
        // What is there does not fit what the server has.
        206 | 416 => {
            File::create(part).map_err(|e| Failure::Final(write_error(part, e)))?;
            return Err(Failure::Passing(format!("the server answers {status} to a part")));
        }
        500..=599 | 408 | 429 => {
            return Err(Failure::Passing(format!("the server answers {status}")));
        }
        _ => {
            let problem = format!("the server answers {status}; name another with --mirror");
            return Err(Failure::Final(Error::data(url, problem)));
        }
    };
    append(file, url, start, part, response.body_mut().as_reader(), progress)
}

fn copy(
    file: &RemoteFile,
    from: &Path,
    part: &Path,
    progress: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    let remedy = "name a file or folder that holds it with --mirror";
    let failed = |e| Failure::Final(Error::io(from, e, remedy));
    let kind = std::fs::metadata(from).map_err(failed)?;
    if !kind.is_file() || kind.len() != file.bytes {
        let problem = format!("is not {}, a file of {} bytes", file.name, file.bytes);
        return Err(Failure::Final(Error::data(from, problem)));
    }
    let source = File::open(from).map_err(failed)?;
    append(file, &from.display().to_string(), 0, part, source, progress)
}

/// Writes what `source` gives to `part` from `start` on, and no more than the file has.
fn append(
    file: &RemoteFile,
    from: &str,
    start: u64,
    part: &Path,
    mut source: impl Read,
    progress: &mut impl FnMut(u64),
) -> Result<(), Failure> {
    let failed = |e| Failure::Final(write_error(part, e));
    let mut out = OpenOptions::new()
        .create(true)
        .append(start > 0)
        .write(true)
        .truncate(start == 0)
        .open(part)
        .map_err(failed)?;
    let (mut buffer, mut done) = (vec![0; 1 << 16], start);
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return out.flush().map_err(failed),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::Passing(e.to_string())),
        };
        done += count as u64;
        if done > file.bytes {
            drop(out);
            std::fs::remove_file(part).map_err(failed)?;
            let problem = format!("is longer than the {} bytes of {}", file.bytes, file.name);
            return Err(Failure::Final(Error::data(from, problem)));
        }
        out.write_all(&buffer[..count]).map_err(failed)?;
        progress(done);
    }
}

fn write_error(path: &Path, error: io::Error) -> Error {
    Error::io(path, error, "choose a folder with enough space that can be written with --to")
}

/// The length of a file, 0 where there is none.
fn length(path: &Path) -> Result<u64> {
    match std::fs::metadata(path) {
        Ok(kind) => Ok(kind.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io(path, e, "check the folder")),
    }
}

/// The SHA-256 of a file.
fn sum(path: &Path) -> Result<String> {
    let failed = |e| Error::io(path, e, "check that it is readable");
    let (mut file, mut hash) = (File::open(path).map_err(failed)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
