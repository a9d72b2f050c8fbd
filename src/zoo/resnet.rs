//! Residual networks.

use crate::nn::{
    BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, Model, Relu, Residual, Sequential,
};

/// A stage's blocks: how many there are, and the channels inside.
type Stages = [(usize, usize); 4];

/// ResNet-18 of He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition" (2016). Layers
/// bear the names of torchvision's `resnet18`, whose weights fit.
///
/// For 224x224 colour images and 1000 classes it has 11,689,512 parameters.
pub fn resnet_18(input: [usize; 3], classes: usize) -> Model {
    resnet("resnet-18", basic, 1, [(2, 64), (2, 128), (2, 256), (2, 512)], input, classes)
}

/// ResNet-34 of the paper of [`resnet_18`], as torchvision's `resnet34`.
///
/// For 224x224 colour images and 1000 classes it has 21,797,672 parameters.
pub fn resnet_34(input: [usize; 3], classes: usize) -> Model {
    resnet("resnet-34", basic, 1, [(3, 64), (4, 128), (6, 256), (3, 512)], input, classes)
}

/// ResNet-50 of the paper of [`resnet_18`], whose blocks narrow the channels for their 3x3 convolution
/// to a quarter; the stride is on that convolution, as in torchvision's `resnet50`.
///
/// For 224x224 colour images and 1000 classes it has 25,557,032 parameters.
pub fn resnet_50(input: [usize; 3], classes: usize) -> Model {
    resnet("resnet-50", bottleneck, 4, [(3, 64), (4, 128), (6, 256), (3, 512)], input, classes)
}

fn resnet(
    name: &str,
    block: fn(usize, usize) -> Sequential,
    expansion: usize,
    stages: Stages,
    input: [usize; 3],
    classes: usize,
) -> Model {
    let mut model = Model::new(name, input)
        .with_named("conv1", Conv2d::new(64, 7).stride(2).padding(3).no_bias())
        .with_named("bn1", BatchNorm2d::new())
        .with_named("relu", Relu)
        .with_named("maxpool", MaxPool2d::new(3).stride(2).padding(1));
    let mut inputs = 64;
    for (stage, (blocks, channels)) in stages.into_iter().enumerate() {
        let mut layer = Sequential::numbered();
        for i in 0..blocks {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let outputs = channels * expansion;
            let mut residual = Residual::new(block(channels, stride));
            if stride > 1 || inputs != outputs {
                let conv = Conv2d::new(outputs, 1).stride(stride).no_bias();
                let projection = Sequential::numbered().with(conv).with(BatchNorm2d::new());
                residual = residual.shortcut("downsample", projection);
            }
            layer = layer.with(residual.then(Relu));
            inputs = outputs;
        }
        model = model.with_named(&format!("layer{}", stage + 1), layer);
    }
    model.with_named("avgpool", GlobalAvgPool2d).with_named("fc", Linear::new(classes))
}

/// Two 3x3 convolutions.
fn basic(channels: usize, stride: usize) -> Sequential {
    let conv = |stride| Conv2d::new(channels, 3).stride(stride).padding(1).no_bias();
    Sequential::new()
        .with_named("conv1", conv(stride))
        .with_named("bn1", BatchNorm2d::new())
        .with_named("relu", Relu)
        .with_named("conv2", conv(1))
        .with_named("bn2", BatchNorm2d::new())
}

/// 1x1 to fewer channels, 3x3, and 1x1 to four times as many.
fn bottleneck(channels: usize, stride: usize) -> Sequential {
    Sequential::new()
        .with_named("conv1", Conv2d::new(channels, 1).no_bias())
        .with_named("bn1", BatchNorm2d::new())
        .with_named("relu1", Relu)
        .with_named("conv2", Conv2d::new(channels, 3).stride(stride).padding(1).no_bias())
        .with_named("bn2", BatchNorm2d::new())
        .with_named("relu2", Relu)
        .with_named("conv3", Conv2d::new(4 * channels, 1).no_bias())
        .with_named("bn3", BatchNorm2d::new())
}
