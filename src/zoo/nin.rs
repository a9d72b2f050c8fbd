//! Network in Network.

use crate::nn::{
    AvgPool2d, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Init, MaxPool2d, Model, Relu,
};

/// Network in Network (Lin, Chen & Yan, 2014) for CIFAR-10, with the layers of the authors' published
/// configuration: each convolution is followed by two 1x1 convolutions, a small network that slides
/// over the image, and the last feature maps are averaged into the class scores.
///
/// For 32x32 colour images and 10 classes it has 966,986 parameters.
pub fn nin(input: [usize; 3], classes: usize) -> Model {
    let conv = |outputs, kernel| Conv2d::new(outputs, kernel).weight_init(Init::Normal(0.05));
    Model::new("nin", input)
        .with(conv(192, 5).padding(2))
        .with(Relu)
        .with(conv(160, 1))
        .with(Relu)
        .with(conv(96, 1))
        .with(Relu)
        .with(MaxPool2d::new(3).stride(2).ceil_mode())
        .with(Dropout::new(0.5))
        .with(conv(192, 5).padding(2))
        .with(Relu)
        .with(conv(192, 1))
        .with(Relu)
        .with(conv(192, 1))
        .with(Relu)
        .with(AvgPool2d::new(3).stride(2).ceil_mode())
        .with(Dropout::new(0.5))
        .with(conv(192, 3).padding(1))
        .with(Relu)
        .with(conv(192, 1))
        .with(Relu)
        .with(conv(classes, 1))
        .with(Relu)
        .with(GlobalAvgPool2d)
        .with(Flatten)
}
