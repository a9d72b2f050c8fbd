//! LeNet.

use crate::nn::{Conv2d, Linear, MaxPool2d, Model, Relu};

/// LeNet-5 (LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document
/// recognition", 1998) as it is taught today: ReLU for tanh, max pooling for subsampling, and 28x28
/// images padded by 2 for the paper's 32x32.
pub fn lenet(input: [usize; 3], classes: usize) -> Model {
    Model::new("lenet", input)
        .with(Conv2d::new(6, 5).padding(2))
        .with(Relu)
        .with(MaxPool2d::new(2))
        .with(Conv2d::new(16, 5))
        .with(Relu)
        .with(MaxPool2d::new(2))
        .with(Linear::new(120))
        .with(Relu)
        .with(Linear::new(84))
        .with(Relu)
        .with(Linear::new(classes))
}
