//! Files: atomic writes, named tensors, event logs, TensorBoard.

mod atomic;
pub mod events;
pub mod jsonl;
pub mod safetensors;

pub use atomic::write_atomic;
