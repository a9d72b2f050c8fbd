//! AlexNet and its relatives: five convolutions, three dense layers.

use crate::nn::{Conv2d, Dropout, Init, Linear, Lrn, MaxPool2d, Model, Relu};

/// AlexNet as published (Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep
/// Convolutional Neural Networks", 2012), in Caffe's arithmetic: 227x227 images, the convolutions
/// padded by 0, 2, 1, 1 and 1. Convolutions 2, 4 and 5 have two groups, as on the paper's two GPUs;
/// ReLU comes before the local response normalisation. Weights start from N(0, 0.01), the biases of convolutions 2, 4, 5
/// and of the hidden dense layers from 1.
///
/// For 227x227 colour images and 1000 classes it has 60,965,224 parameters.
pub fn alexnet(input: [usize; 3], classes: usize) -> Model {
    let conv = |outputs, kernel| Conv2d::new(outputs, kernel).weight_init(Init::Normal(0.01));
    let dense = |outputs| Linear::new(outputs).weight_init(Init::Normal(0.01));
    let one = Init::Constant(1.0);
    let pool = || MaxPool2d::new(3).stride(2);
    Model::new("alexnet", input)
        .with(conv(96, 11).stride(4))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(conv(256, 5).padding(2).groups(2).bias_init(one))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(conv(384, 3).padding(1))
        .with(Relu)
        .with(conv(384, 3).padding(1).groups(2).bias_init(one))
        .with(Relu)
        .with(conv(256, 3).padding(1).groups(2).bias_init(one))
        .with(Relu)
        .with(pool())
        .with(dense(4096).bias_init(one))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(dense(4096).bias_init(one))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(dense(classes))
}

/// The one-GPU variant of "One weird trick for parallelizing convolutional neural networks"
/// (Krizhevsky, 2014), which torchvision ships as `alexnet`: 64-192-384-256-256 channels, 224x224
/// images padded by 2, no groups, no normalisation.
///
/// For 224x224 colour images and 1000 classes it has 61,100,840 parameters.
pub fn alexnet_2014(input: [usize; 3], classes: usize) -> Model {
    let pool = || MaxPool2d::new(3).stride(2);
    Model::new("alexnet-2014", input)
        .with(Conv2d::new(64, 11).stride(4).padding(2))
        .with(Relu)
        .with(pool())
        .with(Conv2d::new(192, 5).padding(2))
        .with(Relu)
        .with(pool())
        .with(Conv2d::new(384, 3).padding(1))
        .with(Relu)
        .with(Conv2d::new(256, 3).padding(1))
        .with(Relu)
        .with(Conv2d::new(256, 3).padding(1))
        .with(Relu)
        .with(pool())
        .with(Dropout::new(0.5))
        .with(Linear::new(4096))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(Linear::new(4096))
        .with(Relu)
        .with(Linear::new(classes).weight_init(Init::Normal(0.01)))
}

/// AlexNet's sequence of layers for images of about 32x32: overlapping pools, local response
/// normalisation, dropout. The first kernels are 7x7, large enough to see what they look for,
/// and start from N(0, 0.01), so small that what they learn is not lost in the noise they began with.
pub fn alexnet_small(input: [usize; 3], classes: usize) -> Model {
    let pool = || MaxPool2d::new(3).stride(2);
    Model::new("alexnet-small", input)
        .with(Conv2d::new(32, 7).padding(3).weight_init(Init::Normal(0.01)))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(Conv2d::new(64, 5).padding(2))
        .with(Relu)
        .with(Lrn::alexnet())
        .with(pool())
        .with(Conv2d::new(96, 3).padding(1))
        .with(Relu)
        .with(Conv2d::new(96, 3).padding(1))
        .with(Relu)
        .with(Conv2d::new(64, 3).padding(1))
        .with(Relu)
        .with(pool())
        .with(Linear::new(256))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(Linear::new(256))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(Linear::new(classes).weight_init(Init::Normal(0.01)))
}
