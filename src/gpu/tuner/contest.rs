//! The contest of an op's kernels: first right, then fast.

use std::sync::Arc;
use std::time::Instant;

use super::problem::{Clock, Problem, Reference, cut, operations};
use crate::error::{Error, Result};
use crate::gpu::GpuEngine;
use crate::gpu::adapters::Found;
use crate::ops::{Op, Types};
use crate::tuning::{Dropped, Key, Pick};

/// How much time is spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Seconds that one kernel's measured runs take, if three are not longer. A run that is very long
    /// is not repeated.
    pub(super) kernel: f64,
    /// Seconds after which no further kernel of an op is tried, once two have been.
    pub(super) op: f64,
    /// Seconds after which no further op is tried.
    pub(super) total: f64,
    /// A run that is shorter is repeated within one submission until it is not.
    pub(super) grain: f64,
    /// The operations that the oracle may take, at some 250 million a second. A larger op is compared
    /// with the CPU engine, and with the oracle on fewer items.
    pub(super) oracle: u64,
    /// Whether picks of less effort are measured again.
    pub(super) is_thorough: bool,
}

impl Effort {
    pub(super) const QUICK: Effort = Effort {
        kernel: 0.05,
        op: 2.0,
        total: 20.0,
        grain: 0.001,
        oracle: 40_000_000,
        is_thorough: false,
    };
    pub(super) const FULL: Effort = Effort {
        kernel: 0.5,
        op: f64::INFINITY,
        total: f64::INFINITY,
        grain: 0.005,
        oracle: 300_000_000,
        is_thorough: true,
    };

    /// Whether a run of this many seconds is too long to be repeated.
    fn is_long(&self, seconds: f64) -> bool {
        seconds * *RUNS.start() as f64 > self.op
    }
}

/// The least number of runs that count, and the largest.
const RUNS: std::ops::RangeInclusive<usize> = 3..=50;
/// The most repetitions within a submission.
const MOST_REPEATS: f64 = 200.0;
/// A kernel must take less than this share of the best guess's time to be taken in its place, so
/// that chance does not decide between equals.
const CLEAR: f64 = 0.95;
/// A kernel that takes this many times as long as the fastest is not measured further.
const HOPELESS: f64 = 2.0;
/// A kernel that takes this many times as long as the best guess on a part is not run on the whole.
const TOO_SLOW: f64 = 10.0;

/// An op to choose a kernel for.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) op: Arc<dyn Op>,
    pub(super) types: Types,
    /// The names of its variants, best guess first.
    pub(super) kernels: Vec<&'static str>,
}

/// A device of the tuner's own: what a kernel breaks is thrown away with it.
pub(super) struct Workbench<'a> {
    model: &'a GpuEngine,
    open: Option<GpuEngine>,
}

impl<'a> Workbench<'a> {
    /// One like `model`.
    pub(super) fn like(model: &'a GpuEngine) -> Self {
        Workbench { model, open: None }
    }

    /// The device, a new one where the last is broken.
    ///
    /// Errors where the driver refuses to open it.
    fn engine(&mut self) -> Result<GpuEngine> {
        if let Some(engine) = self.open.take().filter(|engine| engine.check().is_ok()) {
            return Ok(self.open.insert(engine).clone());
        }
        let (adapter, options) = self.model.origin();
        let found = Found { adapter: adapter.clone(), info: self.model.report().clone() };
        let engine = pollster::block_on(GpuEngine::from_found(found, options.clone()))?;
        Ok(self.open.insert(engine).clone())
    }
}

/// Tries all kernels of an op. None where there is nothing to choose: none is right, or the
/// reference cannot be computed.
pub(super) fn contest(bench: &mut Workbench<'_>, entry: &Entry, effort: &Effort) -> Option<Pick> {
    let start = Instant::now();
    let say = |what: &str| log::warn!("tuning {} {}: {what}", entry.key.op, entry.key.inputs);
    let mut trial = match Trial::new(entry, effort) {
        Ok(trial) => trial,
        Err(error) => {
            say(&format!("there is nothing to compare with: {error}"));
            return None;
        }
    };
    let (mut times, mut dropped) = (vec![], vec![]);
    for (i, &kernel) in entry.kernels.iter().enumerate() {
        if i > 1 && start.elapsed().as_secs_f64() > effort.op {
            say(&format!("no time is left for {}", entry.kernels[i..].join(", ")));
            break;
        }
        match bench.engine().and_then(|engine| trial.run(&engine, kernel, &times)) {
            Ok(seconds) => times.push((kernel, seconds)),
            Err(error) => {
                let why = error.to_string();
                say(&format!("{kernel} is dropped: {why}"));
                dropped.push(Dropped { kernel: kernel.to_owned(), why });
            }
        }
    }
    let first = entry.kernels[0];
    let mut fastest = choose(first, &times)?;
    if fastest.0 != first
        && let Some(&(_, seconds)) = times.iter().find(|(kernel, _)| *kernel == first)
    {
        // Once more in turn, since a machine has better and worse seconds.
        let again = bench.engine().and_then(|engine| trial.duel(&engine, first, fastest.0));
        let again = again.unwrap_or_else(|error| {
            say(&format!("{} is not taken: {error}", fastest.0));
            vec![(first, seconds)]
        });
        for &(kernel, seconds) in &again {
            times.iter_mut().filter(|(k, _)| *k == kernel).for_each(|t| t.1 = seconds);
        }
        fastest = choose(first, &again)?;
    }
    // Whole nanoseconds, which a file gives back as they were.
    let ms = |kernel| {
        let time = times.iter().find(|(k, _)| *k == kernel);
        time.map(|(_, seconds)| (1e9 * seconds).round() / 1e6)
    };
    Some(Pick {
        key: entry.key.clone(),
        kernel: fastest.0.to_owned(),
        ms: ms(fastest.0)?,
        first: first.to_owned(),
        first_ms: ms(first),
        dropped,
        thorough: effort.is_thorough,
    })
}

/// The fastest kernel, but the op's best guess, `first`, unless another is clearly faster.
fn choose<'a>(first: &str, times: &[(&'a str, f64)]) -> Option<(&'a str, f64)> {
    let fastest = *times.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    match times.iter().find(|(kernel, _)| *kernel == first) {
        Some(&guess) if fastest.1 >= CLEAR * guess.1 => Some(guess),
        _ => Some(fastest),
    }
}

/// What the kernels of an op are tried on.
struct Trial {
    effort: Effort,
    whole: Problem,
    /// The op on fewer items against the oracle, where the whole is too much for that, and how many
    /// of these make the whole.
    part: Option<(Problem, f64)>,
    /// What the first kernel took on the part.
    first_on_part: Option<f64>,
}

impl Trial {
    fn new(entry: &Entry, effort: &Effort) -> Result<Self> {
        let Entry { op, types, .. } = entry;
        let work = operations(op.as_ref(), types);
        let is_small = work <= effort.oracle;
        let reference = if is_small { Reference::Oracle } else { Reference::Cpu };
        let part = match cut(op.as_ref(), types, effort.oracle).filter(|_| !is_small) {
            Some(less) => {
                let parts = work as f64 / operations(op.as_ref(), &less) as f64;
                Some((Problem::new(op, &less, Reference::Oracle)?, parts))
            }
            None => None,
        };
        let whole = Problem::new(op, types, reference)?;
        Ok(Trial { effort: *effort, whole, part, first_on_part: None })
    }

    /// The median seconds of a kernel that is right.
    ///
    /// Errors where it fails, is wrong, or is far too slow.
    fn run(&mut self, engine: &GpuEngine, kernel: &str, times: &[(&str, f64)]) -> Result<f64> {
        if let Some((part, parts)) = &self.part
            && part.offers(engine, kernel)?
        {
            part.check(engine, kernel)?;
            let mut clock = part.load(engine, kernel, 1)?;
            clock.seconds()?;
            let seconds = clock.seconds()?;
            let first = *self.first_on_part.get_or_insert(seconds);
            if seconds > TOO_SLOW * first && seconds * parts > self.effort.kernel {
                let ratio = seconds / first;
                return Err(Error::Usage(format!(
                    "on a part it takes {ratio:.0} times as long as the op's first kernel"
                )));
            }
        }
        self.whole.check(engine, kernel)?;
        let (mut clock, once) = self.clock(engine, kernel)?;
        if self.effort.is_long(once) {
            return Ok(once);
        }
        let fastest = times.iter().map(|t| t.1).fold(f64::INFINITY, f64::min);
        let (start, mut seconds) = (Instant::now(), vec![]);
        while seconds.len() < *RUNS.start()
            || (start.elapsed().as_secs_f64() < self.effort.kernel && seconds.len() < *RUNS.end())
        {
            seconds.push(clock.seconds()?);
            if seconds.last().is_some_and(|&last| last > HOPELESS * fastest) && seconds.len() > 1 {
                break;
            }
        }
        Ok(median(seconds))
    }

    /// A kernel after its first run, repeated so that the clock's grain does not count, and the
    /// seconds that it took once.
    fn clock(&self, engine: &GpuEngine, kernel: &str) -> Result<(Clock, f64)> {
        let mut clock = self.whole.load(engine, kernel, 1)?;
        let mut once = clock.seconds()?;
        if !self.effort.is_long(once) {
            once = clock.seconds()?;
        }
        if once < self.effort.grain {
            let repeats = (self.effort.grain / once.max(1e-9)).ceil().min(MOST_REPEATS);
            clock = self.whole.load(engine, kernel, repeats as usize)?;
            clock.seconds()?;
        }
        Ok((clock, once))
    }

    /// The medians of two kernels that run in turn.
    fn duel<'a>(
        &self,
        engine: &GpuEngine,
        first: &'a str,
        second: &'a str,
    ) -> Result<Vec<(&'a str, f64)>> {
        let (first_clock, first_once) = self.clock(engine, first)?;
        let (second_clock, second_once) = self.clock(engine, second)?;
        if self.effort.is_long(first_once.max(second_once)) {
            return Ok(vec![(first, first_once), (second, second_once)]);
        }
        let mut clocks = [first_clock, second_clock];
        let mut seconds = [vec![], vec![]];
        let start = Instant::now();
        while seconds[0].len() < *RUNS.start()
            || (start.elapsed().as_secs_f64() < 2.0 * self.effort.kernel
                && seconds[0].len() < *RUNS.end())
        {
            for (clock, seconds) in clocks.iter_mut().zip(&mut seconds) {
                seconds.push(clock.seconds()?);
            }
        }
        let [a, b] = seconds.map(median);
        Ok(vec![(first, a), (second, b)])
    }
}

/// The middle one, of an even number the upper.
fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clearly_faster_kernel_replaces_the_best_guess() {
        let choose = |times: &[(&'static str, f64)]| choose("guess", times).map(|t| t.0);
        assert_eq!(choose(&[("guess", 1.0), ("other", 0.96)]), Some("guess"));
        assert_eq!(choose(&[("guess", 1.0), ("other", 0.94)]), Some("other"));
        assert_eq!(choose(&[("guess", 1.0), ("other", 0.94), ("third", 0.93)]), Some("third"));
        assert_eq!(choose(&[("guess", 1.0), ("other", 2.0)]), Some("guess"));
        // The guess was dropped.
        assert_eq!(choose(&[("other", 3.0), ("third", 2.99)]), Some("third"));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn medians_do_not_mind_outliers() {
        assert_eq!(median(vec![3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median(vec![2.0, 1.0]), 2.0);
    }
}
