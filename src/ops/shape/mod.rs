//! Operations that move elements: reshaping, permuting, slicing, concatenating, padding, resampling,
//! and picking classes.

mod calls;
mod cases;
mod concat;
mod gather_classes;
mod line;
mod permute;
mod resample;
mod reshape;
mod slice;
pub(crate) mod strided;

pub(crate) use calls::axis;
pub use calls::{PadMode, ScaleMode, shuffle, unshuffle};
pub use concat::Concat;
pub use gather_classes::{GatherClasses, GatherClassesGrad};
pub use line::Line;
pub use permute::Permute;
pub use resample::{Resample, ResampleGrad};
pub use reshape::Reshape;
pub use slice::{Place, Slice};
pub use strided::MAX_RANK;

use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "reshape",
        formula: "y = x, in another shape",
        source: "",
        cases: cases::reshape,
        random: cases::random_reshape,
        errors: cases::reshape_errors,
    },
    Entry {
        name: "permute",
        formula: "y[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...]",
        source: "",
        cases: cases::permute,
        random: cases::random_permute,
        errors: cases::permute_errors,
    },
    Entry {
        name: "slice",
        formula: "y[i_0, ...] = x[start_0 + step_0 i_0, ...]",
        source: "",
        cases: cases::slice,
        random: cases::random_slice,
        errors: cases::slice_errors,
    },
    Entry {
        name: "place",
        formula: "y[start_0 + step_0 i_0, ...] = x[i_0, ...], y = value elsewhere",
        source: "",
        cases: cases::place,
        random: cases::random_place,
        errors: cases::place_errors,
    },
    Entry {
        name: "concat",
        formula: "y = the inputs one after another along an axis",
        source: "",
        cases: cases::concat,
        random: cases::random_concat,
        errors: cases::concat_errors,
    },
    Entry {
        name: "resample",
        formula: "y[p,i,j] = sum over (k,l) of a[i,k] b[j,l] x[p,k,l]; a, b: nearest, linear, \
                  reflect, replicate",
        source: "PyTorch's interpolate and pad",
        cases: cases::resample,
        random: cases::random_resample,
        errors: cases::resample_errors,
    },
    Entry {
        name: "resample_grad",
        formula: "grad_x[p,k,l] = sum over (i,j) of a[i,k] b[j,l] grad_y[p,i,j]",
        source: "derived by hand",
        cases: cases::resample_grad,
        random: cases::random_resample_grad,
        errors: cases::resample_grad_errors,
    },
    Entry {
        name: "gather_classes",
        formula: "y[n,i] = x[n, labels[n,i], i]",
        source: "",
        cases: cases::gather_classes,
        random: cases::random_gather_classes,
        errors: cases::gather_classes_errors,
    },
    Entry {
        name: "gather_classes_grad",
        formula: "grad_x[n,c,i] = c == labels[n,i] ? grad_y[n,i] : 0",
        source: "derived by hand",
        cases: cases::gather_classes_grad,
        random: cases::random_gather_classes_grad,
        errors: cases::gather_classes_grad_errors,
    },
];
