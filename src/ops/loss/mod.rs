//! Losses: of classes by labels or probabilities, and of pairs of numbers.

mod calls;
mod cases;
mod formulas;
mod nll;
mod nll_grad;
mod pair;
mod pair_cases;

pub use formulas::{Pair, Side};
pub use nll::NllLoss;
pub use nll_grad::NllLossGrad;
pub use pair::{PairLoss, PairLossGrad};

use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "nll_loss",
        formula: "loss = -sum of w[c] t[n, c] x[n, c] / sum of w[label[n]], t smoothed labels",
        source: "PyTorch's nll_loss and cross_entropy; Szegedy et al. 2016, section 7 (smoothing)",
        cases: cases::nll_loss,
        random: cases::random_nll_loss,
        errors: cases::nll_loss_errors,
    },
    Entry {
        name: "nll_loss_grad",
        formula: "grad_x[n, c] = -w[c] t[n, c] grad_loss / sum of w[label[n]]",
        source: "derived by hand",
        cases: cases::nll_loss_grad,
        random: cases::random_nll_loss_grad,
        errors: cases::nll_loss_grad_errors,
    },
    Entry {
        name: "pair_loss",
        formula: "loss = mean of f(x, t); f: squared, absolute, smooth absolute, Huber, cross-entropy",
        source: "Girshick 2015, equation 3 (smooth); Huber 1964; PyTorch's losses of these names",
        cases: pair_cases::pair_loss,
        random: pair_cases::random_pair_loss,
        errors: pair_cases::pair_loss_errors,
    },
    Entry {
        name: "pair_loss_grad",
        formula: "grad_x = f'(x, t) grad_loss / n",
        source: "derived by hand",
        cases: pair_cases::pair_loss_grad,
        random: pair_cases::random_pair_loss_grad,
        errors: pair_cases::pair_loss_grad_errors,
    },
];

/// What becomes of the losses of single elements.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Default, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// Their mean, `[1]`.
    #[default]
    Mean,
    /// Their sum, `[1]`.
    Sum,
    /// They stay as they are.
    None,
}
