//! Matrix products: fully connected layers, and the core of convolution by unfolding.
//!
//! [`gpu`] and [`cpu`] hold the products themselves, for every op that is made of them.

mod calls;
mod cases;
pub mod cpu;
mod cut;
pub mod gpu;
mod kernels;
mod linear;
mod matmul;

pub use kernels::Kernel;
pub use linear::{Linear, LinearGradInput, LinearGradWeight, LinearRelu};
pub use matmul::MatMul;

use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "matmul",
        formula: "C = op(A) op(B); op: transposed or not; batched",
        source: "Goto & van de Geijn 2008 (CPU); Volkov & Demmel 2008 (GPU)",
        cases: cases::matmul,
        random: cases::random_matmul,
        errors: cases::matmul_errors,
    },
    Entry {
        name: "linear",
        formula: "y = x W^T + b",
        source: "Rumelhart, Hinton & Williams 1986",
        cases: cases::linear,
        random: cases::random_linear,
        errors: cases::linear_errors,
    },
    Entry {
        name: "linear_relu",
        formula: "y = max(0, x W^T + b)",
        source: "Krizhevsky et al. 2012",
        cases: cases::linear_relu,
        random: cases::random_linear_relu,
        errors: cases::linear_relu_errors,
    },
    Entry {
        name: "linear_grad_input",
        formula: "grad_x = grad_y W",
        source: "derived by hand",
        cases: cases::linear_grad_input,
        random: cases::random_linear_grad_input,
        errors: cases::linear_grad_input_errors,
    },
    Entry {
        name: "linear_grad_weight",
        formula: "grad_W = grad_y^T x",
        source: "derived by hand",
        cases: cases::linear_grad_weight,
        random: cases::random_linear_grad_weight,
        errors: cases::linear_grad_weight_errors,
    },
];
