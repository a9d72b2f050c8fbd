//! Pooling: each window of a plane becomes one number.

mod adaptive;
mod adaptive_cases;
mod avg;
mod avg_cases;
mod calls;
mod cases;
mod max;
mod windows;

pub use adaptive::{AdaptiveAvgPool2d, AdaptiveAvgPool2dGrad};
pub use adaptive::{AdaptiveMaxPool2d, AdaptiveMaxPool2dGrad};
pub use avg::{AvgPool2d, AvgPool2dGrad};
pub use max::{MaxPool2d, MaxPool2dGrad};

use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::registry::{Entry, Family};
use windows::Geometry;

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "max_pool2d",
        formula: "y[o] = max of x over window o, and where it is",
        source: "Krizhevsky et al. 2012, section 3.4 (overlapping pooling)",
        cases: cases::max,
        random: cases::random_max,
        errors: cases::max_errors,
    },
    Entry {
        name: "max_pool2d_grad",
        formula: "grad_x[i] = sum of grad_y[o] over the windows o whose maximum is at i",
        source: "derived by hand",
        cases: cases::max_grad,
        random: cases::random_max_grad,
        errors: cases::max_grad_errors,
    },
    Entry {
        name: "avg_pool2d",
        formula: "y[o] = sum of x over window o / its size",
        source: "LeCun et al. 1998, section II.B (subsampling)",
        cases: avg_cases::avg,
        random: avg_cases::random_avg,
        errors: avg_cases::avg_errors,
    },
    Entry {
        name: "avg_pool2d_grad",
        formula: "grad_x[i] = sum of grad_y[o] / size of window o over the windows o that cover i",
        source: "derived by hand",
        cases: avg_cases::avg_grad,
        random: avg_cases::random_avg_grad,
        errors: avg_cases::avg_grad_errors,
    },
    Entry {
        name: "adaptive_avg_pool2d",
        formula: "y[o] = sum of x[i] over floor(o I / O) <= i < ceil((o+1) I / O) / their number",
        source: "Lin et al. 2014, \"Network in network\", section 3.2 (global); PyTorch",
        cases: adaptive_cases::avg,
        random: adaptive_cases::random_avg,
        errors: adaptive_cases::avg_errors,
    },
    Entry {
        name: "adaptive_avg_pool2d_grad",
        formula: "grad_x[i] = sum of grad_y[o] / size of window o over the windows o that cover i",
        source: "derived by hand",
        cases: adaptive_cases::avg_grad,
        random: adaptive_cases::random_avg_grad,
        errors: adaptive_cases::avg_grad_errors,
    },
    Entry {
        name: "adaptive_max_pool2d",
        formula: "y[o] = max of x[i] over floor(o I / O) <= i < ceil((o+1) I / O), and where it is",
        source: "PyTorch",
        cases: adaptive_cases::max,
        random: adaptive_cases::random_max,
        errors: adaptive_cases::max_errors,
    },
    Entry {
        name: "adaptive_max_pool2d_grad",
        formula: "grad_x[i] = sum of grad_y[o] over the windows o whose maximum is at i",
        source: "derived by hand",
        cases: adaptive_cases::max_grad,
        random: adaptive_cases::random_max_grad,
        errors: adaptive_cases::max_grad_errors,
    },
];

/// How many planes make a job that is worth waking a thread for.
fn planes_per_job(g: &Geometry) -> usize {
    (16 * 1024usize).div_ceil(g.input_plane().max(g.output_plane()))
}

/// Planes of a `[batch, channels, height, width]` tensor.
fn planes(dims: &[usize]) -> usize {
    dims[0] * dims[1]
}

/// What works on a plane.
#[derive(Clone, Copy)]
enum Work {
    /// This many invocations, one for each `item`.
    Threads(usize),
    /// One workgroup; `items` are the planes.
    Workgroup,
}

/// A variant in as many dispatches as the bindings need. `operands` are names, what is bound, and the
/// elements of a plane; `dispatch` starts a dispatch of so many items.
fn by_planes(
    op: &'static str,
    adapter: &Adapter,
    planes: usize,
    operands: &[(&'static str, Operand, usize)],
    work: Work,
    dispatch: impl Fn(usize) -> Dispatch,
) -> Result<Variant> {
    let sizes: Vec<usize> = operands.iter().map(|&(_, _, size)| size).collect();
    let chunks = adapter.chunk_items(op, planes, &sizes)?;
    let dispatches = chunks.into_iter().map(|chunk| {
        let bind = |dispatch: Dispatch, &(name, operand, size): &(_, _, usize)| {
            dispatch.bind_range(name, operand, scaled(&chunk, size))
        };
        let bound = |items| operands.iter().fold(dispatch(items), bind);
        match work {
            Work::Threads(each) => bound(chunk.len() * each).threads(chunk.len() * each),
            Work::Workgroup => bound(chunk.len()).groups(chunk.len()),
        }
    });
    let name = match work {
        Work::Threads(_) => "gather",
        Work::Workgroup => "workgroup",
    };
    Ok(Variant::new(name, dispatches.collect()))
}
