//! Caffe's small network for CIFAR-10.

use crate::nn::{AvgPool2d, Conv2d, Linear, MaxPool2d, Model, Relu};

/// "CIFAR-10 quick" of Caffe, after Krizhevsky's cuda-convnet (2012): three 5x5 convolutions, the
/// first pooled by the maximum before its ReLU, the others by the average after it. Pools are 3x3 at
/// stride 2 and round up, so that 32x32 images become 16, 8 and 4 pixels wide. Caffe's hidden dense
/// layer of 64 linear units is left out.
///
/// For 32x32 colour images and 10 classes it has 89,578 parameters.
pub fn cifar_quick(input: [usize; 3], classes: usize) -> Model {
    let average = || AvgPool2d::new(3).stride(2).ceil_mode();
    Model::new("cifar-quick", input)
        .with(Conv2d::new(32, 5).padding(2))
        .with(MaxPool2d::new(3).stride(2).ceil_mode())
        .with(Relu)
        .with(Conv2d::new(32, 5).padding(2))
        .with(Relu)
        .with(average())
        .with(Conv2d::new(64, 5).padding(2))
        .with(Relu)
        .with(average())
        .with(Linear::new(classes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn shapes_are_those_of_caffe() {
        let summary = super::cifar_quick([3, 32, 32], 10).summary(2).unwrap();
        assert_eq!(summary.parameters, 2_400 + 32 + 25_600 + 32 + 51_200 + 64 + 10_240 + 10);
        let pools = summary.layers.iter().filter(|l| l.name.contains("pool"));
        let widths: Vec<_> = pools.map(|l| l.output.dims()[3]).collect();
        assert_eq!(widths, [16, 8, 4]);
    }
}
