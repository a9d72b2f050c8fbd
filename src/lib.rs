//! gabor trains convolutional neural networks with WGSL compute shaders through wgpu, and on the CPU.

pub mod data;
pub mod error;
pub mod philox;
pub mod tensor;
