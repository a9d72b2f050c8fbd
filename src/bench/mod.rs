//! Timing of ops, layers and training steps, on the CPU engine and on a GPU.
//!
//! A [`Workload`] keeps all its data on the device; a [`Runner`] runs it, and [`measure`] takes the
//! median of synchronised runs. [`layers`] lists what a network's training step consists of,
//! [`peers`] has the workloads that other frameworks are timed on. A timing counts only where the
//! result is right: GPU results are compared with the CPU engine's at the size that is timed.

pub mod layers;
mod measure;
pub mod peak;
pub mod peers;
mod process;
pub mod profile;
pub mod report;
mod samples;
pub mod trace;
mod workload;

pub use measure::{Budget, Runner, Time, measure};
pub use samples::{Pass, Sample, training_samples};
pub use workload::{Workload, compute};
