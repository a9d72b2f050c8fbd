//! Operations on each element by itself: activations, sums, constants.

mod add;
mod calls;
mod cases;
mod cast;
mod fill;
mod functions;
mod prelu;
mod unary;
mod unary_cases;

pub use add::{Add, AddScaled};
pub use cast::Cast;
pub use fill::Fill;
pub use functions::{Kept, Unary};
pub use prelu::{PRelu, PReluGradInput, PReluGradTerms};
pub use unary::UnaryGrad;

use crate::kernel::{Adapter, Dispatch, Variant};
use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "unary",
        formula: "y = f(x); f: relu, leaky_relu, sigmoid, tanh, elu, selu, silu, gelu, softplus, \
                  hardsigmoid, hardswish, clamp, exp, log, sqrt, square, abs, reciprocal, pow, affine",
        source: "Nair & Hinton 2010 (relu); Maas et al. 2013 (leaky relu); Clevert et al. 2015 (elu); \
                 Klambauer et al. 2017 (selu); Hendrycks & Gimpel 2016 (gelu, silu); Howard et al. \
                 2019 (hardswish)",
        cases: unary_cases::unary,
        random: unary_cases::random_unary,
        errors: unary_cases::unary_errors,
    },
    Entry {
        name: "unary_grad",
        formula: "grad_x = grad_y * f'(x), from x or y",
        source: "derived by hand",
        cases: unary_cases::unary_grad,
        random: unary_cases::random_unary_grad,
        errors: unary_cases::unary_grad_errors,
    },
    Entry {
        name: "prelu",
        formula: "y = x > 0 ? x : w[c] x",
        source: "He et al. 2015",
        cases: unary_cases::prelu,
        random: unary_cases::random_prelu,
        errors: unary_cases::prelu_errors,
    },
    Entry {
        name: "prelu_grad_input",
        formula: "grad_x = grad_y (x > 0 ? 1 : w[c])",
        source: "derived by hand",
        cases: unary_cases::prelu_grad_input,
        random: unary_cases::random_prelu_grad_input,
        errors: unary_cases::prelu_grad_input_errors,
    },
    Entry {
        name: "prelu_grad_terms",
        formula: "terms = grad_y min(x, 0), whose sums over channels are grad_w",
        source: "derived by hand",
        cases: unary_cases::prelu_grad_terms,
        random: unary_cases::random_prelu_grad_terms,
        errors: unary_cases::prelu_grad_terms_errors,
    },
    Entry {
        name: "add",
        formula: "y = a + b",
        source: "",
        cases: cases::add,
        random: cases::random_add,
        errors: cases::add_errors,
    },
    Entry {
        name: "add_scaled",
        formula: "y = a + factor[0] * b",
        source: "",
        cases: cases::add_scaled,
        random: cases::random_add_scaled,
        errors: cases::add_scaled_errors,
    },
    Entry {
        name: "cast",
        formula: "y = x in half or single precision",
        source: "IEEE 754-2019",
        cases: cases::cast,
        random: cases::random_cast,
        errors: cases::cast_errors,
    },
    Entry {
        name: "fill",
        formula: "y = value",
        source: "",
        cases: cases::fill,
        random: cases::random_fill,
        errors: cases::fill_errors,
    },
];

/// One dispatch for each part of `elements` that fits a binding. `dispatch` gets the part's range
/// and its number of four-element vectors.
fn vectors(
    name: &'static str,
    elements: usize,
    adapter: &Adapter,
    dispatch: impl Fn(std::ops::Range<usize>, u32) -> Dispatch,
) -> Vec<Variant> {
    let dispatches = adapter.pieces(elements).into_iter().map(|range| {
        let vectors = range.len().div_ceil(4);
        dispatch(range, vectors as u32).threads(vectors).reads_ahead()
    });
    vec![Variant::new(name, dispatches.collect())]
}
