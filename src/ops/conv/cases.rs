//! Samples for the convolution and its gradients.

use super::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Conv2dRelu};
use crate::ops::Types;
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Tensor, TensorType};

/// A convolution and its shapes.
#[derive(Clone, Copy, Debug)]
struct Sample {
    label: &'static str,
    /// Batch, channels, height, width.
    input: [usize; 4],
    outputs: usize,
    kernel: [usize; 2],
    conv: Conv2d,
    bias: bool,
}

const PLAIN: Conv2d = Conv2d { stride: [1, 1], padding: [0; 4], dilation: [1, 1], groups: 1 };

fn samples() -> Vec<Sample> {
    let sample = |label, input, outputs, kernel, conv| Sample {
        label,
        input,
        outputs,
        kernel,
        conv,
        bias: true,
    };
    let padded = Conv2d { padding: [1; 4], ..PLAIN };
    vec![
        sample("all extents equal", [4, 4, 4, 4], 4, [4, 4], PLAIN),
        sample("channels equal to height and width", [2, 8, 8, 8], 8, [3, 3], padded),
        Sample {
            bias: false,
            ..sample("distinct extents, no bias", [2, 3, 7, 5], 4, [3, 2], PLAIN)
        },
        sample("one of everything", [1, 1, 1, 1], 1, [1, 1], PLAIN),
        sample("1x1 kernel", [3, 6, 5, 7], 10, [1, 1], PLAIN),
        sample(
            "1x1 kernel, groups, stride 2",
            [2, 6, 5, 7],
            4,
            [1, 1],
            Conv2d { stride: [2, 2], groups: 2, ..PLAIN },
        ),
        sample("1x1 kernel, padding", [1, 3, 4, 4], 2, [1, 1], padded),
        sample("kernel as large as the input", [5, 3, 6, 4], 7, [6, 4], PLAIN),
        sample("two groups", [2, 10, 6, 9], 6, [3, 3], padded.groups(2)),
        sample("depthwise", [2, 9, 8, 5], 9, [3, 3], padded.groups(9)),
        sample("depthwise, two outputs a channel", [1, 5, 6, 7], 10, [3, 2], PLAIN.groups(5)),
        sample(
            "depthwise, stride 2, 5x5, dilation",
            [2, 6, 11, 14],
            6,
            [5, 5],
            Conv2d { stride: [2, 2], padding: [2, 3, 4, 1], dilation: [1, 2], ..PLAIN.groups(6) },
        ),
        sample(
            "depthwise, three outputs a channel, stride 3 by 1",
            [5, 3, 9, 6],
            9,
            [2, 1],
            Conv2d { stride: [3, 1], padding: [1; 4], ..PLAIN.groups(3) },
        ),
        sample("depthwise, many pixels", [3, 2, 30, 40], 2, [3, 3], padded.groups(2)),
        sample("1x1 kernel, groups", [3, 16, 6, 4], 24, [1, 1], PLAIN.groups(2)),
        sample("1x1 kernel, more channels than pixels", [3, 40, 2, 3], 36, [1, 1], PLAIN),
        sample(
            "kernel larger than the input, padded",
            [2, 3, 2, 3],
            4,
            [5, 4],
            Conv2d { padding: [2, 2, 1, 2], ..PLAIN },
        ),
        sample(
            "everything asymmetric",
            [2, 4, 13, 11],
            6,
            [3, 2],
            Conv2d { stride: [2, 3], padding: [0, 3, 2, 1], dilation: [3, 2], groups: 2 },
        ),
        sample(
            "stride larger than the kernel",
            [2, 3, 11, 14],
            5,
            [2, 3],
            Conv2d { stride: [3, 5], ..PLAIN },
        ),
        sample(
            "pixels that no window covers at the end",
            [1, 2, 8, 9],
            3,
            [3, 3],
            Conv2d { stride: [4, 4], ..PLAIN },
        ),
        sample(
            "padding as large as the kernel",
            [1, 2, 3, 4],
            3,
            [2, 2],
            Conv2d { padding: [2, 2, 3, 2], ..PLAIN },
        ),
        sample(
            "dilation",
            [1, 3, 12, 10],
            4,
            [3, 3],
            Conv2d { dilation: [2, 3], padding: [2, 2, 3, 3], ..PLAIN },
        ),
        sample(
            "AlexNet's first layer",
            [2, 3, 31, 35],
            8,
            [11, 11],
            Conv2d { stride: [4, 4], padding: [2; 4], ..PLAIN },
        ),
        sample(
            "5x5, as AlexNet's second layer",
            [1, 8, 13, 13],
            12,
            [5, 5],
            Conv2d { padding: [2; 4], groups: 2, ..PLAIN },
        ),
        sample("more outputs than a tile", [1, 5, 9, 9], 70, [3, 3], padded),
        sample("more channels than a tile", [1, 67, 5, 6], 9, [3, 3], padded),
        sample("more pixels than a tile", [2, 2, 40, 27], 3, [3, 3], padded),
        sample("batch larger than a tile", [37, 2, 3, 3], 3, [3, 3], padded),
    ]
}

impl Sample {
    fn weight_shape(&self) -> [usize; 4] {
        [self.outputs, self.input[1] / self.conv.groups, self.kernel[0], self.kernel[1]]
    }

    fn label(&self) -> String {
        let Sample { label, input, outputs, kernel, .. } = self;
        format!("{label}: {input:?}, {outputs} outputs of {kernel:?}")
    }

    fn forward(&self, draw: &mut Draw) -> Case {
        let mut inputs = vec![draw.normal(self.input), draw.normal(self.weight_shape())];
        let mut differentiable = vec![0, 1];
        if self.bias {
            inputs.push(draw.normal([self.outputs]));
            differentiable.push(2);
        }
        Case::new(self.label(), self.conv, inputs).differentiable(differentiable)
    }

    fn forward_relu(&self, draw: &mut Draw) -> Case {
        let Case { label, inputs, .. } = self.forward(draw);
        Case::new(label, Conv2dRelu(self.conv), inputs)
    }

    /// A gradient of the size of the output.
    fn grad(&self, draw: &mut Draw) -> Tensor {
        let inputs = vec![TensorType::f32(self.input), TensorType::f32(self.weight_shape())];
        // A sample that the op refuses fails in the forward op's cases.
        let types = Types::infer(&self.conv, inputs).ok();
        draw.normal(types.map_or([1].into(), |t| t.outputs[0].shape.clone()))
    }

    fn grad_input(&self, draw: &mut Draw) -> Case {
        let op = Conv2dGradInput { conv: self.conv, input: [self.input[2], self.input[3]] };
        Case::new(self.label(), op, vec![self.grad(draw), draw.normal(self.weight_shape())])
    }

    fn grad_weight(&self, draw: &mut Draw) -> Case {
        let op = Conv2dGradWeight { conv: self.conv, kernel: self.kernel };
        Case::new(self.label(), op, vec![draw.normal(self.input), self.grad(draw)])
    }

    fn random(draw: &mut Draw) -> Self {
        let groups = draw.pick(&[1, 1, 2, 3]);
        let is_depthwise = draw.size(0, 3) == 0;
        let kernel = [draw.size(1, 5), draw.size(1, 5)];
        let conv = Conv2d {
            stride: [draw.size(1, 4), draw.size(1, 4)],
            padding: [draw.size(0, 3), draw.size(0, 3), draw.size(0, 3), draw.size(0, 3)],
            dilation: [draw.size(1, 3), draw.size(1, 3)],
            groups,
        };
        // At least as large as the dilated kernel.
        let reach = |axis: usize| (kernel[axis] - 1) * conv.dilation[axis] + 1;
        let input = [
            draw.size(1, 4),
            if is_depthwise { groups } else { groups * draw.size(1, 6) },
            reach(0) + draw.size(0, 9),
            reach(1) + draw.size(0, 9),
        ];
        let (outputs, bias) = (groups * draw.size(1, 7), draw.flip());
        Sample { label: "random", input, outputs, kernel, conv, bias }
    }
}

pub(super) fn forward(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| s.forward(draw)).collect()
}

pub(super) fn forward_relu(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| s.forward_relu(draw)).collect()
}

pub(super) fn grad_input(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| s.grad_input(draw)).collect()
}

pub(super) fn grad_weight(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| s.grad_weight(draw)).collect()
}

pub(super) fn random_forward(draw: &mut Draw) -> Case {
    Sample::random(draw).forward(draw)
}

pub(super) fn random_forward_relu(draw: &mut Draw) -> Case {
    Sample::random(draw).forward_relu(draw)
}

pub(super) fn random_grad_input(draw: &mut Draw) -> Case {
    Sample::random(draw).grad_input(draw)
}

pub(super) fn random_grad_weight(draw: &mut Draw) -> Case {
    Sample::random(draw).grad_weight(draw)
}

fn types<const N: usize>(shapes: [&[usize]; N]) -> Vec<TensorType> {
    shapes.iter().map(|&shape| TensorType::f32(shape)).collect()
}

pub(super) fn forward_relu_errors() -> Vec<ErrorCase> {
    let x = TensorType::f32([2, 4, 8, 8]);
    let op = || Conv2dRelu(PLAIN.groups(3));
    let inputs = || vec![x.clone(), TensorType::f32([6, 4, 3, 3])];
    vec![ErrorCase::new(op(), inputs(), "do not both divide into 3")]
}

pub(super) fn forward_errors() -> Vec<ErrorCase> {
    let image: &[usize] = &[2, 4, 8, 8];
    let weight: &[usize] = &[6, 4, 3, 3];
    let case = |conv: Conv2d, input: &[usize], weight: &[usize], says| {
        ErrorCase::new(conv, types([input, weight]), says)
    };
    let with = |stride, padding, dilation| Conv2d { stride, padding, dilation, groups: 1 };
    let huge = usize::MAX;
    vec![
        ErrorCase::new(PLAIN, types([image]), "takes 2 to 3 inputs"),
        ErrorCase::new(
            PLAIN,
            vec![TensorType::f32(image), TensorType::u32(weight)],
            "input 1 must be f32",
        ),
        case(PLAIN, &[4, 8, 8], weight, "[batch, channels, height, width]"),
        case(PLAIN, image, &[6, 36], "the weight must be [outputs, channels / groups"),
        case(PLAIN, &[0, 4, 8, 8], weight, "empty"),
        case(PLAIN, image, &[6, 3, 3, 3], "need a weight of shape [6, 4, 3, 3]"),
        case(PLAIN.groups(2), image, weight, "need a weight of shape [6, 2, 3, 3]"),
        case(PLAIN.groups(3), image, weight, "do not both divide into 3 groups"),
        case(PLAIN.groups(4), image, &[6, 1, 3, 3], "do not both divide into 4 groups"),
        case(PLAIN.groups(0), image, weight, "groups must be at least 1"),
        case(with([0, 1], [0; 4], [1, 1]), image, weight, "stride and dilation must be at least 1"),
        case(with([1, 1], [0; 4], [1, 0]), image, weight, "along the width"),
        case(PLAIN, &[2, 4, 2, 8], weight, "larger than the padded input along the height"),
        case(with([1, 1], [1, 0, 0, 0], [1, 5]), image, weight, "reaches over 11"),
        case(with([1, 1], [huge, 1, 0, 0], [1, 1]), image, weight, "too large along the height"),
        case(with([1, 1], [0; 4], [huge, 1]), image, weight, "too large along the height"),
        case(with([1, huge], [0; 4], [1, 1]), image, weight, "must be below 2^31"),
        case(with([1, 1], [1 << 40, 0, 0, 0], [1, 1]), image, weight, "must be below 2^31"),
        ErrorCase::new(PLAIN, types([image, weight, &[4]]), "the bias must have shape [6]"),
        ErrorCase::new(PLAIN, types([image, weight, &[6, 1]]), "the bias must have shape [6]"),
        case(
            with([1, 1], [1 << 30, 0, 1 << 30, 0], [1, 1]),
            &[1 << 20, 1, 8, 8],
            &[1 << 20, 1, 3, 3],
            "the output is too large",
        ),
    ]
}

pub(super) fn grad_input_errors() -> Vec<ErrorCase> {
    let (grad, weight): (&[usize], &[usize]) = (&[2, 6, 6, 6], &[6, 4, 3, 3]);
    let case = |conv, input, grad: &[usize], weight: &[usize], says| {
        ErrorCase::new(Conv2dGradInput { conv, input }, types([grad, weight]), says)
    };
    vec![
        ErrorCase::new(
            Conv2dGradInput { conv: PLAIN, input: [8, 8] },
            types([grad]),
            "takes 2 inputs",
        ),
        case(PLAIN, [8, 8], &[2, 6, 36], weight, "[batch, channels, height, width]"),
        case(PLAIN, [8, 8], grad, &[6, 36], "the weight must be"),
        case(PLAIN, [9, 8], grad, weight, "gradient must have shape [2, 6, 7, 6]"),
        case(PLAIN, [8, 8], &[2, 5, 6, 6], weight, "gradient must have shape [2, 6, 6, 6]"),
        case(PLAIN, [2, 8], grad, weight, "larger than the padded input"),
        case(PLAIN.groups(4), [8, 8], grad, weight, "do not both divide into 4 groups"),
        case(PLAIN.groups(usize::MAX), [8, 8], grad, weight, "too large"),
        case(PLAIN, [usize::MAX, 8], grad, weight, "too large"),
    ]
}

pub(super) fn grad_weight_errors() -> Vec<ErrorCase> {
    let (image, grad): (&[usize], &[usize]) = (&[2, 4, 8, 8], &[2, 6, 6, 6]);
    let case = |conv, kernel, input: &[usize], grad: &[usize], says| {
        ErrorCase::new(Conv2dGradWeight { conv, kernel }, types([input, grad]), says)
    };
    vec![
        ErrorCase::new(
            Conv2dGradWeight { conv: PLAIN, kernel: [3, 3] },
            types([image]),
            "takes 2 inputs",
        ),
        case(PLAIN, [3, 3], &[2, 4, 64], grad, "[batch, channels, height, width]"),
        case(PLAIN, [3, 2], image, grad, "gradient must have shape [2, 6, 6, 7]"),
        case(PLAIN, [3, 3], &[3, 4, 8, 8], grad, "gradient must have shape [3, 6, 6, 6]"),
        case(PLAIN, [0, 3], image, grad, "kernel and input must be at least 1"),
        case(PLAIN, [9, 3], image, grad, "larger than the padded input along the height"),
        case(PLAIN.groups(0), [3, 3], image, grad, "groups must be at least 1"),
        case(PLAIN.groups(4), [3, 3], image, grad, "do not both divide into 4 groups"),
        case(PLAIN, [usize::MAX, 3], image, grad, "too large"),
    ]
}
