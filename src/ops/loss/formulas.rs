//! What each loss of a pair of numbers is, for the oracle, for the CPU and for the shaders, with its
//! derivatives.

use crate::error::{Error, Result};

/// The loss of a number `x` for a target `t`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pair {
    /// `(x - t)^2`.
    Mse,
    /// `|x - t|`.
    L1,
    /// `0.5 (x - t)^2 / beta` where `|x - t| < beta`, else `|x - t| - 0.5 beta` (Girshick, 2015).
    SmoothL1 {
        /// Where the parabola ends; 0 for [`Pair::L1`].
        beta: f64,
    },
    /// `0.5 (x - t)^2` where `|x - t| < delta`, else `delta (|x - t| - 0.5 delta)` (Huber, 1964).
    Huber {
        /// Where the parabola ends.
        delta: f64,
    },
    /// The cross-entropy of a probability `t` and the logit `x`, `pos_weight t softplus(-x) + (1 - t)
    /// softplus(x)`, times a weight. It takes two more inputs, where they are wanted.
    BceWithLogits {
        /// Whether there is a `weight`, a constant.
        weight: bool,
        /// Whether there is a `pos_weight`, a constant.
        pos_weight: bool,
    },
}

/// `log(1 + exp(x))`, for any x.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl Pair {
    /// The value, with the weights `w` and `p`.
    pub(super) fn value(self, x: f64, t: f64, w: f64, p: f64) -> f64 {
        let d = (x - t).abs();
        match self {
            Pair::Mse => d * d,
            Pair::SmoothL1 { beta } if d < beta => 0.5 * d * d / beta,
            Pair::SmoothL1 { beta } => d - 0.5 * beta,
            Pair::L1 => d,
            Pair::Huber { delta } if d < delta => 0.5 * d * d,
            Pair::Huber { delta } => delta * (d - 0.5 * delta),
            Pair::BceWithLogits { .. } => w * (p * t * softplus(-x) + (1.0 - t) * softplus(x)),
        }
    }

    /// The derivative with respect to x or t.
    pub(super) fn derivative(self, side: Side, x: f64, t: f64, w: f64, p: f64) -> f64 {
        let d = x - t;
        let sign = if d == 0.0 { 0.0 } else { d.signum() };
        let slope = match self {
            Pair::Mse => 2.0 * d,
            Pair::SmoothL1 { beta } if d.abs() < beta => d / beta,
            Pair::L1 | Pair::SmoothL1 { .. } => sign,
            Pair::Huber { delta } if d.abs() < delta => d,
            Pair::Huber { delta } => delta * sign,
            Pair::BceWithLogits { .. } => {
                let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
                return match side {
                    Side::Input => w * ((1.0 - t) * sigmoid(x) - p * t * sigmoid(-x)),
                    Side::Target => w * (p * softplus(-x) - softplus(x)),
                };
            }
        };
        if side == Side::Input { slope } else { -slope }
    }

    /// [`Pair::value`] in single precision.
    pub(super) fn value_f32(self, x: f32, t: f32, w: f32, p: f32) -> f32 {
        let d = (x - t).abs();
        match self {
            Pair::Mse => d * d,
            Pair::L1 => d,
            Pair::SmoothL1 { beta } => {
                let beta = beta as f32;
                if d < beta { 0.5 * d * d / beta } else { d - 0.5 * beta }
            }
            Pair::Huber { delta } => {
                let delta = delta as f32;
                if d < delta { 0.5 * d * d } else { delta * (d - 0.5 * delta) }
            }
            Pair::BceWithLogits { .. } => {
                let rest = (-x.abs()).exp().ln_1p();
                w * (p * t * (rest + (-x).max(0.0)) + (1.0 - t) * (rest + x.max(0.0)))
            }
        }
    }

    /// [`Pair::derivative`] in single precision.
    pub(super) fn derivative_f32(self, side: Side, x: f32, t: f32, w: f32, p: f32) -> f32 {
        let d = x - t;
        let sign = f32::from(i8::from(d > 0.0) - i8::from(d < 0.0));
        let slope = match self {
            Pair::Mse => 2.0 * d,
            Pair::L1 => sign,
            Pair::SmoothL1 { beta } => {
                let beta = beta as f32;
                if d.abs() < beta { d / beta } else { sign }
            }
            Pair::Huber { delta } => {
                let delta = delta as f32;
                d.clamp(-delta, delta)
            }
            Pair::BceWithLogits { .. } => {
                let e = (-x.abs()).exp();
                let rest = e.ln_1p();
                let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e));
                let (up, down) = if x >= 0.0 { (large, small) } else { (small, large) };
                return match side {
                    Side::Input => w * ((1.0 - t) * up - p * t * down),
                    Side::Target => w * (p * (rest + (-x).max(0.0)) - (rest + x.max(0.0))),
                };
            }
        };
        if side == Side::Input { slope } else { -slope }
    }

    /// The number that the shaders know the loss by, and its parameter.
    pub(super) fn code(self) -> (u32, f32) {
        match self {
            Pair::Mse => (0, 0.0),
            Pair::L1 => (1, 0.0),
            Pair::SmoothL1 { beta } => (2, beta as f32),
            Pair::Huber { delta } => (3, delta as f32),
            Pair::BceWithLogits { .. } => (4, 0.0),
        }
    }

    pub(super) fn has_weights(self) -> [bool; 2] {
        match self {
            Pair::BceWithLogits { weight, pos_weight } => [weight, pos_weight],
            _ => [false; 2],
        }
    }

    pub(super) fn check(self) -> Result<()> {
        match self {
            Pair::SmoothL1 { beta } if !(beta >= 0.0 && beta.is_finite()) => {
                Err(Error::setting("beta", beta, "give a finite number of at least 0"))
            }
            Pair::Huber { delta } if !(delta > 0.0 && delta.is_finite()) => {
                Err(Error::setting("delta", delta, "give a finite number above 0"))
            }
            _ => Ok(()),
        }
    }
}

/// With respect to which of the two a loss is differentiated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The input.
    Input,
    /// The target.
    Target,
}
