//! Where a run took place.

use std::path::Path;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::write_atomic;

/// The program and the machine of a run: the content of `environment.json`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Environment {
    /// gabor's version.
    pub gabor: String,
    /// The device's name.
    pub device: String,
    /// A GPU's driver and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The operating system, and on Linux the kernel's release.
    pub system: String,
    /// The processor's architecture.
    pub architecture: String,
    /// Threads that the CPU engine computes on.
    pub threads: usize,
}

impl Environment {
    /// That of this process, with `device`.
    pub fn of(device: &Device) -> Self {
        let driver = match device {
            Device::Cpu => None,
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => Some(engine.report().driver.clone()),
        };
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Environment {
            gabor: env!("CARGO_PKG_VERSION").into(),
            device: device.name(),
            driver,
            system: format!("{} {}", std::env::consts::OS, release.trim()).trim().into(),
            architecture: std::env::consts::ARCH.into(),
            threads: rayon::current_num_threads(),
        }
    }

    /// Writes it as JSON.
    ///
    /// Errors where the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::Usage(format!("the environment: {e}")))?;
        write_atomic(path, text.as_bytes())
    }
}
