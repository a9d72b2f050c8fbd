//! Samples for normalisation.
//!
//! Sets have at least six elements: in smaller ones the mean can be much larger than the deviations, and
//! its rounding shows; their gradients are the small difference of large numbers.

use super::{
    By, MovingAverage, Norm, NormGradInput, NormGradSums, Normalise, NormaliseGradInput, Over,
    StatisticsGrad,
};
use crate::ops::case::{Case, Draw, ErrorCase, forward};
use crate::tensor::{Shape, Tensor, TensorType};

/// What a sample is made of: the sets, the input's shape, and how many of weight and bias there are.
type Sample = (Over, Vec<usize>, usize);

/// Every kind of set; shapes equal, distinct, dense, of one image, of one channel, of planes of 1; extents
/// that 4 does not divide; more than a small binding holds, and sums of several parts.
fn samples() -> Vec<Sample> {
    vec![
        (Over::Batch, vec![4, 4, 4, 4], 2),
        (Over::Batch, vec![2, 3, 5, 7], 2),
        (Over::Batch, vec![1, 5, 2, 3], 1),
        (Over::Batch, vec![9, 6], 2),
        (Over::Batch, vec![70, 130], 0),
        (Over::Batch, vec![8, 3, 1, 1], 2),
        (Over::Batch, vec![3, 1, 5], 2),
        (Over::Batch, vec![9, 2, 33, 31], 2),
        (Over::Batch, vec![700, 3], 2),
        (Over::Groups(2), vec![4, 4, 4, 4], 2),
        (Over::Groups(3), vec![2, 6, 5, 3], 2),
        (Over::Groups(1), vec![3, 7, 2, 2], 1),
        (Over::Groups(5), vec![2, 5, 3, 7], 2),
        (Over::Groups(2), vec![5, 20], 2),
        (Over::Groups(4), vec![7, 8, 12, 11], 2),
        (Over::Groups(1), vec![1, 3, 37, 31], 0),
        (Over::Last(3), vec![4, 4, 4, 4], 2),
        (Over::Last(3), vec![2, 3, 5, 7], 2),
        (Over::Last(2), vec![3, 2, 5, 3], 2),
        (Over::Last(1), vec![3, 5, 2, 9], 1),
        (Over::Last(1), vec![67, 130], 2),
        (Over::Last(2), vec![5, 7], 2),
        (Over::Last(3), vec![5, 3, 29, 31], 0),
    ]
}

fn random_sample(draw: &mut Draw) -> Sample {
    let shape = |draw: &mut Draw, rank: usize| -> Vec<usize> {
        (0..rank).map(|_| draw.size(1, 6)).collect()
    };
    loop {
        let rank = draw.size(2, 4);
        let mut dims = shape(draw, rank);
        dims[0] = draw.size(1, 12);
        let over = match draw.size(0, 2) {
            0 => Over::Batch,
            1 => {
                let groups = draw.size(1, 3);
                dims[1] = groups * draw.size(1, 4);
                Over::Groups(groups)
            }
            _ => Over::Last(draw.size(1, rank)),
        };
        let Ok(layout) = over.layout("norm", &Shape::from(dims.clone())) else { continue };
        // Several statistics, of which not all are near 0.
        if layout.set_size() >= 6 && layout.sets() >= 4 {
            return (over, dims, draw.size(0, 2));
        }
    }
}

fn label((over, dims, affine): &Sample) -> String {
    format!("{over:?} {dims:?}, {affine} of weight and bias")
}

/// Values around another mean than 0 for every index of the second axis.
fn shifted(dims: &[usize], draw: &mut Draw) -> Tensor {
    let values = draw.normal(dims);
    let Some(&channels) = dims.get(1) else { return values };
    let inner: usize = dims[2..].iter().product();
    let offsets: Vec<f32> = (0..channels).map(|_| draw.pick(&[0.0, 1.5, -6.0])).collect();
    let data = values.as_f32().unwrap_or_default().iter().enumerate();
    let data = data.map(|(i, x)| x + offsets[i / inner % channels]).collect();
    Tensor::f32(dims.to_vec(), data).unwrap_or(values)
}

/// Some inputs of [`Norm`] for a sample.
fn norm_inputs(sample: &Sample, draw: &mut Draw) -> (Norm, Vec<Tensor>) {
    let (over, dims, affine) = sample;
    let norm = Norm { over: *over, eps: draw.pick(&[1e-5, 1e-3]) };
    let input = shifted(dims, draw);
    let parameter = over.parameter_type(&input.ty());
    let mut inputs = vec![input];
    for _ in 0..*affine {
        inputs.push(draw.normal(parameter.shape.clone()));
    }
    (norm, inputs)
}

fn norm_case(sample: &Sample, draw: &mut Draw) -> Case {
    let (norm, inputs) = norm_inputs(sample, draw);
    let differentiable: Vec<_> = (0..inputs.len()).collect();
    Case::new(label(sample), norm, inputs).differentiable(differentiable)
}

pub(super) fn norm(draw: &mut Draw) -> Vec<Case> {
    let mut cases: Vec<_> = samples().iter().map(|s| norm_case(s, draw)).collect();
    // A difference of squares in single precision would be off by 1e-4 here.
    for over in [Over::Batch, Over::Groups(2), Over::Last(3)] {
        let values = draw.normal([5, 4, 9, 7]);
        let data = values.as_f32().unwrap_or_default().iter().map(|x| x + 40.0).collect();
        let input = Tensor::f32([5, 4, 9, 7], data).unwrap_or(values);
        let norm = Norm { over, eps: 1e-5 };
        cases.push(Case::new(format!("{over:?}, mean 40"), norm, vec![input]));
    }
    cases
}

pub(super) fn random_norm(draw: &mut Draw) -> Case {
    let sample = random_sample(draw);
    norm_case(&sample, draw)
}

const BATCH: Norm = Norm { over: Over::Batch, eps: 1e-5 };

fn image() -> TensorType {
    TensorType::f32([2, 6, 3, 3])
}

fn channels(count: usize) -> TensorType {
    TensorType::f32([count])
}

pub(super) fn norm_errors() -> Vec<ErrorCase> {
    let over = |over| Norm { over, ..BATCH };
    vec![
        ErrorCase::new(BATCH, vec![], "takes 1 to 3 inputs"),
        ErrorCase::new(BATCH, vec![TensorType::u32([2, 3])], "must be f32"),
        ErrorCase::new(BATCH, vec![TensorType::f32([5])], "at least two axes"),
        ErrorCase::new(BATCH, vec![TensorType::f32([1, 6, 1, 1])], "one value per channel"),
        ErrorCase::new(BATCH, vec![image(), channels(5)], "must be"),
        ErrorCase::new(BATCH, vec![image(), channels(6), channels(3)], "must be"),
        ErrorCase::new(over(Over::Groups(0)), vec![image()], "do not divide 6 channels"),
        ErrorCase::new(over(Over::Groups(4)), vec![image()], "do not divide 6 channels"),
        ErrorCase::new(over(Over::Last(0)), vec![image()], "last 0 axes"),
        ErrorCase::new(over(Over::Last(5)), vec![image()], "last 5 axes"),
        ErrorCase::new(over(Over::Last(1)), vec![image(), channels(6)], "must be"),
        ErrorCase::new(Norm { eps: 0.0, ..BATCH }, vec![image()], "eps"),
        ErrorCase::new(Norm { eps: f32::NAN, ..BATCH }, vec![image()], "eps"),
    ]
}

/// The inputs of [`NormGradSums`] without the weight, and the weight.
fn sums_inputs(sample: &Sample, draw: &mut Draw) -> (Norm, Vec<Tensor>, Option<Tensor>) {
    let (norm, mut inputs) = norm_inputs(sample, draw);
    let statistics = forward(&norm, &inputs).split_off(1);
    let weight = (inputs.len() > 1).then(|| inputs.swap_remove(1));
    inputs.truncate(1);
    inputs.extend(statistics);
    inputs.push(draw.normal(sample.1.clone()));
    (norm, inputs, weight)
}

/// The ways in which the sample's sums are used.
fn sums_cases(sample: &Sample, draw: &mut Draw) -> Vec<Case> {
    let (norm, mut inputs, weight) = sums_inputs(sample, draw);
    let op = |by| NormGradSums { norm, by };
    let mut cases = vec![Case::new(label(sample), op(By::Parameter), inputs.clone())];
    if norm.over != Over::Batch {
        inputs.extend(weight);
        cases.push(Case::new(label(sample), op(By::Set), inputs));
    }
    cases
}

pub(super) fn sums(draw: &mut Draw) -> Vec<Case> {
    samples().iter().flat_map(|s| sums_cases(s, draw)).collect()
}

/// Several sums, of which not all are near 0.
pub(super) fn random_sums(draw: &mut Draw) -> Case {
    loop {
        let sample = random_sample(draw);
        let mut cases = sums_cases(&sample, draw);
        let case = cases.swap_remove(draw.size(0, cases.len() - 1));
        let outputs = case.op.infer(&case.input_types()).unwrap_or_default();
        if outputs.first().is_some_and(|sums| sums.elements() >= 4) {
            return case;
        }
    }
}

pub(super) fn sums_errors() -> Vec<ErrorCase> {
    let op = |by| NormGradSums { norm: BATCH, by };
    let inputs = |mean, grad| vec![image(), channels(mean), channels(6), grad];
    let other = TensorType::f32([2, 6, 3, 2]);
    vec![
        ErrorCase::new(op(By::Parameter), vec![image()], "takes 4 inputs"),
        ErrorCase::new(op(By::Set), inputs(6, image()), "sum by parameter"),
        ErrorCase::new(op(By::Parameter), inputs(5, image()), "mean and variance must be"),
        ErrorCase::new(op(By::Parameter), inputs(6, other), "grad_output must be"),
    ]
}

fn grad_input_case(sample: &Sample, draw: &mut Draw) -> Case {
    let (norm, mut inputs, weight) = sums_inputs(sample, draw);
    let by = if norm.over == Over::Batch { By::Parameter } else { By::Set };
    let mut for_sums = inputs.clone();
    if by == By::Set {
        for_sums.extend(weight.clone());
    }
    inputs.extend(forward(&NormGradSums { norm, by }, &for_sums));
    inputs.extend(weight);
    Case::new(label(sample), NormGradInput(norm), inputs)
}

pub(super) fn grad_input(draw: &mut Draw) -> Vec<Case> {
    samples().iter().map(|s| grad_input_case(s, draw)).collect()
}

pub(super) fn random_grad_input(draw: &mut Draw) -> Case {
    let sample = random_sample(draw);
    grad_input_case(&sample, draw)
}

pub(super) fn grad_input_errors() -> Vec<ErrorCase> {
    let inputs = |sums: usize| {
        let mut inputs = vec![image(), channels(6), channels(6), image()];
        inputs.extend([channels(sums), channels(6)]);
        inputs
    };
    vec![
        ErrorCase::new(NormGradInput(BATCH), vec![image()], "takes 6 to 7 inputs"),
        ErrorCase::new(NormGradInput(BATCH), inputs(4), "the sums must be"),
    ]
}

/// Shapes for given statistics: one value per channel is fine.
fn given_samples() -> Vec<Sample> {
    let batch =
        |(over, dims, affine): Sample| (over == Over::Batch).then_some((over, dims, affine));
    let mut samples: Vec<_> = samples().into_iter().filter_map(batch).collect();
    samples.push((Over::Batch, vec![1, 5], 2));
    samples.push((Over::Batch, vec![1, 3, 1, 1], 1));
    samples
}

fn random_given(draw: &mut Draw) -> Sample {
    let rank = draw.size(2, 4);
    (Over::Batch, draw.shape(rank, 7).dims().to_vec(), draw.size(0, 2))
}

fn normalise_case(sample: &Sample, draw: &mut Draw) -> Case {
    let (_, dims, affine) = sample;
    let mut inputs = vec![draw.normal(dims.clone())];
    inputs.push(draw.normal([dims[1]]));
    inputs.push(draw.uniform([dims[1]], 0.1, 3.0));
    for _ in 0..*affine {
        inputs.push(draw.normal([dims[1]]));
    }
    let differentiable: Vec<_> = (0..inputs.len()).collect();
    let op = Normalise { eps: draw.pick(&[1e-5, 1e-3]) };
    Case::new(label(sample), op, inputs).differentiable(differentiable)
}

pub(super) fn normalise(draw: &mut Draw) -> Vec<Case> {
    given_samples().iter().map(|s| normalise_case(s, draw)).collect()
}

pub(super) fn random_normalise(draw: &mut Draw) -> Case {
    let sample = random_given(draw);
    normalise_case(&sample, draw)
}

pub(super) fn normalise_errors() -> Vec<ErrorCase> {
    let op = Normalise { eps: 1e-5 };
    vec![
        ErrorCase::new(op, vec![image()], "takes 3 to 5 inputs"),
        ErrorCase::new(op, vec![image(), channels(6), channels(5)], "must be"),
        ErrorCase::new(op, vec![channels(6); 3], "at least two axes"),
        ErrorCase::new(Normalise { eps: -1.0 }, vec![image(), channels(6), channels(6)], "eps"),
    ]
}

fn normalise_grad_case(sample: &Sample, draw: &mut Draw) -> Case {
    let (_, dims, affine) = sample;
    let mut inputs = vec![draw.normal(dims.clone()), draw.uniform([dims[1]], 0.1, 3.0)];
    if *affine > 0 {
        inputs.push(draw.normal([dims[1]]));
    }
    Case::new(label(sample), NormaliseGradInput { eps: 1e-3 }, inputs)
}

pub(super) fn normalise_grad(draw: &mut Draw) -> Vec<Case> {
    given_samples().iter().map(|s| normalise_grad_case(s, draw)).collect()
}

pub(super) fn random_normalise_grad(draw: &mut Draw) -> Case {
    let sample = random_given(draw);
    normalise_grad_case(&sample, draw)
}

pub(super) fn normalise_grad_errors() -> Vec<ErrorCase> {
    let op = NormaliseGradInput { eps: 1e-5 };
    vec![
        ErrorCase::new(op, vec![image()], "takes 2 to 3 inputs"),
        ErrorCase::new(op, vec![image(), channels(5)], "must be"),
    ]
}

fn statistics_case(count: usize, with_weight: bool, draw: &mut Draw) -> Case {
    let mut inputs = vec![draw.uniform([count], 0.1, 3.0), draw.normal([count])];
    inputs.push(draw.normal([count]));
    if with_weight {
        inputs.push(draw.normal([count]));
    }
    Case::new(format!("{count} channels"), StatisticsGrad { eps: 1e-3 }, inputs)
}

pub(super) fn statistics_grad(draw: &mut Draw) -> Vec<Case> {
    let samples = [(1, true), (7, false), (64, true), (5000, true)];
    samples.into_iter().map(|(count, weight)| statistics_case(count, weight, draw)).collect()
}

pub(super) fn random_statistics_grad(draw: &mut Draw) -> Case {
    let (count, weight) = (draw.size(1, 90), draw.flip());
    statistics_case(count, weight, draw)
}

pub(super) fn statistics_grad_errors() -> Vec<ErrorCase> {
    let op = StatisticsGrad { eps: 1e-5 };
    vec![
        ErrorCase::new(op, vec![channels(4)], "takes 3 to 4 inputs"),
        ErrorCase::new(op, vec![channels(4), channels(4), channels(3)], "must be"),
    ]
}

fn average_case(count: usize, draw: &mut Draw) -> Case {
    let op = MovingAverage {
        momentum: draw.pick(&[0.1, 0.0, 1.0, 0.7]),
        scale: draw.pick(&[1.0, 1.25]),
    };
    let inputs = vec![draw.normal([count]), draw.normal([count])];
    Case::new(format!("{op:?} of {count}"), op, inputs)
}

pub(super) fn moving_average(draw: &mut Draw) -> Vec<Case> {
    [1, 7, 64, 130, 5000].into_iter().map(|count| average_case(count, draw)).collect()
}

pub(super) fn random_moving_average(draw: &mut Draw) -> Case {
    let count = draw.size(1, 200);
    average_case(count, draw)
}

pub(super) fn moving_average_errors() -> Vec<ErrorCase> {
    let op = |momentum, scale| MovingAverage { momentum, scale };
    let two = || vec![channels(4); 2];
    vec![
        ErrorCase::new(op(0.1, 1.0), vec![channels(4)], "takes 2 inputs"),
        ErrorCase::new(op(0.1, 1.0), vec![channels(4), channels(3)], "must be"),
        ErrorCase::new(op(1.5, 1.0), two(), "momentum"),
        ErrorCase::new(op(f32::NAN, 1.0), two(), "momentum"),
        ErrorCase::new(op(0.1, f64::INFINITY), two(), "scale"),
    ]
}
