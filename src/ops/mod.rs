//! Operations, one folder each: what they mean, their oracle, and how CPU and GPU run them.
//!
//! An op's folder holds its parameters, shape rule and backward rule (`mod.rs`), its oracle
//! (`reference.rs`), its implementations (`cpu.rs`, `gpu.rs`) and its samples (`cases.rs`); a small
//! op keeps them in one file. Gradients are ops like any other.

pub mod arith;
pub mod attributes;
pub mod call;
pub mod case;
pub mod conv;
pub mod cooperative;
pub mod dropout;
pub mod elementwise;
pub mod gemm;
pub mod images;
pub mod loss;
pub mod lrn;
pub mod norm;
mod op;
pub mod optim;
pub mod parallel;
pub mod pool;
pub mod probe;
pub mod reduce;
pub mod registry;
pub mod shape;
pub mod softmax;

pub use op::{
    Array, Arrays, Backward, Cost, CpuTensors, Emit, Half, Op, Types, Value, as_u32, as_u32_mut,
    expect_f32, expect_inputs, nchw,
};
