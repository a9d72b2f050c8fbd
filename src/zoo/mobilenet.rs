//! Networks of depthwise convolutions, for small machines.

use crate::nn::{
    Activation, BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Init, Linear, Model, Relu, Residual,
    Sequential,
};
use crate::ops::elementwise::Unary;

/// MobileNet of Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
/// Applications" (2017), width 1: a convolution, thirteen pairs of a depthwise 3x3 and a 1x1
/// convolution, each followed by batch norm and ReLU.
///
/// For 224x224 colour images and 1000 classes it has 4,231,976 parameters.
pub fn mobilenet_v1(input: [usize; 3], classes: usize) -> Model {
    let mut model = Model::new("mobilenet-v1", input)
        .with_named("conv", Conv2d::new(32, 3).stride(2).padding(1).no_bias())
        .with_named("bn", BatchNorm2d::new())
        .with_named("relu", Relu);
    let pairs = [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    ];
    let mut channels = 32;
    for (i, (outputs, stride)) in pairs.into_iter().enumerate() {
        let pair = Sequential::new()
            .with_named("depthwise", depthwise(channels, stride))
            .with_named("bn1", BatchNorm2d::new())
            .with_named("relu1", Relu)
            .with_named("pointwise", Conv2d::new(outputs, 1).no_bias())
            .with_named("bn2", BatchNorm2d::new())
            .with_named("relu2", Relu);
        model = model.with_named(&format!("pair{}", i + 1), pair);
        channels = outputs;
    }
    model.with_named("avgpool", GlobalAvgPool2d).with_named("fc", Linear::new(classes))
}

/// MobileNet v2 of Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018),
/// width 1. Layers bear the names of torchvision's `mobilenet_v2`, whose weights fit.
///
/// For 224x224 colour images and 1000 classes it has 3,504,872 parameters.
pub fn mobilenet_v2(input: [usize; 3], classes: usize) -> Model {
    // Expansion, channels, blocks, stride of the first.
    let stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let stem = Conv2d::new(32, 3).stride(2).padding(1).no_bias();
    let mut features = Sequential::numbered().with(with_norm(stem));
    let mut channels = 32;
    for (expansion, outputs, blocks, first_stride) in stages {
        for i in 0..blocks {
            let stride = if i == 0 { first_stride } else { 1 };
            let main = inverted(channels, expansion, outputs, stride);
            features = match stride == 1 && channels == outputs {
                true => features.with(Residual::new(main)),
                false => features.with(main),
            };
            channels = outputs;
        }
    }
    features = features.with(with_norm(Conv2d::new(1280, 1).no_bias()));
    let classifier = Sequential::numbered()
        .with(Dropout::new(0.2))
        .with(Linear::new(classes).weight_init(Init::Normal(0.01)));
    Model::new("mobilenet-v2", input)
        .with_named("features", features)
        .with_named("avgpool", GlobalAvgPool2d)
        .with_named("classifier", classifier)
}

fn depthwise(channels: usize, stride: usize) -> Conv2d {
    Conv2d::new(channels, 3).stride(stride).padding(1).groups(channels).no_bias()
}

/// A convolution with batch norm and ReLU6.
fn with_norm(conv: Conv2d) -> Sequential {
    Sequential::numbered()
        .with(conv)
        .with(BatchNorm2d::new())
        .with(Activation::new(Unary::Clamp { min: 0.0, max: 6.0 }))
}

/// Widens the channels, filters each, and narrows them again without an activation.
fn inverted(channels: usize, expansion: usize, outputs: usize, stride: usize) -> Sequential {
    let wide = expansion * channels;
    let mut layers = Sequential::numbered();
    if expansion > 1 {
        layers = layers.with(with_norm(Conv2d::new(wide, 1).no_bias()));
    }
    let layers = layers
        .with(with_norm(depthwise(wide, stride)))
        .with(Conv2d::new(outputs, 1).no_bias())
        .with(BatchNorm2d::new());
    Sequential::new().with_named("conv", layers)
}
