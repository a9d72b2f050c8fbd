//! The layers of convolutional networks.

mod activation;
mod block;
mod conv;
mod dropout;
mod linear;
mod lrn;
mod norm;
mod pool;
mod shape;

pub use activation::{Activation, PRelu, Relu};
pub use block::{AuxiliaryHead, Concat, Residual, Sequential, Shared};
pub use conv::{Conv2d, ConvTranspose2d, Local2d};
pub use dropout::{Dropout, Dropout2d};
pub use linear::Linear;
pub use lrn::{ContrastNorm, Lrn, LrnWithinChannel};
pub use norm::{BatchNorm2d, GroupNorm, InstanceNorm, LayerNorm};
pub use pool::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d,
};
pub use shape::{Flatten, Pad, PixelShuffle, Upsample};
