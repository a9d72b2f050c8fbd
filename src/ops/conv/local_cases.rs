//! Samples for locally connected layers and their gradients.

use super::{
    Conv2d, LocallyConnected2d, LocallyConnected2dGradBias, LocallyConnected2dGradInput,
    LocallyConnected2dGradWeight,
};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::TensorType;

/// A layer and its shapes.
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
        sample("all extents equal", [4, 4, 4, 4], 4, [4, 4], Conv2d { padding: [2; 4], ..PLAIN }),
        Sample {
            bias: false,
            ..sample("distinct extents, no bias", [2, 3, 7, 5], 5, [3, 2], PLAIN)
        },
        sample("one of everything", [1, 1, 1, 1], 1, [1, 1], PLAIN),
        sample("1x1 kernel", [3, 6, 3, 4], 7, [1, 1], PLAIN),
        sample("kernel as large as the input", [5, 3, 6, 4], 7, [6, 4], PLAIN),
        sample("kernel larger than the input", [2, 2, 2, 3], 3, [4, 5], padded),
        sample("cuda-convnet's local3", [2, 8, 5, 5], 4, [3, 3], padded),
        sample("two groups", [6, 10, 4, 5], 6, [3, 3], padded.groups(2)),
        sample("depthwise", [2, 5, 6, 4], 10, [3, 3], padded.groups(5)),
        sample(
            "everything asymmetric",
            [2, 4, 13, 11],
            6,
            [3, 2],
            Conv2d { stride: [2, 3], padding: [0, 3, 2, 1], dilation: [3, 2], groups: 2 },
        ),
        sample(
            "gaps between windows",
            [2, 3, 8, 11],
            5,
            [2, 2],
            Conv2d { stride: [3, 4], ..PLAIN },
        ),
        sample("batch of 37", [37, 2, 3, 3], 3, [3, 3], padded),
        sample("a weight of several bindings", [3, 6, 8, 8], 9, [3, 3], padded),
    ]
}

impl Sample {
    /// The output's extents.
    fn output(&self) -> [usize; 2] {
        let [top, bottom, left, right] = self.conv.padding;
        let extent = |axis: usize, padding: usize| {
            let reach = (self.kernel[axis] - 1) * self.conv.dilation[axis] + 1;
            (self.input[axis + 2] + padding - reach) / self.conv.stride[axis] + 1
        };
        [extent(0, top + bottom), extent(1, left + right)]
    }

    fn weight_shape(&self) -> [usize; 6] {
        let ([rows, columns], [height, width]) = (self.output(), self.kernel);
        [self.outputs, self.input[1] / self.conv.groups, height, width, rows, columns]
    }

    fn grad_shape(&self) -> [usize; 4] {
        let [rows, columns] = self.output();
        [self.input[0], self.outputs, rows, columns]
    }

    fn label(&self) -> String {
        let Sample { label, input, outputs, kernel, .. } = self;
        format!("{label}: {input:?}, {outputs} outputs of {kernel:?}")
    }

    fn forward(&self, draw: &mut Draw) -> Case {
        let mut inputs = vec![draw.normal(self.input), draw.normal(self.weight_shape())];
        let mut differentiable = vec![0, 1];
        if self.bias {
            let [rows, columns] = self.output();
            inputs.push(draw.normal([self.outputs, rows, columns]));
            differentiable.push(2);
        }
        let op = LocallyConnected2d(self.conv);
        Case::new(self.label(), op, inputs).differentiable(differentiable)
    }

    fn grad_input(&self, draw: &mut Draw) -> Case {
        let input = [self.input[2], self.input[3]];
        let op = LocallyConnected2dGradInput { conv: self.conv, input };
        let inputs = vec![draw.normal(self.grad_shape()), draw.normal(self.weight_shape())];
        Case::new(self.label(), op, inputs)
    }

    fn grad_weight(&self, draw: &mut Draw) -> Case {
        let op = LocallyConnected2dGradWeight { conv: self.conv, kernel: self.kernel };
        let inputs = vec![draw.normal(self.input), draw.normal(self.grad_shape())];
        Case::new(self.label(), op, inputs)
    }

    fn grad_bias(&self, draw: &mut Draw) -> Case {
        let inputs = vec![draw.normal(self.grad_shape())];
        Case::new(self.label(), LocallyConnected2dGradBias, inputs)
    }

    fn random(draw: &mut Draw) -> Self {
        let groups = draw.pick(&[1, 1, 2, 3]);
        let kernel = [draw.size(1, 4), draw.size(1, 4)];
        let conv = Conv2d {
            stride: [draw.size(1, 3), draw.size(1, 3)],
            padding: [draw.size(0, 2), draw.size(0, 2), draw.size(0, 2), draw.size(0, 2)],
            dilation: [draw.size(1, 2), draw.size(1, 2)],
            groups,
        };
        let reach = |axis: usize| (kernel[axis] - 1) * conv.dilation[axis] + 1;
        let input = [
            draw.size(1, 6),
            groups * draw.size(1, 6),
            reach(0) + draw.size(0, 5),
            reach(1) + draw.size(0, 5),
        ];
        let (outputs, bias) = (groups * draw.size(1, 6), draw.flip());
        Sample { label: "random", input, outputs, kernel, conv, bias }
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

pub(super) fn grad_bias(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| s.grad_bias(draw)).collect()
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

pub(super) fn random_grad_bias(draw: &mut Draw) -> Case {
    Sample::random(draw).grad_bias(draw)
}

fn types<const N: usize>(shapes: [&[usize]; N]) -> Vec<TensorType> {
    shapes.iter().map(|&shape| TensorType::f32(shape)).collect()
}

pub(super) fn forward_errors() -> Vec<ErrorCase> {
    let (image, weight): (&[usize], &[usize]) = (&[2, 4, 8, 8], &[6, 4, 3, 3, 6, 6]);
    let case = |conv, input: &[usize], weight: &[usize], says| {
        ErrorCase::new(LocallyConnected2d(conv), types([input, weight]), says)
    };
    vec![
        ErrorCase::new(LocallyConnected2d(PLAIN), types([image]), "takes 2 to 3 inputs"),
        case(PLAIN, &[4, 8, 8], weight, "[batch, channels, height, width]"),
        case(PLAIN, image, &[6, 4, 3, 3], "output height, output width]"),
        case(PLAIN, image, &[6, 4, 3, 3, 6, 5], "must have shape [6, 4, 3, 3, 6, 6]"),
        case(PLAIN, image, &[6, 3, 3, 3, 6, 6], "must have shape [6, 4, 3, 3, 6, 6]"),
        case(PLAIN.groups(3), image, weight, "do not both divide into 3 groups"),
        case(PLAIN.groups(0), image, weight, "groups must be at least 1"),
        case(PLAIN, &[2, 4, 2, 8], weight, "larger than the padded input along the height"),
        case(Conv2d { stride: [1, 0], ..PLAIN }, image, weight, "must be at least 1"),
        case(
            Conv2d { padding: [1 << 30, 0, 1 << 30, 0], ..PLAIN },
            &[1, 8, 8, 8],
            &[1 << 4, 8, 3, 3, 6, 6],
            "are too large",
        ),
        ErrorCase::new(
            LocallyConnected2d(PLAIN),
            types([image, weight, &[6]]),
            "the bias must have shape [6, 6, 6]",
        ),
    ]
}

pub(super) fn grad_input_errors() -> Vec<ErrorCase> {
    let (grad, weight): (&[usize], &[usize]) = (&[2, 6, 6, 6], &[6, 4, 3, 3, 6, 6]);
    let op = LocallyConnected2dGradInput { conv: PLAIN, input: [8, 8] };
    let case = |op, grad: &[usize], weight: &[usize], says| {
        ErrorCase::new(op, types([grad, weight]), says)
    };
    vec![
        ErrorCase::new(op, types([grad]), "takes 2 inputs"),
        case(op, &[2, 6, 36], weight, "[batch, channels, height, width]"),
        case(op, grad, &[6, 4], "the weight must be"),
        case(op, grad, &[6, 4, 3, 3, 6, 7], "must have shape [6, 4, 3, 3, 6, 6]"),
        case(op, &[2, 5, 6, 6], weight, "gradient must have shape [2, 6, 6, 6]"),
        case(LocallyConnected2dGradInput { input: [9, 8], ..op }, grad, weight, "must have shape"),
        case(
            LocallyConnected2dGradInput { conv: PLAIN.groups(usize::MAX), ..op },
            grad,
            weight,
            "too large",
        ),
    ]
}

pub(super) fn grad_weight_errors() -> Vec<ErrorCase> {
    let (image, grad): (&[usize], &[usize]) = (&[2, 4, 8, 8], &[2, 6, 6, 6]);
    let op = LocallyConnected2dGradWeight { conv: PLAIN, kernel: [3, 3] };
    let case = |op, grad: &[usize], says| ErrorCase::new(op, types([image, grad]), says);
    vec![
        ErrorCase::new(op, types([image]), "takes 2 inputs"),
        case(op, &[2, 6, 36], "[batch, channels, height, width]"),
        case(op, &[2, 6, 6, 7], "gradient must have shape [2, 6, 6, 6]"),
        case(LocallyConnected2dGradWeight { kernel: [9, 3], ..op }, grad, "larger than the padded"),
        case(LocallyConnected2dGradWeight { kernel: [0, 3], ..op }, grad, "at least 1"),
        case(
            LocallyConnected2dGradWeight { conv: PLAIN.groups(0), ..op },
            grad,
            "groups must be at least 1",
        ),
    ]
}

pub(super) fn grad_bias_errors() -> Vec<ErrorCase> {
    vec![
        ErrorCase::new(LocallyConnected2dGradBias, vec![], "takes 1 inputs"),
        ErrorCase::new(LocallyConnected2dGradBias, types([&[2, 3]]), "[batch, channels"),
    ]
}
