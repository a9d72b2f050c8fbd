//! VGG: 3x3 convolutions only.

use crate::nn::{
    AdaptiveAvgPool2d, Conv2d, Dropout, Init, Linear, MaxPool2d, Model, Relu, Sequential,
};

/// How many channels the convolutions between two pools have.
type Stages = [&'static [usize]; 5];

/// VGG-11, configuration A of Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale
/// Image Recognition" (2015). Layers bear the names of torchvision's `vgg11`, whose weights fit.
///
/// For 224x224 colour images and 1000 classes it has 132,863,336 parameters.
pub fn vgg_11(input: [usize; 3], classes: usize) -> Model {
    vgg("vgg-11", [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]], input, classes)
}

/// VGG-16, configuration D of the paper of [`vgg_11`], as torchvision's `vgg16`.
///
/// For 224x224 colour images and 1000 classes it has 138,357,544 parameters.
pub fn vgg_16(input: [usize; 3], classes: usize) -> Model {
    let stages: Stages =
        [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];
    vgg("vgg-16", stages, input, classes)
}

fn vgg(name: &str, stages: Stages, input: [usize; 3], classes: usize) -> Model {
    let mut features = Sequential::numbered();
    for channels in stages {
        for &outputs in channels {
            features = features.with(Conv2d::new(outputs, 3).padding(1)).with(Relu);
        }
        features = features.with(MaxPool2d::new(2));
    }
    let dense = |outputs| Linear::new(outputs).weight_init(Init::Normal(0.01));
    let classifier = Sequential::numbered()
        .with(dense(4096))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(dense(4096))
        .with(Relu)
        .with(Dropout::new(0.5))
        .with(dense(classes));
    Model::new(name, input)
        .with_named("features", features)
        .with_named("avgpool", AdaptiveAvgPool2d::new([7, 7]))
        .with_named("classifier", classifier)
}
