//! The clock: medians of synchronised runs.

use std::time::Instant;

use super::Workload;
use super::process::thread_seconds;
use crate::device::Device;
use crate::error::Result;
use crate::graph::{Plan, Timeline};
use crate::session::{Outputs, Program, Session};

/// How long to measure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Budget {
    /// Runs before those that count.
    pub warm_up: usize,
    /// The least number of runs that count.
    pub runs: usize,
    /// The largest number of runs that count.
    pub most_runs: usize,
    /// Runs go on until this many seconds are over.
    pub seconds: f64,
    /// A run that is shorter than this many seconds is repeated on the device until it is not, so
    /// that the clock's grain, the submission and the host's waking up do not count.
    pub grain: f64,
}

impl Budget {
    /// For figures that will be compared.
    pub const FULL: Budget =
        Budget { warm_up: 2, runs: 5, most_runs: 200, seconds: 0.4, grain: 0.005 };
    /// For a look.
    pub const QUICK: Budget =
        Budget { warm_up: 1, runs: 3, most_runs: 50, seconds: 0.05, grain: 0.001 };
    /// What the other frameworks' programs take in `peers`, where each run stands for itself.
    pub const PEERS: Budget =
        Budget { warm_up: 3, runs: 5, most_runs: 200, seconds: 1.5, grain: 0.0 };
}

/// What one run takes, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Time {
    /// The median.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
    /// How many measurements there were.
    pub runs: usize,
}

impl Time {
    /// From measured seconds, of which there is at least one.
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Time {
            median: median(&seconds),
            min: seconds.first().copied().unwrap_or(f64::NAN),
            max: seconds.last().copied().unwrap_or(f64::NAN),
            runs: seconds.len(),
        }
    }

    /// Billions a second, for `work` units in a run: GFLOP/s or GB/s.
    pub fn giga_per_second(&self, work: u64) -> f64 {
        work as f64 / self.median / 1e9
    }
}

/// The middle one of sorted values, or the mean of the two in the middle.
pub(super) fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

/// A workload loaded onto a device.
#[derive(Debug)]
pub struct Runner {
    workload: Workload,
    session: Session,
    program: Program,
    repeats: usize,
    is_first: bool,
}

impl Runner {
    /// Loads a workload. Each [`Runner::run`] runs it `repeats` times in a row, if it is resident.
    ///
    /// Errors where it does not fit the device.
    pub fn new(device: &Device, workload: &Workload, repeats: usize) -> Result<Self> {
        let mut session = Session::new(device);
        let program = session.load(workload.plan(device, repeats)?)?;
        Ok(Runner { workload: workload.clone(), session, program, repeats, is_first: true })
    }

    /// Runs it and waits until the device is done.
    ///
    /// Errors where the device fails.
    pub fn run(&mut self) -> Result<Outputs> {
        let inputs = self.workload.inputs(self.is_first);
        let outputs = self.session.run(&mut self.program, &inputs)?;
        self.is_first = false;
        Ok(outputs)
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Plan {
        self.program.plan()
    }

    /// The copies of a run: see [`Program::copies`].
    pub fn copies(&self) -> usize {
        self.program.copies()
    }

    /// Runs it, timed step by step: see [`Session::run_timed`].
    ///
    /// Errors where the device fails.
    pub fn run_timed(&mut self) -> Result<(Outputs, Timeline)> {
        let inputs = self.workload.inputs(self.is_first);
        let timed = self.session.run_timed(&mut self.program, &inputs)?;
        self.is_first = false;
        Ok(timed)
    }

    /// Records a run for a GPU some times and drops it, so that the processor's caches hold what the
    /// next start needs. Nothing is run.
    pub fn rehearse(&self) {
        for _ in 0..REHEARSALS {
            self.program.rehearse();
        }
    }

    /// Runs it once and says how many seconds of this thread's processor time it took to hand it over
    /// to the device, and how many seconds passed until it was done.
    pub(super) fn timed_start(&mut self) -> Result<[f64; 2]> {
        let inputs = self.workload.inputs(self.is_first);
        let (start, busy) = (Instant::now(), thread_seconds());
        let pending = self.session.start_blocking(&mut self.program, &inputs)?;
        let started = thread_seconds() - busy;
        pending.wait()?;
        self.is_first = false;
        Ok([started, start.elapsed().as_secs_f64()])
    }

    /// Changes how often each [`Runner::run`] repeats the workload.
    fn repeat(&mut self, repeats: usize) -> Result<()> {
        let plan = self.workload.plan(&self.session.device(), repeats)?;
        self.program = self.session.load(plan)?;
        (self.repeats, self.is_first) = (repeats, true);
        Ok(())
    }

    /// Runs it once and says how many seconds it took.
    fn timed(&mut self) -> Result<f64> {
        let start = Instant::now();
        self.run()?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// After so many recordings a further one is no faster.
const REHEARSALS: usize = 4;

/// The most repetitions of a workload in one run.
const MOST_REPEATS: f64 = 200.0;

/// The time that one run of a workload takes on a device, everything included that a run needs but
/// uploads and read-backs of what is resident.
///
/// Errors where it does not fit the device, or the device fails.
pub fn measure(device: &Device, workload: &Workload, budget: &Budget) -> Result<Time> {
    let mut runner = Runner::new(device, workload, 1)?;
    let mut last = runner.timed()?;
    for _ in 1..budget.warm_up.max(1) {
        last = runner.timed()?;
    }
    if workload.is_resident() && last < budget.grain {
        let repeats = (budget.grain / last.max(1e-9)).ceil().min(MOST_REPEATS);
        runner.repeat(repeats as usize)?;
        for _ in 0..budget.warm_up.max(1) {
            runner.run()?;
        }
    }
    let (start, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < budget.runs.max(1)
        || (start.elapsed().as_secs_f64() < budget.seconds && seconds.len() < budget.most_runs)
    {
        seconds.push(runner.timed()? / runner.repeats as f64);
    }
    Ok(Time::of(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::case::{Case, Draw};
    use crate::ops::gemm::MatMul;

    #[test]
    fn times_are_those_of_one_run() {
        let time = Time::of(vec![0.3, 0.1, 0.4, 0.2]);
        assert_eq!((time.median, time.min, time.max, time.runs), (0.25, 0.1, 0.4, 4));
        assert!((time.giga_per_second(500_000_000) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn repetition_divides_the_time_and_keeps_the_work() {
        let mut draw = Draw::new(3);
        let inputs = vec![draw.normal([96, 96]), draw.normal([96, 96])];
        let workload = Workload::op(&Case::new("96", MatMul::default(), inputs)).unwrap();
        assert_eq!(workload.cost().unwrap().flops, 2 * 96 * 96 * 96);
        let device = Device::cpu();
        let one = Runner::new(&device, &workload, 1).unwrap().program.plan().steps.len();
        let four = Runner::new(&device, &workload, 4).unwrap().program.plan().steps.len();
        assert_eq!((one, four), (1, 4));
        let budget = Budget { seconds: 0.0, ..Budget::QUICK };
        let time = measure(&device, &workload, &budget).unwrap();
        assert_eq!(time.runs, budget.runs);
        assert!(time.min > 0.0 && time.min <= time.median && time.median <= time.max);
    }
}
