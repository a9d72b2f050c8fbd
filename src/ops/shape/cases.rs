//! Samples for the ops that move elements.

use super::{
    Concat, GatherClasses, GatherClassesGrad, Line, Permute, Place, Resample, ResampleGrad,
};
use super::{Reshape, Slice};
use crate::ops::case::{Case, Draw, ErrorCase};
use crate::tensor::{Shape, Tensor, TensorType};

fn f32s(dims: &[usize]) -> TensorType {
    TensorType::f32(dims)
}

fn reshape_case(from: Shape, to: Shape, draw: &mut Draw) -> Case {
    let label = format!("{from} to {to}");
    Case::new(label, Reshape { shape: to }, vec![draw.normal(from)]).differentiable([0])
}

pub(super) fn reshape(draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![
        reshape_case([2, 3, 4].into(), [6, 4].into(), draw),
        reshape_case([2, 3, 5, 7].into(), [210].into(), draw),
        reshape_case([1].into(), [1, 1, 1, 1, 1, 1].into(), draw),
        reshape_case([4099, 3].into(), [3, 4099].into(), draw),
    ];
    let shape = Shape::from([3, 1]);
    cases.push(Case::new("labels", Reshape { shape }, vec![draw.labels(3, 9)]));
    cases
}

pub(super) fn random_reshape(draw: &mut Draw) -> Case {
    let shape = draw.shape(4, 6);
    let mut dims = shape.dims().to_vec();
    let at = draw.size(0, 2);
    dims[at] *= dims.remove(at + 1);
    reshape_case(shape, dims.into(), draw)
}

pub(super) fn reshape_errors() -> Vec<ErrorCase> {
    let op = |dims: &[usize]| Reshape { shape: dims.into() };
    vec![
        ErrorCase::new(op(&[5]), vec![f32s(&[2, 3])], "do not fill"),
        ErrorCase::new(op(&[6]), vec![], "takes 1 inputs"),
        ErrorCase::new(op(&[0]), vec![f32s(&[0])], "empty"),
        ErrorCase::new(op(&[1; 7]), vec![f32s(&[1])], "at most 6 axes"),
        ErrorCase::new(op(&[usize::MAX, 6]), vec![f32s(&[6])], "at most 6 axes"),
    ]
}

fn permute_case(shape: Shape, axes: &[usize], draw: &mut Draw) -> Case {
    let label = format!("{shape} by {axes:?}");
    Case::new(label, Permute { axes: axes.into() }, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn permute(draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![
        permute_case([4, 4].into(), &[1, 0], draw),
        permute_case([3, 5].into(), &[0, 1], draw),
        permute_case([70, 130].into(), &[1, 0], draw),
        permute_case([2, 3, 5, 7].into(), &[0, 2, 3, 1], draw),
        permute_case([2, 3, 5, 7].into(), &[3, 2, 1, 0], draw),
        permute_case([2, 3, 4, 2, 3, 5].into(), &[5, 3, 1, 4, 0, 2], draw),
        permute_case([2, 4, 3, 3, 5, 5].into(), &[0, 1, 4, 2, 5, 3], draw),
        permute_case([1, 3, 1, 7].into(), &[2, 3, 0, 1], draw),
        permute_case([7].into(), &[0], draw),
        permute_case([12, 25, 31].into(), &[2, 0, 1], draw),
    ];
    let labels = Tensor::u32([2, 3], vec![0, 1, u32::MAX, 3, 0x7fc0_0001, 5]);
    if let Ok(labels) = labels {
        cases.push(Case::new("bit patterns", Permute { axes: vec![1, 0] }, vec![labels]));
    }
    cases
}

pub(super) fn random_permute(draw: &mut Draw) -> Case {
    let rank = draw.size(1, 6);
    let shape = draw.shape(rank, 4);
    let mut left: Vec<_> = (0..rank).collect();
    let axes: Vec<_> = (0..rank).map(|_| left.remove(draw.size(0, left.len() - 1))).collect();
    permute_case(shape, &axes, draw)
}

pub(super) fn permute_errors() -> Vec<ErrorCase> {
    let op = |axes: &[usize]| Permute { axes: axes.into() };
    vec![
        ErrorCase::new(op(&[0]), vec![f32s(&[2, 3])], "each of 2 axes once"),
        ErrorCase::new(op(&[0, 0]), vec![f32s(&[2, 3])], "each of 2 axes once"),
        ErrorCase::new(op(&[0, 2]), vec![f32s(&[2, 3])], "each of 2 axes once"),
        ErrorCase::new(op(&[0; 7]), vec![f32s(&[1; 7])], "more than 6 axes"),
    ]
}

fn slice_case(shape: Shape, bounds: [&[usize]; 3], draw: &mut Draw) -> Case {
    let [start, end, step] = bounds.map(<[usize]>::to_vec);
    let label = format!("{shape} {start:?}..{end:?} by {step:?}");
    Case::new(label, Slice { start, end, step }, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn slice(draw: &mut Draw) -> Vec<Case> {
    vec![
        slice_case([4, 4].into(), [&[1, 1], &[3, 3], &[1, 1]], draw),
        slice_case([2, 3, 5, 7].into(), [&[0, 1, 0, 2], &[2, 3, 5, 7], &[1, 1, 2, 3]], draw),
        slice_case([9].into(), [&[8], &[9], &[]], draw),
        slice_case([2, 3].into(), [&[], &[], &[]], draw),
        slice_case([2, 3, 2, 3, 2, 3].into(), [&[0; 6], &[], &[2, 2, 1, 3, 1, 2]], draw),
        slice_case([3, 50, 70].into(), [&[0, 3, 1], &[3, 49, 70], &[1, 1, 1]], draw),
        slice_case([2, 9001].into(), [&[1, 4], &[2, 9000], &[1, 2]], draw),
    ]
}

pub(super) fn random_slice(draw: &mut Draw) -> Case {
    let rank = draw.size(1, 5);
    let shape = draw.shape(rank, 7);
    let mut bounds = [vec![], vec![], vec![]];
    for &extent in shape.dims() {
        let start = draw.size(0, extent - 1);
        bounds[0].push(start);
        bounds[1].push(draw.size(start + 1, extent));
        bounds[2].push(draw.size(1, 3));
    }
    slice_case(shape, [&bounds[0], &bounds[1], &bounds[2]], draw)
}

pub(super) fn slice_errors() -> Vec<ErrorCase> {
    let error = |bounds: [&[usize]; 3], says| {
        let [start, end, step] = bounds.map(<[usize]>::to_vec);
        ErrorCase::new(Slice { start, end, step }, vec![f32s(&[4, 5])], says)
    };
    vec![
        error([&[0, 0], &[4, 6], &[]], "a part of 0..5"),
        error([&[2, 0], &[2, 5], &[]], "a part of 0..4"),
        error([&[], &[], &[1, 0]], "at least 1"),
        error([&[0], &[], &[]], "need 2 numbers"),
        ErrorCase::new(Slice::default(), vec![], "takes 1 inputs"),
    ]
}

fn place_case(shape: Shape, into: Shape, start: &[usize], step: &[usize], draw: &mut Draw) -> Case {
    let label = format!("{shape} in {into} at {start:?} by {step:?}");
    let op = Place { shape: into, start: start.into(), step: step.into(), value: -0.5 };
    Case::new(label, op, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn place(draw: &mut Draw) -> Vec<Case> {
    vec![
        place_case([2, 2].into(), [4, 4].into(), &[1, 1], &[1, 1], draw),
        place_case([2, 3, 5, 4].into(), [2, 4, 9, 11].into(), &[0, 1, 0, 1], &[1, 1, 2, 3], draw),
        place_case([1].into(), [5].into(), &[3], &[1], draw),
        place_case([2, 1, 2, 3, 1, 2].into(), [3, 1, 4, 5, 2, 5].into(), &[0; 6], &[2; 6], draw),
        place_case([3, 40, 60].into(), [3, 44, 67].into(), &[0, 1, 4], &[1; 3], draw),
        place_case([5, 1700].into(), [6, 3402].into(), &[1, 2], &[1, 2], draw),
        place_case([2, 3].into(), [2, 3].into(), &[0, 0], &[1, 1], draw),
    ]
}

pub(super) fn random_place(draw: &mut Draw) -> Case {
    let rank = draw.size(1, 5);
    let shape = draw.shape(rank, 5);
    let (mut into, mut start, mut step) = (vec![], vec![], vec![]);
    for &extent in shape.dims() {
        start.push(draw.size(0, 2));
        step.push(draw.size(1, 3));
        into.push(start[start.len() - 1] + (extent - 1) * step[step.len() - 1] + draw.size(1, 3));
    }
    place_case(shape, into.into(), &start, &step, draw)
}

pub(super) fn place_errors() -> Vec<ErrorCase> {
    let op = |shape: &[usize], start: &[usize], step: &[usize], value| Place {
        shape: shape.into(),
        start: start.into(),
        step: step.into(),
        value,
    };
    let input = || vec![f32s(&[2, 3])];
    vec![
        ErrorCase::new(op(&[4, 4], &[0, 2], &[1, 1], 0.0), input(), "do not fit in 4"),
        ErrorCase::new(op(&[4, 4], &[0, 0], &[1, 0], 0.0), input(), "do not fit in 4"),
        ErrorCase::new(op(&[4], &[0], &[1], 0.0), input(), "need 2 numbers"),
        ErrorCase::new(op(&[4, 4], &[0, 0], &[1, 1], f32::NAN), input(), "finite"),
        ErrorCase::new(op(&[usize::MAX, 4], &[0, 0], &[1, 1], 0.0), input(), "at most 6 axes"),
        ErrorCase::new(op(&[4, 4], &[0, 0], &[1, 1], 0.0), vec![TensorType::u32([2, 3])], "f32"),
    ]
}

fn concat_case(shape: &[usize], axis: usize, extents: &[usize], draw: &mut Draw) -> Case {
    let inputs = extents.iter().map(|&extent| {
        let mut dims = shape.to_vec();
        dims[axis] = extent;
        draw.normal(dims)
    });
    let inputs: Vec<_> = inputs.collect();
    let label = format!("{extents:?} along axis {axis} of {shape:?}");
    let all: Vec<_> = (0..extents.len()).collect();
    Case::new(label, Concat { axis }, inputs).differentiable(all)
}

pub(super) fn concat(draw: &mut Draw) -> Vec<Case> {
    let mut cases = vec![
        concat_case(&[4, 4, 4, 4], 1, &[4, 4], draw),
        concat_case(&[2, 0, 5, 7], 1, &[3, 1, 4], draw),
        concat_case(&[0, 3], 0, &[2, 5, 1], draw),
        concat_case(&[3, 2, 0], 2, &[3, 4], draw),
        concat_case(&[0], 0, &[1, 1], draw),
        concat_case(&[2, 3], 1, &[3], draw),
        concat_case(&[3, 0, 40, 21], 1, &[3, 2, 1], draw),
        concat_case(&[2, 0, 2], 1, &[1; 19], draw),
    ];
    let labels = vec![draw.labels(3, 9), draw.labels(5, 9)];
    cases.push(Case::new("labels", Concat { axis: 0 }, labels));
    cases
}

pub(super) fn random_concat(draw: &mut Draw) -> Case {
    let (rank, count) = (draw.size(1, 5), draw.size(1, 5));
    let (shape, axis) = (draw.shape(rank, 5), draw.size(0, rank - 1));
    let extents: Vec<_> = (0..count).map(|_| draw.size(1, 4)).collect();
    concat_case(shape.dims(), axis, &extents, draw)
}

pub(super) fn concat_errors() -> Vec<ErrorCase> {
    let along = |axis| Concat { axis };
    let (a, b) = (f32s(&[2, 3]), f32s(&[2, 4]));
    vec![
        ErrorCase::new(along(0), vec![], "at least one"),
        ErrorCase::new(along(0), vec![a.clone(), b.clone()], "one axis only"),
        ErrorCase::new(along(2), vec![a.clone(), b], "no axis 2"),
        ErrorCase::new(along(1), vec![a.clone(), TensorType::u32([2, 3])], "one axis only"),
        ErrorCase::new(along(1), vec![a, f32s(&[2, 3, 1])], "one axis only"),
    ]
}

/// Lines of every kind for an axis of extent n.
fn lines(n: usize) -> Vec<Line> {
    let mut lines = vec![
        Line::Keep,
        Line::Replicate { before: 2, after: 5 },
        Line::nearest(n, 2 * n),
        Line::nearest(n, n / 2 + 1),
        Line::Nearest { outputs: 3 * n / 2 + 1, ratio: [2, 3] },
        Line::linear(n, 2 * n, false),
        Line::linear(n, 2 * n + 1, true),
        Line::linear(n, n / 2 + 1, false),
        Line::linear(n, 1, true),
        Line::Linear { outputs: (7 * n / 3).max(1), ratio: [3, 7], align_corners: false },
    ];
    if n > 2 {
        lines.push(Line::Reflect { before: 2, after: 1 });
        lines.push(Line::Reflect { before: n - 1, after: n - 1 });
    }
    lines
}

fn resamples(draw: &mut Draw) -> Vec<(Shape, Resample)> {
    let shapes: [Shape; 4] =
        [[2, 3, 5, 7].into(), [2, 4, 4].into(), [1, 1].into(), [3, 1, 6].into()];
    let mut all = vec![];
    for shape in shapes {
        let [height, width] = [shape.dims()[shape.rank() - 2], shape.dims()[shape.rank() - 1]];
        let widths = lines(width);
        for line in lines(height) {
            let resample = Resample { height: line, width: draw.pick(&widths) };
            all.push((shape.clone(), resample));
        }
        all.extend(
            widths
                .into_iter()
                .map(|w| (shape.clone(), Resample { width: w, ..Default::default() })),
        );
    }
    let double = |n| Resample { height: Line::nearest(n, 2 * n), width: Line::nearest(n, 2 * n) };
    all.push(([3, 2, 20, 20].into(), double(20)));
    // Planes that are larger than the smallest bindings.
    all.push(([2, 50, 50].into(), double(50)));
    let line = Line::linear(70, 40, false);
    all.push(([70, 70].into(), Resample { height: line, width: line }));
    let line = Line::Replicate { before: 3, after: 2 };
    all.push(([70, 67].into(), Resample { height: line, width: line }));
    all
}

fn random_resample_of(draw: &mut Draw) -> (Shape, Resample) {
    let shape = draw.shape(3, 8);
    let [heights, widths] = [lines(shape.dims()[1]), lines(shape.dims()[2])];
    (shape, Resample { height: draw.pick(&heights), width: draw.pick(&widths) })
}

fn resample_case(shape: Shape, op: Resample, draw: &mut Draw) -> Case {
    Case::new(format!("{shape} {op:?}"), op, vec![draw.normal(shape)]).differentiable([0])
}

pub(super) fn resample(draw: &mut Draw) -> Vec<Case> {
    let all = resamples(draw);
    all.into_iter().map(|(shape, op)| resample_case(shape, op, draw)).collect()
}

pub(super) fn random_resample(draw: &mut Draw) -> Case {
    let (shape, op) = random_resample_of(draw);
    resample_case(shape, op, draw)
}

pub(super) fn resample_errors() -> Vec<ErrorCase> {
    let wide = |width| Resample { width, ..Default::default() };
    let input = || vec![f32s(&[2, 3])];
    vec![
        ErrorCase::new(Resample::default(), vec![f32s(&[3])], "two axes"),
        ErrorCase::new(Resample::default(), vec![], "takes 1 inputs"),
        ErrorCase::new(wide(Line::Reflect { before: 3, after: 0 }), input(), "larger than 3"),
        ErrorCase::new(wide(Line::nearest(3, 0)), input(), "no output"),
        ErrorCase::new(wide(Line::Nearest { outputs: 4, ratio: [1, 0] }), input(), "no output"),
        ErrorCase::new(wide(Line::linear(3, 1 << 40, false)), input(), "too long"),
        ErrorCase::new(wide(Line::Replicate { before: usize::MAX, after: 1 }), input(), "too long"),
    ]
}

fn resample_grad_case(shape: Shape, op: Resample, draw: &mut Draw) -> Option<Case> {
    use crate::ops::Op;
    let [.., height, width] = *shape.dims() else { return None };
    let output = op.infer(&[TensorType::f32(shape.clone())]).ok()?.remove(0);
    let grad = ResampleGrad { resample: op, input: [height, width] };
    Some(Case::new(format!("{shape} {op:?}"), grad, vec![draw.normal(output.shape)]))
}

pub(super) fn resample_grad(draw: &mut Draw) -> Vec<Case> {
    let all = resamples(draw);
    all.into_iter().filter_map(|(shape, op)| resample_grad_case(shape, op, draw)).collect()
}

pub(super) fn random_resample_grad(draw: &mut Draw) -> Case {
    let (shape, op) = random_resample_of(draw);
    let plain = ResampleGrad { resample: Resample::default(), input: [1, 1] };
    resample_grad_case(shape, op, draw)
        .unwrap_or_else(|| Case::new("one element", plain, vec![draw.normal([1, 1])]))
}

pub(super) fn resample_grad_errors() -> Vec<ErrorCase> {
    let op = ResampleGrad {
        resample: Resample { width: Line::nearest(3, 6), ..Default::default() },
        input: [2, 3],
    };
    vec![
        ErrorCase::new(op, vec![f32s(&[2, 5])], "planes of 2x6"),
        ErrorCase::new(op, vec![f32s(&[6])], "planes of 2x6"),
        ErrorCase::new(op, vec![], "takes 1 inputs"),
    ]
}

/// Labels of `shape`, one in eight of them no class.
fn labels(shape: &Shape, classes: usize, draw: &mut Draw) -> Tensor {
    let drawn = draw.labels(shape.elements(), classes);
    let words = drawn.as_u32().unwrap_or_default().iter();
    let words = words.map(|&l| if draw.size(0, 7) == 0 { u32::MAX - l } else { l });
    Tensor::u32(shape.clone(), words.collect()).unwrap_or(drawn)
}

fn gather_shapes() -> Vec<(Shape, usize)> {
    vec![
        ([4].into(), 4),
        ([7].into(), 10),
        ([1].into(), 1),
        ([2, 5, 3].into(), 6),
        ([3, 7].into(), 5),
        ([3, 31, 9].into(), 20),
        ([5].into(), 1800),
    ]
}

fn gather_case(shape: Shape, classes: usize, draw: &mut Draw) -> Case {
    let mut dims = shape.dims().to_vec();
    dims.insert(1, classes);
    let label = format!("{shape} of {classes} classes");
    let labels = labels(&shape, classes, draw);
    Case::new(label, GatherClasses {}, vec![draw.normal(dims), labels]).differentiable([0])
}

pub(super) fn gather_classes(draw: &mut Draw) -> Vec<Case> {
    gather_shapes().into_iter().map(|(shape, classes)| gather_case(shape, classes, draw)).collect()
}

pub(super) fn random_gather_classes(draw: &mut Draw) -> Case {
    let (rank, classes) = (draw.size(1, 3), draw.size(1, 9));
    let shape = draw.shape(rank, 8);
    gather_case(shape, classes, draw)
}

pub(super) fn gather_classes_errors() -> Vec<ErrorCase> {
    let labels = TensorType::u32([2]);
    vec![
        ErrorCase::new(GatherClasses {}, vec![f32s(&[2, 3]), f32s(&[2])], "must be u32"),
        ErrorCase::new(GatherClasses {}, vec![f32s(&[3, 3]), labels.clone()], "axis of classes"),
        ErrorCase::new(GatherClasses {}, vec![f32s(&[2, 3, 4]), labels], "axis of classes"),
        ErrorCase::new(GatherClasses {}, vec![f32s(&[2, 3])], "takes 2 inputs"),
    ]
}

fn gather_grad_case(shape: Shape, classes: usize, draw: &mut Draw) -> Case {
    let label = format!("{shape} of {classes} classes");
    let labels = labels(&shape, classes, draw);
    Case::new(label, GatherClassesGrad { classes }, vec![draw.normal(shape), labels])
}

pub(super) fn gather_classes_grad(draw: &mut Draw) -> Vec<Case> {
    let shapes = gather_shapes().into_iter();
    shapes.map(|(shape, classes)| gather_grad_case(shape, classes, draw)).collect()
}

pub(super) fn random_gather_classes_grad(draw: &mut Draw) -> Case {
    let (rank, classes) = (draw.size(1, 3), draw.size(1, 9));
    let shape = draw.shape(rank, 8);
    gather_grad_case(shape, classes, draw)
}

pub(super) fn gather_classes_grad_errors() -> Vec<ErrorCase> {
    let op = |classes| GatherClassesGrad { classes };
    let labels = TensorType::u32([2]);
    vec![
        ErrorCase::new(op(3), vec![f32s(&[3]), labels.clone()], "same shape"),
        ErrorCase::new(op(0), vec![f32s(&[2]), labels.clone()], "none or too many"),
        ErrorCase::new(op(3), vec![labels.clone(), labels], "must be f32"),
    ]
}
