//! The layers of convolutional networks.

mod activation;
mod block;
mod conv;
mod dropout;
mod linear;
mod lrn;
mod norm;
mod pool;

pub use activation::{Activation, Relu};
pub use block::Sequential;
pub use conv::Conv2d;
pub use dropout::Dropout;
pub use linear::Linear;
pub use lrn::{ContrastNorm, Lrn, LrnWithinChannel};
pub use norm::{BatchNorm2d, GroupNorm, InstanceNorm, LayerNorm};
pub use pool::{AvgPool2d, MaxPool2d};
