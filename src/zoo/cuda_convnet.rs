//! The four networks for CIFAR-10 that came with cuda-convnet (Krizhevsky, 2011-2012), named after
//! the error that they reach. Pools are 3x3 at stride 2 and round up.

use crate::nn::{
    AvgPool2d, Conv2d, Init, Linear, Local2d, Lrn, LrnWithinChannel, MaxPool2d, Model, Relu,
};
use crate::ops::lrn::{self, AlphaConvention};

/// 26 % in 80 seconds on the hardware of its time: three convolutions and two dense layers.
///
/// For 32x32 colour images and 10 classes it has 145,578 parameters.
pub fn cifar_80sec(input: [usize; 3], classes: usize) -> Model {
    Model::new("cifar-80sec", input)
        .with(conv(32, 1e-4))
        .with(maximum())
        .with(Relu)
        .with(conv(32, 0.01))
        .with(Relu)
        .with(average())
        .with(conv(64, 0.01))
        .with(Relu)
        .with(average())
        .with(dense(64, 0.1))
        .with(Relu)
        .with(dense(classes, 0.1))
}

/// 18 %: with response normalisation within each map after the first two pools.
pub fn cifar_18pct(input: [usize; 3], classes: usize) -> Model {
    // cuda-convnet gives the factor of the sum over the window, 5e-5.
    let norm = || LrnWithinChannel::new(3, 9.0 * 5e-5);
    Model::new("cifar-18pct", input)
        .with(conv(32, 1e-4))
        .with(maximum())
        .with(Relu)
        .with(norm())
        .with(conv(32, 0.01))
        .with(Relu)
        .with(average())
        .with(norm())
        .with(conv(64, 0.01))
        .with(Relu)
        .with(average())
        .with(dense(classes, 0.01))
}

/// 13 %: two convolutions and two locally connected layers, whose filters differ from place to place.
/// It is trained on 24x24 crops.
pub fn cifar_13pct(input: [usize; 3], classes: usize) -> Model {
    Model::new("cifar-13pct", input)
        .with(conv(64, 1e-4))
        .with(Relu)
        .with(maximum())
        .with(conv(64, 0.01))
        .with(Relu)
        .with(maximum())
        .with(local(32))
        .with(Relu)
        .with(local(32))
        .with(Relu)
        .with(dense(classes, 0.01))
}

/// 11 %: as 13 %, with response normalisation across maps, and more maps in the first locally
/// connected layer.
pub fn cifar_11pct(input: [usize; 3], classes: usize) -> Model {
    let norm = || {
        let convention = AlphaConvention::Mean;
        Lrn::new(lrn::Lrn { size: 9, alpha: 0.001, beta: 0.75, k: 1.0, convention })
    };
    Model::new("cifar-11pct", input)
        .with(conv(64, 1e-4))
        .with(Relu)
        .with(maximum())
        .with(norm())
        .with(conv(64, 0.01))
        .with(Relu)
        .with(norm())
        .with(maximum())
        .with(local(64))
        .with(Relu)
        .with(local(32))
        .with(Relu)
        .with(dense(classes, 0.01))
}

fn conv(outputs: usize, deviation: f32) -> Conv2d {
    Conv2d::new(outputs, 5).padding(2).weight_init(Init::Normal(deviation))
}

fn local(outputs: usize) -> Local2d {
    Local2d::new(outputs, 3).padding(1).weight_init(Init::Normal(0.04))
}

fn dense(outputs: usize, deviation: f32) -> Linear {
    Linear::new(outputs).weight_init(Init::Normal(deviation))
}

fn maximum() -> MaxPool2d {
    MaxPool2d::new(3).stride(2).ceil_mode()
}

fn average() -> AvgPool2d {
    AvgPool2d::new(3).stride(2).ceil_mode()
}
