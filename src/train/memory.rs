//! Whether a step fits, before it starts.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Plan};

/// The bytes that a device offers to a program, where that can be known: the machine's free memory
/// for the CPU and for GPUs that share it. Discrete GPUs do not say; the driver's refusal is caught
/// when buffers are created.
fn available(device: &Device) -> Option<u64> {
    let shares_memory = match device {
        Device::Cpu => true,
        #[cfg(feature = "gpu")]
        Device::Gpu(engine) => {
            use crate::kernel::AdapterKind;
            matches!(engine.adapter().kind, AdapterKind::Integrated | AdapterKind::Software)
        }
    };
    if !shares_memory {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The plan for a number of images, and the bytes that are needed beside it: states that only other
/// programs of the step touch.
pub(super) type Need<'a> = &'a dyn Fn(usize) -> Result<(Plan, u64)>;

/// The bytes that the programs of a step may take.
pub(super) struct Budget {
    device: String,
    bytes: Option<u64>,
}

impl Budget {
    /// `limit` bytes, or what the device offers beside the `resident` bytes that are taken already
    /// by states which new programs share.
    pub(super) fn new(device: &Device, limit: Option<u64>, resident: u64) -> Self {
        let bytes = limit.or_else(|| available(device).map(|free| free + resident));
        Budget { device: device.name(), bytes }
    }

    /// `graph` compiled with the picked kernels; where only these do not fit, with each op's first.
    ///
    /// Errors where the device cannot run it.
    pub(super) fn compile(&self, device: &Device, graph: &Graph) -> Result<Plan> {
        match device.plan(graph) {
            Ok(plan) if self.fits(&plan) => Ok(plan),
            _ => {
                let plan = Plan::new(graph, &device.target())?;
                if self.fits(&plan) && !device.picks().is_empty() {
                    log::warn!("the picked kernels take too much memory: each op's first is used");
                }
                Ok(plan)
            }
        }
    }

    /// Whether the plan alone fits.
    pub(super) fn fits(&self, plan: &Plan) -> bool {
        self.bytes.is_none_or(|bytes| plan.memory() <= bytes)
    }

    /// The plan for `batch`.
    ///
    /// Errors where it does not fit: how much it needs, and what would fit instead. `micro` is what
    /// a micro-batch needs, where the step is not one of micro-batches already.
    pub(super) fn plan(
        &self,
        batch: usize,
        need: Need<'_>,
        micro: Option<Need<'_>>,
    ) -> Result<Plan> {
        let too_large = match need(batch) {
            Ok((plan, beside)) => match self.bytes {
                Some(available) if plan.memory() + beside > available => Error::Memory {
                    what: format!("a step with batch {batch}"),
                    needed: plan.memory() + beside,
                    device: self.device.clone(),
                    available,
                    remedy: String::new(),
                },
                _ => return Ok(plan),
            },
            Err(error) if is_memory(&error) => error,
            Err(error) => return Err(error),
        };
        let smaller = self.largest(batch, need);
        let parts = micro.map_or(0, |micro| self.largest(batch, micro));
        let remedy = match (smaller, parts) {
            (0, 0) => "not even batch 1 fits; use a smaller model or another device".to_owned(),
            (n, 0) => format!("batch {n} would fit"),
            (0, n) => format!("the same batch with micro-batches of {n} would fit"),
            (n, m) => format!("batch {n} would fit, or the same batch with micro-batches of {m}"),
        };
        Err(with_remedy(too_large, remedy))
    }

    /// The largest number of images below `batch` that fits; 0 if none does.
    fn largest(&self, batch: usize, need: Need<'_>) -> usize {
        let fits = |(plan, beside): (Plan, u64)| {
            self.bytes.is_none_or(|bytes| plan.memory() + beside <= bytes)
        };
        largest(batch, &|n| need(n).is_ok_and(fits))
    }
}

/// The largest number below `batch` that fits; 0 if none does. Memory grows with the batch.
fn largest(batch: usize, fits: &dyn Fn(usize) -> bool) -> usize {
    let (mut fitting, mut too_large) = (0, batch);
    while too_large - fitting > 1 {
        let middle = fitting + (too_large - fitting) / 2;
        if fits(middle) {
            fitting = middle;
        } else {
            too_large = middle;
        }
    }
    fitting
}

fn is_memory(error: &Error) -> bool {
    match error {
        Error::Memory { .. } => true,
        Error::Layer { source, .. } => is_memory(source),
        _ => false,
    }
}

fn with_remedy(error: Error, new: String) -> Error {
    match error {
        Error::Memory { what, needed, device, available, .. } => {
            Error::Memory { what, needed, device, available, remedy: new }
        }
        Error::Layer { layer, source } => {
            Error::Layer { layer, source: Box::new(with_remedy(*source, new)) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn bisection_finds_the_largest_batch() {
        for limit in [0, 1, 7, 63, 99] {
            assert_eq!(largest(100, &|n| n <= limit), limit);
        }
    }
}
