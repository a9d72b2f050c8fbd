//! Arithmetic with broadcasting, and reductions over axes.

mod binary;
mod calls;
mod cases;
mod expand;
mod reduce;

pub use binary::Binary;
pub use expand::Expand;
pub use reduce::{Reduce, ReduceKind};

use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "binary",
        formula: "y = f(a, b), broadcast; f: add, sub, mul, div, maximum, minimum, equal, above",
        source: "NumPy's broadcasting",
        cases: cases::binary,
        random: cases::random_binary,
        errors: cases::binary_errors,
    },
    Entry {
        name: "expand",
        formula: "y = x, repeated along axes of extent 1",
        source: "NumPy's broadcasting",
        cases: cases::expand,
        random: cases::random_expand,
        errors: cases::expand_errors,
    },
    Entry {
        name: "reduce",
        formula: "y[kept] = sum or max over reduced axes of x[kept, reduced]",
        source: "",
        cases: cases::reduce,
        random: cases::random_reduce,
        errors: cases::reduce_errors,
    },
];
