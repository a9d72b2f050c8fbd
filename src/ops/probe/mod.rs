//! Ops that compute nothing of use, but as fast as a device can: what the profiler measures a
//! device's peaks with.
//!
//! As they are ops, they run on both engines, are timed like any other, and their results are held
//! to the oracle. Memory is written at its fastest by [`Fill`](super::elementwise::Fill).

mod cases;
mod memory;
mod multiply_add;

pub use memory::{Copy, Read};
pub use multiply_add::MultiplyAdd;

use super::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: &[] };

const OPS: &[Entry] = &[
    Entry {
        name: "probe_multiply_add",
        formula: "y = x 1 + 2^-10, `rounds` times: the peak of arithmetic",
        source: "chains in registers as in Volkov 2010, Better Performance at Lower Occupancy",
        cases: cases::multiply_add,
        random: cases::random_multiply_add,
        errors: cases::multiply_add_errors,
    },
    Entry {
        name: "probe_read",
        formula: "y[b,c] = sum_r x[b,r,c]: the peak of reading",
        source: "McCalpin 1995, STREAM",
        cases: cases::read,
        random: cases::random_read,
        errors: cases::read_errors,
    },
    Entry {
        name: "probe_copy",
        formula: "y = x: the peak of copying",
        source: "McCalpin 1995, STREAM",
        cases: cases::copy,
        random: cases::random_copy,
        errors: cases::copy_errors,
    },
];
