//! gabor trains convolutional neural networks with WGSL compute shaders through wgpu, on any GPU
//! without CUDA, and on the CPU where there is no GPU.

pub mod bench;
#[cfg(feature = "cli")]
pub mod cli;
mod cpu;
pub mod data;
pub mod device;
pub mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod graph;
pub mod io;
pub mod kernel;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod philox;
pub mod session;
pub mod tensor;
pub mod tolerance;
pub mod train;

#[cfg(feature = "images")]
pub mod viz;
pub mod zoo;
