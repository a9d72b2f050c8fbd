//! What the operating system knows about this process. Only Linux is asked.

/// Seconds on a clock for what this thread alone does: its processor time, which goes on for nobody
/// else's work, or where that is not known the time that passes.
pub(super) fn thread_seconds() -> f64 {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    }
}

/// Seconds since this process was started, to a hundredth.
pub(super) fn age() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The 22nd field, in hundredths of a second since the machine was started; the second one is in
    // parentheses and may contain blanks.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(uptime - ticks / 100.0)
}

/// The most memory that this process has had at once, in MiB.
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_thread_pays_for_its_own_work_alone() {
        let start = thread_seconds();
        std::thread::sleep(Duration::from_millis(30));
        let slept = thread_seconds() - start;
        assert!((0.0..0.015).contains(&slept), "{slept} s for sleeping 0.03 s");
        let (start, began) = (thread_seconds(), Instant::now());
        while thread_seconds() - start < 0.005 {
            assert!(began.elapsed() < Duration::from_secs(10), "the clock stands still");
        }
    }
}
