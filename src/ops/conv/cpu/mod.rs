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
mod runs;
mod waves;
