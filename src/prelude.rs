//! The names that a training program needs: `use gabor::prelude::*;`.

pub use std::ops::ControlFlow;

pub use crate::data::{self, Source};
pub use crate::device::Device;
pub use crate::error::{Error, Result};
pub use crate::nn::{
    Activation, Conv2d, Dropout, Init, Layer, Linear, Lrn, MaxPool2d, Model, Relu, Sequential,
};
pub use crate::optim::{Schedule, Sgd};
pub use crate::tensor::Tensor;
pub use crate::train::{Event, Network, Options, Trainer};
