//! Samples for arithmetic and reductions.

use super::{Binary, Expand, Reduce, ReduceKind};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

const FUNCTIONS: [Binary; 8] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Maximum,
    Binary::Minimum,
    Binary::Equal,
    Binary::Above,
];

/// Numbers that meet often, so that there are ties.
fn coarse(shape: Shape, draw: &mut Draw) -> Tensor {
    let data = (0..shape.elements()).map(|_| draw.size(0, 6) as f32 - 3.0).collect();
    Tensor::f32(shape, data).unwrap_or_else(|_| Tensor::scalar(0.0))
}

fn binary_case(function: Binary, a: Shape, b: Shape, draw: &mut Draw) -> Case {
    let label = format!("{function:?} {a} and {b}");
    let inputs = match function {
        Binary::Div => vec![draw.normal(a), draw.uniform(b, 0.5, 2.0)],
        Binary::Equal | Binary::Above => vec![coarse(a, draw), coarse(b, draw)],
        _ => vec![draw.normal(a), draw.normal(b)],
    };
    let case = Case::new(label, function, inputs);
    match function {
        Binary::Equal | Binary::Above => case,
        _ => case.differentiable([0, 1]),
    }
}

pub(super) fn binary(draw: &mut Draw) -> Vec<Case> {
    let shapes: [(Shape, Shape); 9] = [
        ([4, 4].into(), [4, 4].into()),
        ([2, 3, 5, 7].into(), [2, 3, 5, 7].into()),
        ([2, 3, 5, 7].into(), [3, 1, 1].into()),
        ([3, 1, 5].into(), [1, 4, 1].into()),
        ([1].into(), [6, 5].into()),
        ([2, 1, 3, 1, 2, 1].into(), [1, 2, 1, 3, 1, 2].into()),
        (Shape::default(), [3].into()),
        ([5, 1].into(), [2, 5, 300].into()),
        ([1, 1].into(), [1].into()),
    ];
    let mut cases = vec![];
    for function in FUNCTIONS {
        for (a, b) in &shapes {
            cases.push(binary_case(function, a.clone(), b.clone(), draw));
        }
    }
    cases.push(binary_case(Binary::Sub, [3, 5000].into(), [5000].into(), draw));
    cases.push(binary_case(Binary::Mul, [130, 70].into(), [130, 1].into(), draw));
    cases.push(binary_case(Binary::Sub, [9001].into(), [9001].into(), draw));
    cases
}

pub(super) fn random_binary(draw: &mut Draw) -> Case {
    let rank = draw.size(1, 6);
    let shape = draw.shape(rank, 4);
    let operand = |draw: &mut Draw| {
        let dims = shape.dims().iter().map(|&d| if draw.size(0, 2) == 0 { 1 } else { d });
        let mut dims: Vec<_> = dims.collect();
        dims.drain(..draw.size(0, rank - 1));
        Shape::new(dims)
    };
    let (a, b) = (operand(draw), operand(draw));
    let function = draw.pick(&FUNCTIONS);
    binary_case(function, a, b, draw)
}

pub(super) fn binary_errors() -> Vec<ErrorCase> {
    let ty = |dims: &[usize]| TensorType::f32(dims);
    vec![
        ErrorCase::new(Binary::Add, vec![ty(&[2, 3]), ty(&[2, 4])], "cannot broadcast 3 to 4"),
        ErrorCase::new(Binary::Add, vec![ty(&[2, 3]), ty(&[2])], "cannot broadcast 3 to 2"),
        ErrorCase::new(Binary::Mul, vec![ty(&[2])], "takes 2 inputs"),
        ErrorCase::new(Binary::Mul, vec![ty(&[2]), TensorType::u32([2])], "must be f32"),
        ErrorCase::new(Binary::Mul, vec![ty(&[1; 7]), ty(&[1])], "more than 6 axes"),
        ErrorCase::new(Binary::Mul, vec![ty(&[1 << 40, 1]), ty(&[1 << 40])], "too large"),
    ]
}

fn expand_case(from: Shape, to: Shape, draw: &mut Draw) -> Case {
    let label = format!("{from} to {to}");
    Case::new(label, Expand { shape: to }, vec![draw.normal(from)]).differentiable([0])
}

pub(super) fn expand(draw: &mut Draw) -> Vec<Case> {
    vec![
        expand_case([4, 1].into(), [4, 4].into(), draw),
        expand_case([1, 3, 1, 7].into(), [2, 3, 5, 7].into(), draw),
        expand_case([3, 1, 1].into(), [2, 3, 5, 7].into(), draw),
        expand_case([1].into(), [7].into(), draw),
        expand_case(Shape::default(), [2, 3].into(), draw),
        expand_case([3, 5].into(), [3, 5].into(), draw),
        expand_case([5000].into(), [2, 5000].into(), draw),
        expand_case([2, 1, 3, 1, 2, 1].into(), [2, 2, 3, 2, 2, 3].into(), draw),
    ]
}

pub(super) fn random_expand(draw: &mut Draw) -> Case {
    let rank = draw.size(1, 6);
    let to = draw.shape(rank, 4);
    let from = to.dims().iter().map(|&d| if draw.flip() { 1 } else { d });
    let mut from: Vec<_> = from.collect();
    from.drain(..draw.size(0, rank));
    expand_case(from.into(), to, draw)
}

pub(super) fn expand_errors() -> Vec<ErrorCase> {
    let op = |dims: &[usize]| Expand { shape: dims.into() };
    let ty = |dims: &[usize]| TensorType::f32(dims);
    vec![
        ErrorCase::new(op(&[2, 4]), vec![ty(&[2, 3])], "cannot be broadcast"),
        ErrorCase::new(op(&[3]), vec![ty(&[2, 3])], "cannot be broadcast"),
        ErrorCase::new(op(&[0, 3]), vec![ty(&[1, 3])], "and elements"),
        ErrorCase::new(op(&[2]), vec![TensorType::u32([1])], "must be f32"),
    ]
}

fn reduce_case(
    kind: ReduceKind,
    shape: Shape,
    axes: &[usize],
    keepdim: bool,
    draw: &mut Draw,
) -> Case {
    let label = format!("{kind:?} of {shape} over {axes:?}, keepdim {keepdim}");
    let op = Reduce { kind, axes: axes.into(), keepdim };
    Case::new(label, op, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn reduce(draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![];
    for kind in [ReduceKind::Sum, ReduceKind::Max] {
        let shapes: [(Shape, &[usize], bool); 15] = [
            ([4, 4, 4, 4].into(), &[1], false),
            ([2, 3, 5, 7].into(), &[2, 3], true),
            ([2, 3, 5, 7].into(), &[0, 2, 3], false),
            ([2, 3, 5, 7].into(), &[0, 1, 2, 3], false),
            ([2, 3, 5, 7].into(), &[], false),
            ([2, 3, 2, 3, 2, 3].into(), &[0, 2, 4], true),
            ([2, 3, 2, 3, 2, 3].into(), &[1, 3, 5], false),
            ([1].into(), &[0], true),
            ([6, 1].into(), &[1], false),
            ([9001].into(), &[0], false),
            ([37, 300].into(), &[0], false),
            ([37, 300].into(), &[1], true),
            ([5000, 2].into(), &[1], false),
            // Split on the CPU.
            ([70_001].into(), &[0], false),
            ([301, 3, 73].into(), &[0, 2], true),
        ];
        for (shape, axes, keepdim) in shapes {
            cases.push(reduce_case(kind, shape, axes, keepdim, draw));
        }
    }
    cases
}

pub(super) fn random_reduce(draw: &mut Draw) -> Case {
    let (rank, kind) = (draw.size(1, 6), draw.pick(&[ReduceKind::Sum, ReduceKind::Max]));
    let (shape, keepdim) = (draw.shape(rank, 5), draw.flip());
    let axes: Vec<_> = (0..rank).filter(|_| draw.flip()).collect();
    reduce_case(kind, shape, &axes, keepdim, draw)
}

pub(super) fn reduce_errors() -> Vec<ErrorCase> {
    let op = |axes: &[usize]| Reduce { kind: ReduceKind::Sum, axes: axes.into(), keepdim: false };
    let input = || vec![TensorType::f32([2, 3])];
    vec![
        ErrorCase::new(op(&[2]), input(), "each once"),
        ErrorCase::new(op(&[1, 1]), input(), "each once"),
        ErrorCase::new(op(&[1, 0]), input(), "each once"),
        ErrorCase::new(op(&[0]), vec![], "takes 1 inputs"),
        ErrorCase::new(op(&[0]), vec![TensorType::u32([2])], "must be f32"),
    ]
}
