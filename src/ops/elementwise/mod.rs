//! Operations on each element by itself: activations, sums, constants.

mod add;
mod cases;
mod fill;
mod unary;

pub use add::{Add, AddScaled};
pub use fill::Fill;
pub use unary::{Unary, UnaryGrad};

use crate::kernel::{Adapter, Dispatch, Variant};
use crate::ops::call::Call;
use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: CALLS };

const CALLS: &[Call] = &[];

const OPS: &[Entry] = &[
    Entry {
        name: "unary",
        formula: "y = f(x); f: relu, leaky_relu, sigmoid, tanh",
        source: "Nair & Hinton 2010 (relu); Maas et al. 2013 (leaky relu)",
        cases: cases::unary,
        random: cases::random_unary,
        errors: cases::unary_errors,
    },
    Entry {
        name: "unary_grad",
        formula: "grad_x = grad_y * f'(x), from y",
        source: "derived by hand",
        cases: cases::unary_grad,
        random: cases::random_unary_grad,
        errors: cases::unary_grad_errors,
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
    let dispatches = adapter.chunks(elements).into_iter().map(|range| {
        let vectors = range.len().div_ceil(4);
        dispatch(range, vectors as u32).threads(vectors)
    });
    vec![Variant::new(name, dispatches.collect())]
}
