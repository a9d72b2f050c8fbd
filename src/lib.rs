//! gabor trains convolutional neural networks with WGSL compute shaders through wgpu, on any GPU
//! without CUDA, and on the CPU where there is no GPU.

pub mod error;
pub mod graph;
pub mod io;
pub mod kernel;
pub mod ops;
pub mod philox;
pub mod tensor;
pub mod tolerance;
#[cfg(feature = "images")]
pub mod viz;
