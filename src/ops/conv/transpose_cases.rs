//! Samples for the transposed convolution and its gradients.

use super::{ConvTranspose2d, ConvTranspose2dGradInput, ConvTranspose2dGradWeight};
use crate::ops::Types;
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Tensor, TensorType};

/// A transposed convolution and its shapes.
#[derive(Clone, Copy, Debug)]
struct Sample {
    label: &'static str,
    /// Batch, channels, height, width.
    input: [usize; 4],
    group_outputs: usize,
    kernel: [usize; 2],
    conv: ConvTranspose2d,
    bias: bool,
}

const PLAIN: ConvTranspose2d = ConvTranspose2d {
    stride: [1, 1],
    padding: [0; 4],
    output_padding: [0, 0],
    dilation: [1, 1],
    groups: 1,
};

fn samples() -> Vec<Sample> {
    let sample = |label, input, group_outputs, kernel, conv| Sample {
        label,
        input,
        group_outputs,
        kernel,
        conv,
        bias: true,
    };
    let doubling = ConvTranspose2d { stride: [2, 2], padding: [1; 4], ..PLAIN };
    vec![
        sample("all extents equal", [4, 4, 4, 4], 4, [4, 4], PLAIN),
        Sample {
            bias: false,
            ..sample("distinct extents, no bias", [2, 3, 7, 5], 4, [3, 2], PLAIN)
        },
        sample("one of everything", [1, 1, 1, 1], 1, [1, 1], PLAIN),
        sample("1x1 kernel", [3, 6, 5, 7], 10, [1, 1], PLAIN),
        sample(
            "1x1 kernel, stride 2, groups",
            [2, 6, 5, 4],
            3,
            [1, 1],
            ConvTranspose2d { stride: [2, 2], output_padding: [1, 0], groups: 2, ..PLAIN },
        ),
        sample("doubling", [2, 5, 6, 4], 3, [4, 4], doubling),
        sample(
            "output padding",
            [2, 4, 5, 3],
            6,
            [3, 3],
            ConvTranspose2d { output_padding: [1, 1], ..doubling },
        ),
        sample(
            "output padding below the dilation, not the stride",
            [2, 3, 4, 5],
            2,
            [2, 3],
            ConvTranspose2d { output_padding: [2, 1], dilation: [3, 2], ..PLAIN },
        ),
        sample(
            "output padding beyond the padding, two rows of nothing but bias",
            [1, 2, 3, 3],
            3,
            [2, 2],
            ConvTranspose2d { stride: [4, 3], output_padding: [3, 2], ..PLAIN },
        ),
        sample("two groups", [2, 10, 5, 6], 3, [3, 3], ConvTranspose2d { groups: 2, ..doubling }),
        sample("depthwise", [2, 9, 5, 4], 1, [3, 3], ConvTranspose2d { groups: 9, ..doubling }),
        sample(
            "everything asymmetric",
            [2, 6, 5, 7],
            2,
            [3, 2],
            ConvTranspose2d {
                stride: [2, 3],
                padding: [0, 3, 2, 1],
                output_padding: [1, 2],
                dilation: [3, 2],
                groups: 2,
            },
        ),
        sample("padding larger than the kernel", [1, 2, 6, 7], 3, [2, 2], PLAIN.padded([2; 4])),
        sample("more outputs than a tile", [1, 5, 6, 6], 70, [3, 3], PLAIN.padded([1; 4])),
        sample("more channels than a tile", [1, 67, 4, 4], 9, [3, 3], PLAIN.padded([1; 4])),
        sample("batch larger than a tile", [37, 2, 3, 3], 3, [2, 2], PLAIN),
    ]
}

impl ConvTranspose2d {
    const fn padded(self, padding: [usize; 4]) -> Self {
        ConvTranspose2d { padding, ..self }
    }
}

impl Sample {
    fn weight_shape(&self) -> [usize; 4] {
        [self.input[1], self.group_outputs, self.kernel[0], self.kernel[1]]
    }

    fn label(&self) -> String {
        let Sample { label, input, group_outputs, kernel, conv, .. } = self;
        format!("{label}: {input:?}, {group_outputs} outputs a group of {kernel:?}, {conv:?}")
    }

    fn forward(&self, draw: &mut Draw) -> Case {
        let mut inputs = vec![draw.normal(self.input), draw.normal(self.weight_shape())];
        let mut differentiable = vec![0, 1];
        if self.bias {
            inputs.push(draw.normal([self.group_outputs * self.conv.groups]));
            differentiable.push(2);
        }
        Case::new(self.label(), self.conv, inputs).differentiable(differentiable)
    }

    /// A gradient of the size of the output.
    fn grad(&self, draw: &mut Draw) -> Tensor {
        let inputs = vec![TensorType::f32(self.input), TensorType::f32(self.weight_shape())];
        // A sample that the op refuses fails in the forward op's cases.
        let types = Types::infer(&self.conv, inputs).ok();
        draw.normal(types.map_or([1].into(), |t| t.outputs[0].shape.clone()))
    }

    fn grad_input(&self, draw: &mut Draw) -> Case {
        let input = [self.input[2], self.input[3]];
        let op = ConvTranspose2dGradInput { conv: self.conv, input };
        Case::new(self.label(), op, vec![self.grad(draw), draw.normal(self.weight_shape())])
    }

    fn grad_weight(&self, draw: &mut Draw) -> Case {
        let op = ConvTranspose2dGradWeight { conv: self.conv, kernel: self.kernel };
        Case::new(self.label(), op, vec![self.grad(draw), draw.normal(self.input)])
    }

    fn random(draw: &mut Draw) -> Self {
        let groups = draw.pick(&[1, 1, 2, 3]);
        let kernel = [draw.size(1, 4), draw.size(1, 4)];
        let stride = [draw.size(1, 3), draw.size(1, 3)];
        let dilation = [draw.size(1, 3), draw.size(1, 3)];
        let output_padding = [0, 1].map(|axis| draw.size(0, stride[axis].max(dilation[axis]) - 1));
        let input = [draw.size(1, 3), groups * draw.size(1, 5), draw.size(1, 6), draw.size(1, 6)];
        // Leaves a pixel at least.
        let mut sides = |axis: usize| {
            let whole = (input[axis + 2] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis];
            let before = draw.size(0, whole.min(3));
            [before, draw.size(0, (whole - before).min(3))]
        };
        let ([top, bottom], [left, right]) = (sides(0), sides(1));
        let padding = [top, bottom, left, right];
        let conv = ConvTranspose2d { stride, padding, output_padding, dilation, groups };
        let (group_outputs, bias) = (draw.size(1, 6), draw.flip());
        Sample { label: "random", input, group_outputs, kernel, conv, bias }
    }
}

pub(super) fn forward(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| s.forward(draw)).collect()
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

pub(super) fn random_grad_input(draw: &mut Draw) -> Case {
    Sample::random(draw).grad_input(draw)
}

pub(super) fn random_grad_weight(draw: &mut Draw) -> Case {
    Sample::random(draw).grad_weight(draw)
}

fn types<const N: usize>(shapes: [&[usize]; N]) -> Vec<TensorType> {
    shapes.iter().map(|&shape| TensorType::f32(shape)).collect()
}

pub(super) fn forward_errors() -> Vec<ErrorCase> {
    let (image, weight): (&[usize], &[usize]) = (&[2, 4, 8, 8], &[4, 3, 3, 3]);
    let case = |conv, says| ErrorCase::new(conv, types([image, weight]), says);
    let shaped = |input, weight, says| ErrorCase::new(PLAIN, types([input, weight]), says);
    let huge = usize::MAX;
    vec![
        ErrorCase::new(PLAIN, types([image]), "takes 2 to 3 inputs"),
        shaped(&[4, 8, 8], weight, "[batch, channels, height, width]"),
        shaped(image, &[4, 27], "the weight must be [channels, outputs / groups"),
        shaped(image, &[3, 4, 3, 3], "need a weight of shape [4, 4, 3, 3]"),
        case(ConvTranspose2d { groups: 3, ..PLAIN }, "do not divide into 3 groups"),
        case(ConvTranspose2d { groups: 0, ..PLAIN }, "do not divide into 0 groups"),
        case(ConvTranspose2d { stride: [0, 1], ..PLAIN }, "at least 1 along the height"),
        case(ConvTranspose2d { dilation: [1, 0], ..PLAIN }, "at least 1 along the width"),
        case(
            ConvTranspose2d { output_padding: [1, 0], ..PLAIN },
            "must be smaller than the stride",
        ),
        case(
            ConvTranspose2d { output_padding: [0, 3], stride: [2, 3], ..PLAIN },
            "an output padding of 3 along the width",
        ),
        case(PLAIN.padded([5, 5, 0, 0]), "leaves nothing of the output's 10 pixels"),
        case(PLAIN.padded([huge, 1, 0, 0]), "below 2^31 along the height"),
        case(ConvTranspose2d { stride: [1, huge], ..PLAIN }, "below 2^31 along the width"),
        case(ConvTranspose2d { dilation: [1 << 40, 1], ..PLAIN }, "below 2^31 along the height"),
        ErrorCase::new(
            ConvTranspose2d { stride: [1 << 27; 2], ..PLAIN },
            types([&[1 << 10, 1, 8, 8], &[1, 1 << 10, 3, 3]]),
            "the output is too large",
        ),
        ErrorCase::new(PLAIN, types([image, weight, &[4]]), "the bias must have shape [3]"),
    ]
}

pub(super) fn grad_input_errors() -> Vec<ErrorCase> {
    let (grad, weight): (&[usize], &[usize]) = (&[2, 3, 10, 10], &[4, 3, 3, 3]);
    let op = ConvTranspose2dGradInput { conv: PLAIN, input: [8, 8] };
    let case = |op, grad: &[usize], says| ErrorCase::new(op, types([grad, weight]), says);
    vec![
        ErrorCase::new(op, types([grad]), "takes 2 inputs"),
        case(op, &[2, 3, 100], "[batch, channels, height, width]"),
        case(op, &[2, 3, 10, 9], "gradient must have shape [2, 3, 10, 10]"),
        case(ConvTranspose2dGradInput { input: [0, 8], ..op }, grad, "empty or too large"),
        case(ConvTranspose2dGradInput { input: [1 << 40, 8], ..op }, grad, "below 2^31"),
        case(
            ConvTranspose2dGradInput { conv: ConvTranspose2d { groups: 3, ..PLAIN }, ..op },
            grad,
            "do not divide into 3 groups",
        ),
    ]
}

pub(super) fn grad_weight_errors() -> Vec<ErrorCase> {
    let (grad, image): (&[usize], &[usize]) = (&[2, 3, 10, 10], &[2, 4, 8, 8]);
    let op = ConvTranspose2dGradWeight { conv: PLAIN, kernel: [3, 3] };
    let case = |op, grad: &[usize], says| ErrorCase::new(op, types([grad, image]), says);
    vec![
        ErrorCase::new(op, types([grad]), "takes 2 inputs"),
        case(op, &[2, 3, 100], "[batch, channels, height, width]"),
        case(op, &[2, 3, 10, 9], "gradient must have shape [2, 3, 10, 10]"),
        case(ConvTranspose2dGradWeight { kernel: [0, 3], ..op }, grad, "empty or too large"),
        case(ConvTranspose2dGradWeight { kernel: [4, 3], ..op }, grad, "[2, 3, 11, 10]"),
        case(
            ConvTranspose2dGradWeight { conv: ConvTranspose2d { groups: 2, ..PLAIN }, ..op },
            grad,
            "gradient must have shape [2, 2, 10, 10]",
        ),
    ]
}
