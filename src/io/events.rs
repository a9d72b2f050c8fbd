//! Event files of TensorBoard: scalars, pictures and histograms over steps.
//!
//! A file is a sequence of records, each framed as TFRecord: the length as a little-endian `u64`, its
//! masked CRC, the bytes, their masked CRC. The bytes are a protobuf message `Event`, of which the few
//! fields that are needed are written here by hand.
//!
//! Formats: <https://www.tensorflow.org/tutorials/load_data/tfrecord>, and `event.proto` and
//! `summary.proto` of TensorBoard.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::atomic::io_error;
use crate::error::Result;

/// How long an event may wait in memory.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);

/// Buckets of a histogram.
const BUCKETS: usize = 30;

/// Writes an event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    out: BufWriter<File>,
    flushed: Instant,
}

impl EventWriter {
    /// Starts a file in `folder`, which is created; its name is one that TensorBoard looks for.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) where folder or file cannot be written.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        let path = folder.join(format!("events.out.tfevents.{:010}.gabor", now() as u64));
        let file = File::create(&path).map_err(|source| io_error(&path, source))?;
        let mut writer = EventWriter { path, out: BufWriter::new(file), flushed: Instant::now() };
        let mut event = Message::new();
        event.double(1, now());
        event.bytes(3, b"brain.Event:2");
        writer.record(&event.0)?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a number.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) where the file cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32) -> Result<()> {
        let mut entry = Message::new();
        entry.bytes(1, tag.as_bytes());
        entry.float(2, value);
        self.summary(step, &entry)
    }

    /// Adds a picture: the bytes of a PNG file of this width and height.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) where the file cannot be written.
    pub fn picture(&mut self, tag: &str, step: u64, size: [u32; 2], png: &[u8]) -> Result<()> {
        let mut image = Message::new();
        image.number(1, size[1].into());
        image.number(2, size[0].into());
        // Red, green and blue.
        image.number(3, 3);
        image.bytes(4, png);
        let mut entry = Message::new();
        entry.bytes(1, tag.as_bytes());
        entry.bytes(4, &image.0);
        self.summary(step, &entry)
    }

    /// Adds the distribution of `values`, in 30 buckets of equal width; values that are not finite are
    /// left out, and nothing is written where there are no others.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) where the file cannot be written.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) -> Result<()> {
        let Some(histogram) = Histogram::of(values) else { return Ok(()) };
        let mut entry = Message::new();
        entry.bytes(1, tag.as_bytes());
        entry.bytes(5, &histogram.message().0);
        self.summary(step, &entry)
    }

    fn summary(&mut self, step: u64, entry: &Message) -> Result<()> {
        let mut summary = Message::new();
        summary.bytes(1, &entry.0);
        let mut event = Message::new();
        event.double(1, now());
        event.number(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)?;
        if self.flushed.elapsed() >= FLUSH_INTERVAL { self.flush() } else { Ok(()) }
    }

    fn record(&mut self, bytes: &[u8]) -> Result<()> {
        let length = (bytes.len() as u64).to_le_bytes();
        let parts = [
            &length,
            &masked_crc(&length).to_le_bytes()[..],
            bytes,
            &masked_crc(bytes).to_le_bytes(),
        ];
        parts
            .iter()
            .try_for_each(|part| self.out.write_all(part))
            .map_err(|source| io_error(&self.path, source))
    }

    /// Hands all events to the operating system.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) where the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        self.out.flush().map_err(|source| io_error(&self.path, source))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A distribution as `HistogramProto` has it.
struct Histogram {
    low: f64,
    high: f64,
    count: f64,
    sum: f64,
    squares: f64,
    /// The upper end of each bucket, and how many values lie in it.
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// `None` where no value is finite.
    fn of(values: &[f32]) -> Option<Self> {
        let finite = || values.iter().map(|&v| f64::from(v)).filter(|v| v.is_finite());
        let (low, high) =
            finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low > high {
            return None;
        }
        let width = (high - low) / BUCKETS as f64;
        let count = if width > 0.0 { BUCKETS } else { 1 };
        let limit = |i: usize| if i + 1 == count { high } else { low + width * (i + 1) as f64 };
        let mut buckets: Vec<_> = (0..count).map(|i| (limit(i), 0.0)).collect();
        let (mut sum, mut squares, mut total) = (0.0, 0.0, 0.0);
        for value in finite() {
            // A value at a limit belongs to the bucket below.
            let at = buckets.partition_point(|&(limit, _)| limit < value).min(count - 1);
            buckets[at].1 += 1.0;
            (sum, squares, total) = (sum + value, squares + value * value, total + 1.0);
        }
        Some(Histogram { low, high, count: total, sum, squares, buckets })
    }

    fn message(&self) -> Message {
        let mut message = Message::new();
        let numbers = [self.low, self.high, self.count, self.sum, self.squares];
        (1..).zip(numbers).for_each(|(field, value)| message.double(field, value));
        // The first bucket begins where the smallest value is: an empty one below says so.
        let limits = std::iter::once(self.low - f64::EPSILON.max(self.low.abs() * 1e-9));
        let limits: Vec<f64> = limits.chain(self.buckets.iter().map(|b| b.0)).collect();
        let counts: Vec<f64> =
            std::iter::once(0.0).chain(self.buckets.iter().map(|b| b.1)).collect();
        message.doubles(6, &limits);
        message.doubles(7, &counts);
        message
    }
}

/// A protobuf message under construction.
struct Message(Vec<u8>);

impl Message {
    fn new() -> Self {
        Message(vec![])
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field's number and how its value is encoded.
    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    /// A packed list.
    fn doubles(&mut self, field: u64, values: &[f64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(field, &bytes);
    }
}

/// The CRC that TFRecord keeps: turned by 15 bits and moved, so that the CRC of data with CRCs in it
/// stays useful.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ crc >> 8)
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
