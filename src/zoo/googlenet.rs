//! GoogLeNet, the first Inception network.

use crate::nn::{
    AuxiliaryHead, AvgPool2d, Concat, Conv2d, Dropout, GlobalAvgPool2d, Init, Linear, Lrn,
    MaxPool2d, Model, Relu, Sequential,
};
use crate::ops::lrn::{self, AlphaConvention};

/// GoogLeNet of Szegedy et al., "Going deeper with convolutions" (2015), in Caffe's arithmetic: nine
/// inception modules, whose branches of 1x1, 3x3 and 5x5 convolutions and a pool are concatenated,
/// and two auxiliary heads whose losses count 0.3 times in training. Images must be large enough for
/// the heads' 5x5 pools, about 224x224.
///
/// For 224x224 colour images and 1000 classes it has 13,378,280 parameters, 6,998,552 of them without
/// the auxiliary heads.
pub fn googlenet(input: [usize; 3], classes: usize) -> Model {
    let pool = || MaxPool2d::new(3).stride(2).ceil_mode();
    let lrn = || {
        Lrn::new(lrn::Lrn {
            size: 5,
            alpha: 1e-4,
            beta: 0.75,
            k: 1.0,
            convention: AlphaConvention::Mean,
        })
    };
    Model::new("googlenet", input)
        .with(conv(64, 7, 3).stride(2))
        .with(Relu)
        .with(pool())
        .with(lrn())
        .with(conv(64, 1, 0))
        .with(Relu)
        .with(conv(192, 3, 1))
        .with(Relu)
        .with(lrn())
        .with(pool())
        .with_named("inception3a", inception(64, [96, 128], [16, 32], 32))
        .with_named("inception3b", inception(128, [128, 192], [32, 96], 64))
        .with(pool())
        .with_named("inception4a", inception(192, [96, 208], [16, 48], 64))
        .with_named("aux1", auxiliary(classes))
        .with_named("inception4b", inception(160, [112, 224], [24, 64], 64))
        .with_named("inception4c", inception(128, [128, 256], [24, 64], 64))
        .with_named("inception4d", inception(112, [144, 288], [32, 64], 64))
        .with_named("aux2", auxiliary(classes))
        .with_named("inception4e", inception(256, [160, 320], [32, 128], 128))
        .with(pool())
        .with_named("inception5a", inception(256, [160, 320], [32, 128], 128))
        .with_named("inception5b", inception(384, [192, 384], [48, 128], 128))
        .with(GlobalAvgPool2d)
        .with(Dropout::new(0.4))
        .with(Linear::new(classes).weight_init(Init::Xavier))
}

fn conv(outputs: usize, kernel: usize, padding: usize) -> Conv2d {
    let start = Init::Constant(0.2);
    Conv2d::new(outputs, kernel).padding(padding).weight_init(Init::Xavier).bias_init(start)
}

/// Branches: 1x1; 1x1 and 3x3; 1x1 and 5x5; a pool and 1x1. Numbers are the convolutions' channels.
pub(super) fn inception(
    one: usize,
    [reduce_three, three]: [usize; 2],
    [reduce_five, five]: [usize; 2],
    pooled: usize,
) -> Concat {
    let reduced = |reduce, outputs, kernel| {
        Sequential::new()
            .with_named("reduce", conv(reduce, 1, 0))
            .with(Relu)
            .with_named("conv", conv(outputs, kernel, kernel / 2))
            .with(Relu)
    };
    Concat::new()
        .with_named("1x1", Sequential::new().with_named("conv", conv(one, 1, 0)).with(Relu))
        .with_named("3x3", reduced(reduce_three, three, 3))
        .with_named("5x5", reduced(reduce_five, five, 5))
        .with_named(
            "pool",
            Sequential::new()
                .with(MaxPool2d::new(3).stride(1).padding(1))
                .with_named("conv", conv(pooled, 1, 0))
                .with(Relu),
        )
}

fn auxiliary(classes: usize) -> AuxiliaryHead {
    let head = Sequential::new()
        .with(AvgPool2d::new(5).stride(3).ceil_mode())
        .with(conv(128, 1, 0))
        .with(Relu)
        .with(Linear::new(1024).weight_init(Init::Xavier).bias_init(Init::Constant(0.2)))
        .with(Relu)
        .with(Dropout::new(0.7))
        .with(Linear::new(classes).weight_init(Init::Xavier));
    AuxiliaryHead::new(0.3, head)
}
