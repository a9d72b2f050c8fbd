//! Sums over axes of a tensor.

mod cases;
mod channel_sum;
pub(crate) mod parts;

pub use channel_sum::ChannelSum;
pub(crate) use channel_sum::plane_sum;

use crate::ops::call::Call;
use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: CALLS };

const CALLS: &[Call] = &[];

const OPS: &[Entry] = &[Entry {
    name: "channel_sum",
    formula: "y[c] = sum over n and all later axes of x[n,c,...]",
    source: "",
    cases: cases::channel_sum,
    random: cases::random_channel_sum,
    errors: cases::channel_sum_errors,
}];
