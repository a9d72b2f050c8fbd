//! When the steps of a plan ran.

/// By whose clock the steps of a run were timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Timestamps that the device wrote before and after each dispatch.
    Timestamps,
    /// The host's clock, around each dispatch by itself: handed over alone and waited for. What an
    /// empty submission takes was subtracted.
    Synchronised,
    /// The host's clock, around each step: on the CPU engine.
    Host,
}

impl Clock {
    /// How the times came about, in a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Clock::Timestamps => "timestamps that the device wrote around each dispatch",
            Clock::Synchronised => "the host's clock, each dispatch submitted and waited for alone",
            Clock::Host => "the host's clock, around each op",
        }
    }
}

/// A dispatch of a plan's step, or the whole step on the CPU. Seconds since the run began.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span {
    /// The index of the plan's step.
    pub step: usize,
    /// The index of the dispatch among those of the step's kernel.
    pub dispatch: usize,
    /// When it began.
    pub start: f64,
    /// When it was over.
    pub end: f64,
}

/// A part of what the host did for a run. Seconds since the run began.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HostSpan {
    /// `upload`, `encode`, `submit`, `wait` or `run`.
    pub name: &'static str,
    /// When it began.
    pub start: f64,
    /// When it was over.
    pub end: f64,
}

/// A run of a plan that was timed step by step.
#[derive(Clone, PartialEq, Debug)]
pub struct Timeline {
    /// By whose clock.
    pub clock: Clock,
    /// The device's work, in order, without overlap. A device's clock has no known place on the
    /// host's: the last span is put at the moment when the host saw that all was done.
    pub device: Vec<Span>,
    /// The host's work, in order, without overlap.
    pub host: Vec<HostSpan>,
}
