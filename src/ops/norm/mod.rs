//! Normalisation: batch, layer, group and instance.
//!
//! All four bring sets of elements to mean 0 and variance 1 and then apply an affine map, and are one
//! op, [`Norm`], that differs in what the sets are: [`Over`]. In evaluation batch normalisation takes
//! its statistics as inputs, which is [`Normalise`].

mod backward;
mod calls;
mod cases;
mod cpu;
mod forward;
mod gpu;
mod layout;
mod moving_average;
mod normalise;
mod reference;

pub use backward::{By, NormGradInput, NormGradSums};
pub use forward::Norm;
pub use layout::Over;
pub use moving_average::MovingAverage;
pub use normalise::{Normalise, NormaliseGradInput, StatisticsGrad};

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::registry::{Entry, Family};
use crate::ops::{Emit, Value};
use crate::tensor::Shape;

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "norm",
        formula: "y = (x - mean) / sqrt(variance + eps) * weight + bias, statistics over sets of x",
        source: "Ioffe and Szegedy 2015; Ba et al. 2016; Wu and He 2018; Ulyanov et al. 2016",
        cases: cases::norm,
        random: cases::random_norm,
        errors: cases::norm_errors,
    },
    Entry {
        name: "norm_grad_sums",
        formula: "sum of w g and sum of w g xhat, over each set or each parameter",
        source: "Ioffe and Szegedy 2015, section 3",
        cases: cases::sums,
        random: cases::random_sums,
        errors: cases::sums_errors,
    },
    Entry {
        name: "norm_grad_input",
        formula: "grad_x = (w g - (sum of w g + xhat sum of w g xhat) / m) / sqrt(variance + eps)",
        source: "Ioffe and Szegedy 2015, section 3",
        cases: cases::grad_input,
        random: cases::random_grad_input,
        errors: cases::grad_input_errors,
    },
    Entry {
        name: "normalise",
        formula: "y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]",
        source: "Ioffe and Szegedy 2015, algorithm 2",
        cases: cases::normalise,
        random: cases::random_normalise,
        errors: cases::normalise_errors,
    },
    Entry {
        name: "normalise_grad_input",
        formula: "grad_x = g weight[c] / sqrt(variance[c] + eps)",
        source: "derived by hand",
        cases: cases::normalise_grad,
        random: cases::random_normalise_grad,
        errors: cases::normalise_grad_errors,
    },
    Entry {
        name: "statistics_grad",
        formula: "grad_mean = -w sum / d, grad_variance = -w sum_xhat / (2 d^2), d = sqrt(variance + eps)",
        source: "derived by hand",
        cases: cases::statistics_grad,
        random: cases::random_statistics_grad,
        errors: cases::statistics_grad_errors,
    },
    Entry {
        name: "moving_average",
        formula: "average = (1 - momentum) average + momentum scale value",
        source: "PyTorch's BatchNorm2d",
        cases: cases::moving_average,
        random: cases::random_moving_average,
        errors: cases::moving_average_errors,
    },
];

/// The new running mean and variance of batch normalisation, `(1 - momentum) * running + momentum *
/// batch` as in PyTorch, from the statistics of `input` that [`Norm`] gives over the batch. The running
/// variance is one of the unbiased variance.
///
/// Errors where the shapes differ or the momentum is out of range.
pub fn running_statistics(
    graph: &mut dyn Emit,
    input: Value,
    [mean, variance]: [Value; 2],
    running: [Value; 2],
    momentum: f32,
) -> Result<[Value; 2]> {
    let elements = graph.value_type(input).elements();
    let values = (elements / graph.value_type(mean).elements().max(1)) as f64;
    let mut average = |running, value, scale| {
        let op = MovingAverage { momentum, scale };
        graph.emit(Arc::new(op), &[running, value]).map(|outputs| outputs[0])
    };
    let mean = average(running[0], mean, 1.0)?;
    // A single value has no variance, which `Norm` refuses.
    let variance = average(running[1], variance, values / (values - 1.0).max(1.0))?;
    Ok([mean, variance])
}

/// Layer normalisation over the axes of `normalized_shape`, the last ones of `shape`, or, where that is
/// empty, over all but the first.
///
/// Errors where `shape` does not end so.
pub fn layer_axes(shape: &Shape, normalized_shape: &[usize]) -> Result<Over> {
    let dims = shape.dims();
    if normalized_shape.is_empty() {
        return Ok(Over::Last(dims.len().saturating_sub(1)));
    }
    if dims.ends_with(normalized_shape) {
        return Ok(Over::Last(normalized_shape.len()));
    }
    let problem = format!("the last axes are not {normalized_shape:?}, the normalised shape");
    Err(Error::shape("norm", [shape], problem))
}
