//! Softmax, its cross-entropy with labels, and how often the label is among the likeliest classes.

mod cases;
mod cross_entropy;
mod probabilities;
mod step;
mod top_k;

pub use cross_entropy::{SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad};
pub use probabilities::{Softmax, SoftmaxGrad};
pub use step::SoftmaxCrossEntropyStep;
pub use top_k::TopK;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Variant};
use crate::ops::call::Call;
use crate::ops::registry::{Entry, Family};
use crate::tensor::{DType, TensorType};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: CALLS };

const CALLS: &[Call] = &[
    Call::new::<Axis>("softmax", &["input"], &["output"], |arguments| {
        arguments.attributes::<Axis>()?.check()?;
        let input = arguments.input("input")?;
        Ok(vec![arguments.add(Softmax { log: false }, &[input])?])
    }),
    Call::new::<Axis>("log_softmax", &["input"], &["output"], |arguments| {
        arguments.attributes::<Axis>()?.check()?;
        let input = arguments.input("input")?;
        Ok(vec![arguments.add(Softmax { log: true }, &[input])?])
    }),
];

/// The axis of the classes, which is 1.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Axis {
    dim: usize,
}

impl Default for Axis {
    fn default() -> Self {
        Axis { dim: 1 }
    }
}

impl Axis {
    fn check(self) -> Result<()> {
        match self.dim {
            1 => Ok(()),
            other => Err(Error::setting("dim", other, "classes are on axis 1; transpose first")),
        }
    }
}

const OPS: &[Entry] = &[
    Entry {
        name: "softmax_cross_entropy",
        formula: "loss = mean over n of -log p[n, label[n]], p = softmax(logits)",
        source: "Bishop 2006, section 4.3.4",
        cases: cases::cross_entropy,
        random: cases::random_cross_entropy,
        errors: cases::cross_entropy_errors,
    },
    Entry {
        name: "softmax_cross_entropy_grad",
        formula: "grad_logits = (p - onehot(labels)) * grad_loss / n",
        source: "Bishop 2006, equation 4.109",
        cases: cases::cross_entropy_grad,
        random: cases::random_cross_entropy_grad,
        errors: cases::cross_entropy_grad_errors,
    },
    Entry {
        name: "softmax_cross_entropy_step",
        formula: "the two above and top_k; grad_logits = weight (p - onehot(labels)) / n",
        source: "Bishop 2006, section 4.3.4",
        cases: cases::step,
        random: cases::random_step,
        errors: cases::step_errors,
    },
    Entry {
        name: "softmax",
        formula: "p[n, c] = exp(x[n, c]) / sum over j of exp(x[n, j])",
        source: "Bridle 1990",
        cases: cases::softmax,
        random: cases::random_softmax,
        errors: cases::softmax_errors,
    },
    Entry {
        name: "softmax_grad",
        formula: "grad_x[n, c] = p[n, c] (grad[n, c] - sum over j of grad[n, j] p[n, j])",
        source: "Bishop 2006, equation 4.106",
        cases: cases::softmax_grad,
        random: cases::random_softmax_grad,
        errors: cases::softmax_grad_errors,
    },
    Entry {
        name: "log_softmax",
        formula: "y[n, c] = x[n, c] - log(sum over j of exp(x[n, j]))",
        source: "Bridle 1990",
        cases: cases::log_softmax,
        random: cases::random_log_softmax,
        errors: cases::log_softmax_errors,
    },
    Entry {
        name: "log_softmax_grad",
        formula: "grad_x[n, c] = grad[n, c] - exp(y[n, c]) sum over j of grad[n, j]",
        source: "derived by hand",
        cases: cases::log_softmax_grad,
        random: cases::random_log_softmax_grad,
        errors: cases::log_softmax_grad_errors,
    },
    Entry {
        name: "top_k",
        formula: "the number of samples whose label is among the k largest logits",
        source: "Russakovsky et al. 2015, section 4.1 (top-5)",
        cases: cases::top_k,
        random: cases::random_top_k,
        errors: cases::top_k_errors,
    },
];

/// Batch and classes of `[batch, classes]` values, with labels `u32` `[batch]` where given.
fn classes(
    op: &'static str,
    inputs: &[TensorType],
    labels: Option<&TensorType>,
) -> Result<[usize; 2]> {
    let refuse = |problem: String| Error::shape(op, inputs.iter().map(|t| &t.shape), problem);
    let [batch, classes] = *inputs[0].dims() else {
        return Err(refuse("the first input must be [batch, classes]".into()));
    };
    match labels {
        Some(labels) if labels.dtype != DType::U32 || labels.dims() != [batch] => {
            Err(refuse(format!("the labels must be u32[{batch}], are {labels}")))
        }
        _ => Ok([batch, classes]),
    }
}

/// `[batch, classes, inner]` of values whose second axis counts classes.
fn extents(op: &'static str, ty: &TensorType) -> Result<[usize; 3]> {
    match *ty.dims() {
        [batch, classes, ref inner @ ..] => Ok([batch, classes, inner.iter().product()]),
        _ => Err(Error::shape(op, [&ty.shape], "needs at least two axes, [batch, classes, ...]")),
    }
}

/// How many rows make a job that is worth waking a thread for.
fn rows_per_job(classes: usize) -> usize {
    (4096 / classes).max(1)
}

/// Invocations of a workgroup of the kernels that take a row each.
const WIDTH: usize = 64;

/// Invocations that share a row of `classes` elements, a power of two: few classes do not fill a
/// workgroup.
fn lanes(classes: usize) -> usize {
    classes.div_ceil(8).next_power_of_two().min(WIDTH)
}

/// Errors unless one number for each of `rows` fits a binding.
fn one_a_row(op: &'static str, adapter: &Adapter, rows: usize) -> Result<()> {
    if rows <= adapter.max_binding_elements() {
        return Ok(());
    }
    Err(Error::Memory {
        what: format!("one number a row in {op}"),
        needed: 4 * rows as u64,
        device: adapter.name.clone(),
        available: adapter.max_binding_bytes,
        remedy: "use a smaller batch".into(),
    })
}

/// Variants of a kernel that works on rows of `classes` elements, with one or several invocations a
/// row: few classes do not fill a workgroup, many keep one invocation busy for long. `rows` makes
/// the dispatch for a part of the samples, `last` those that follow, from workspace 0 of one element
/// a row. There are `inner` rows in a sample.
fn by_rows(
    op: &'static str,
    adapter: &Adapter,
    [batch, classes, inner]: [usize; 3],
    rows: impl Fn(Range<usize>) -> Dispatch,
    last: impl Fn() -> Option<Dispatch>,
) -> Result<Vec<Variant>> {
    let chunks = adapter.chunk_items(op, batch, &[classes * inner])?;
    let last = last();
    if last.is_some() {
        one_a_row(op, adapter, batch * inner)?;
    }
    let variant = |name, lanes: usize| {
        let dispatches = chunks.iter().map(|chunk| {
            rows(chunk.clone())
                .constant("LANES", lanes as u32)
                .constant("WIDTH", WIDTH as u32)
                .groups((chunk.len() * inner).div_ceil(WIDTH / lanes))
        });
        let dispatches = dispatches.chain(last.clone()).collect();
        let workspace = if last.is_some() { batch * inner } else { 1 };
        Variant { name, dispatches, workspace: vec![TensorType::f32([workspace])] }
    };
    let lanes = lanes(classes);
    // Neighbouring rows are neighbours in memory where a sample has several.
    if lanes == 1 || inner > 1 {
        return Ok(vec![variant("lane", 1)]);
    }
    let mut variants = vec![variant("lanes", lanes), variant("lane", 1)];
    if adapter.is_software() {
        variants.reverse();
    }
    Ok(variants)
}
