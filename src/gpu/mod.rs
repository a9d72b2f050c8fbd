//! The GPU engine: runs a plan with WGSL kernels through wgpu. It knows no op by name.
//!
//! wgpu cannot replay a command buffer. "Recorded" means a flat list of pipelines, bind groups and
//! grids, built once and encoded anew in each step.

mod access;
pub mod adapters;
mod engine;
pub mod half;
mod profiler;
mod program;
mod recorder;
pub mod shader;
mod states;
pub mod texel_loads;
mod texels;
mod transfer;
pub mod tuner;

pub use engine::{Counters, GpuEngine, GpuOptions};
pub(crate) use program::{GpuPending, GpuProgram};
pub(crate) use states::GpuStates;
