//! The list of all ops. Tests, benches and the documentation iterate it.

use super::call::Call;
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

/// A folder of ops that belong together.
#[derive(Clone, Copy)]
pub struct Family {
    /// Its ops, gradients among them.
    pub ops: &'static [Entry],
    /// What can be called by name: see [`Call`].
    pub calls: &'static [Call],
}

/// All families of ops. A new folder adds one line here.
pub const FAMILIES: &[Family] = &[
    super::arith::FAMILY,
    super::conv::FAMILY,
    super::dropout::FAMILY,
    super::elementwise::FAMILY,
    super::gemm::FAMILY,
    super::images::FAMILY,
    super::loss::FAMILY,
    super::lrn::FAMILY,
    super::norm::FAMILY,
    super::optim::FAMILY,
    super::pool::FAMILY,
    super::probe::FAMILY,
    super::reduce::FAMILY,
    super::shape::FAMILY,
    super::softmax::FAMILY,
];

/// All ops.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.iter().flat_map(|family| family.ops)
}

/// All operations that can be called by name.
pub fn calls() -> impl Iterator<Item = &'static Call> {
    FAMILIES.iter().flat_map(|family| family.calls)
}
