//! gabor trains convolutional neural networks with WGSL compute shaders through wgpu, and on the CPU.

pub mod error;
pub mod tensor;
