//! Whether a step fits, before it starts.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Plan;

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

/// The plan for `batch`, if it fits within `limit` bytes, or within what the device offers.
///
/// Errors say how much is needed and which batch would fit.
pub(super) fn plan_that_fits(
    device: &Device,
    limit: Option<u64>,
    batch: usize,
    plan: &dyn Fn(usize) -> Result<Plan>,
) -> Result<Plan> {
    let limit = limit.or_else(|| available(device));
    let too_large = match plan(batch) {
        Ok(plan) => match limit {
            Some(limit) if plan.memory() > limit => Error::Memory {
                what: format!("a step with batch {batch}"),
                needed: plan.memory(),
                device: device.name(),
                available: limit,
                remedy: String::new(),
            },
            _ => return Ok(plan),
        },
        Err(error) if is_memory(&error) => error,
        Err(error) => return Err(error),
    };
    let fits = |batch| plan(batch).is_ok_and(|p| limit.is_none_or(|limit| p.memory() <= limit));
    let remedy = match largest(batch, &fits) {
        0 => "not even batch 1 fits; use a smaller model or another device".to_owned(),
        n => format!("batch {n} would fit, or the same batch with micro-batches of {n}"),
    };
    Err(with_remedy(too_large, remedy))
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
