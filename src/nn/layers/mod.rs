//! The layers of convolutional networks.

mod activation;
mod block;
mod conv;
mod dropout;
mod linear;
mod norm;
mod pool;

pub use activation::{Activation, Relu};
pub use block::{AuxiliaryHead, Concat, Residual, Sequential, Shared};
pub use conv::Conv2d;
pub use dropout::Dropout;
pub use linear::Linear;
pub use norm::Lrn;
pub use pool::{AvgPool2d, MaxPool2d};
