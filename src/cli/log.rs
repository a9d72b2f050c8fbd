//! The log on standard error: warnings, and on a terminal also what goes on.

use std::io::IsTerminal;

use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    /// The libraries beneath have much to say that is no concern of a user's.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("gabor: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Prints the crate's log from now on.
pub(super) fn install() {
    let level = if std::io::stderr().is_terminal() { LevelFilter::Info } else { LevelFilter::Warn };
    // A second call, or a program that has a logger already, changes nothing.
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(level);
    }
}

/// Says no more than errors do.
pub(super) fn silence() {
    log::set_max_level(LevelFilter::Error);
}
