//! The lecture's worked examples, computed by the engine: filters on a photograph, and convolution,
//! pooling and im2col step by step in the terminal.
//!
//! On the command line these are `gabor filters` and `gabor demo`.

mod demo;
mod filters;
mod layout;
#[cfg(feature = "images")]
mod sheet;

pub use demo::{conv, im2col, pool};
pub use filters::Kernel;
pub use layout::Style;
#[cfg(feature = "images")]
pub use sheet::sheet;
