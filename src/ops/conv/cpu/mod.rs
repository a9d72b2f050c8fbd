//! The CPU engine's convolution, without a matrix of columns: every tap reads its inputs where they
//! are, from images that are laid out with their padding and by the phases of the stride.
//!
//! What is summed in which order depends on the shapes alone, so that a result has the same bits for
//! any number of threads.

mod depthwise;
pub(super) mod forward;
pub(super) mod grad_input;
pub(super) mod grad_weight;
pub(super) mod local;
mod planes;
mod product;
mod rows;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

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
