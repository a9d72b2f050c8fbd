//! SqueezeNet.

use crate::nn::{
    Concat, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Init, MaxPool2d, Model, Relu, Sequential,
};

/// SqueezeNet 1.1 of Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
/// <0.5MB model size" (2016): fire modules, which squeeze the channels by a 1x1 convolution and
/// expand them by 1x1 and 3x3 ones. Weights are in the order of torchvision's `squeezenet1_1`.
///
/// For 224x224 colour images and 1000 classes it has 1,235,496 parameters.
pub fn squeezenet(input: [usize; 3], classes: usize) -> Model {
    let pool = || MaxPool2d::new(3).stride(2).ceil_mode();
    let features = Sequential::numbered()
        .with(Conv2d::new(64, 3).stride(2))
        .with(Relu)
        .with(pool())
        .with(fire(16, 64))
        .with(fire(16, 64))
        .with(pool())
        .with(fire(32, 128))
        .with(fire(32, 128))
        .with(pool())
        .with(fire(48, 192))
        .with(fire(48, 192))
        .with(fire(64, 256))
        .with(fire(64, 256));
    let classifier = Sequential::numbered()
        .with(Dropout::new(0.5))
        .with(Conv2d::new(classes, 1).weight_init(Init::Normal(0.01)))
        .with(Relu)
        .with(GlobalAvgPool2d);
    Model::new("squeezenet", input)
        .with_named("features", features)
        .with_named("classifier", classifier)
        .with(Flatten)
}

fn fire(squeeze: usize, expand: usize) -> Sequential {
    let branch = |name: &str, conv| {
        Sequential::new().with_named(name, conv).with_named(&format!("{name}_activation"), Relu)
    };
    Sequential::new()
        .with_named("squeeze", Conv2d::new(squeeze, 1))
        .with_named("squeeze_activation", Relu)
        .with(
            Concat::new()
                .with(branch("expand1x1", Conv2d::new(expand, 1)))
                .with(branch("expand3x3", Conv2d::new(expand, 3).padding(1))),
        )
}
