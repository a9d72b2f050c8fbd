//! The CPU engine's convolution: im2col in blocks that stay in the second-level cache, and the
//! matrix product of `ops::gemm::cpu` on each block.
//!
//! What is summed in which order depends on the shapes alone, so that a result has the same bits for
//! any number of threads.

mod depthwise;
pub(super) mod forward;
pub(super) mod grad_input;
pub(super) mod grad_weight;
mod im2col;
pub(super) mod local;
mod rows;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Pixels of a block. The product of so few columns reads both operands in place, without copying
/// them into panels first.
const BLOCK_PIXELS: usize = 128;

/// Output channels of one product, for the same reason.
const BLOCK_OUTPUTS: usize = 48;

/// The number of scratch slots: one for each thread.
fn slots() -> usize {
    rayon::current_num_threads()
}

/// Calls `f(slot, item)` for every item on all threads, each with a part of `scratch` of its own.
/// Threads take the next item when they are done with one.
fn share_out<I: Iterator + Send>(
    scratch: &mut [f32],
    slot_len: usize,
    items: I,
    f: impl Fn(&mut [f32], I::Item) + Sync,
) {
    let items = Mutex::new(items);
    scratch.par_chunks_exact_mut(slot_len.max(1)).for_each(|slot| {
        loop {
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { return };
            f(slot, item);
        }
    });
}

/// `0..len` in parts of `step`.
fn parts(len: usize, step: usize) -> impl Iterator<Item = std::ops::Range<usize>> + Clone + Send {
    (0..len).step_by(step).map(move |start| start..(start + step).min(len))
}
