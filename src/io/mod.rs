//! Files: atomic writes, named tensors, event logs.

mod atomic;
pub mod jsonl;
pub mod safetensors;

pub use atomic::write_atomic;
