//! The list of all ops. Tests, benches and the documentation iterate it.

use super::case::{Case, Draw, ErrorCase};

/// What the registry knows about an op.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The op's name.
    pub name: &'static str,
    /// What it computes, in one line.
    pub formula: &'static str,
    /// The paper, book or program that defines it.
    pub source: &'static str,
    /// Sample inputs: equal extents, distinct extents, awkward sizes.
    pub cases: fn(&mut Draw) -> Vec<Case>,
    /// A case of random small shape and parameters.
    pub random: fn(&mut Draw) -> Case,
    /// Inputs that must be refused.
    pub errors: fn() -> Vec<ErrorCase>,
}

/// All families of ops. A new folder adds one line here.
pub const FAMILIES: &[&[Entry]] = &[
    super::conv::ENTRIES,
    super::dropout::ENTRIES,
    super::elementwise::ENTRIES,
    super::gemm::ENTRIES,
    super::lrn::ENTRIES,
    super::optim::ENTRIES,
    super::pool::ENTRIES,
    super::reduce::ENTRIES,
    super::softmax::ENTRIES,
];

/// All ops.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
