//! Optimizers: one fused op a parameter and step, and what clipping and averaging need.
//!
//! Each optimizer is a [`Rule`] for one element; [`Update`] makes it an op over a weight and the
//! states that the rule keeps, in place.

mod calls;
mod cases;
mod clip;
mod clip_cases;
mod ema;
mod rule;
mod rules;
mod scaling;
mod scaling_cases;

pub use clip::{ClipFactor, ClipValue, ScaleBy, SquareSum};
pub use ema::Ema;
pub use rule::{Element, Kernel, Numbers, Part, Rule, Update};
pub use rules::{Adadelta, Adagrad, Adam, AdamW, Lars, Lion, RmsProp, Sgd, SgdForm};
pub use scaling::{Count, LossScale, Overflows};

use crate::ops::registry::{Entry, Family};

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "sgd",
        formula: "v = m v + (1 - d) (g + wd w), w -= lr v; or v = m v - wd lr w - lr g, w += v",
        source: "Sutskever et al. 2013 (PyTorch's form); Krizhevsky et al. 2012, section 5",
        cases: cases::sgd,
        random: cases::random_sgd,
        errors: cases::sgd_errors,
    },
    Entry {
        name: "adam",
        formula: "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= lr m' / (sqrt(v') + eps)",
        source: "Kingma & Ba 2015; Reddi et al. 2018 (amsgrad)",
        cases: cases::adam,
        random: cases::random_adam,
        errors: cases::adam_errors,
    },
    Entry {
        name: "adamw",
        formula: "w *= 1 - lr wd, then adam without decay",
        source: "Loshchilov & Hutter 2019",
        cases: cases::adamw,
        random: cases::random_adamw,
        errors: cases::adamw_errors,
    },
    Entry {
        name: "rmsprop",
        formula: "s = a s + (1 - a) g^2, b = m b + g / (sqrt(s - mean^2) + eps), w -= lr b",
        source: "Tieleman & Hinton 2012; Graves 2013 (centred)",
        cases: cases::rmsprop,
        random: cases::random_rmsprop,
        errors: cases::rmsprop_errors,
    },
    Entry {
        name: "adagrad",
        formula: "s += g^2, w -= lr / (1 + (t - 1) decay) g / (sqrt(s) + eps)",
        source: "Duchi et al. 2011",
        cases: cases::adagrad,
        random: cases::random_adagrad,
        errors: cases::adagrad_errors,
    },
    Entry {
        name: "adadelta",
        formula: "s = r s + (1 - r) g^2, d = sqrt((a + eps) / (s + eps)) g, a = r a + (1 - r) d^2, w -= lr d",
        source: "Zeiler 2012",
        cases: cases::adadelta,
        random: cases::random_adadelta,
        errors: cases::adadelta_errors,
    },
    Entry {
        name: "lion",
        formula: "w -= lr (sign(b1 m + (1 - b1) g) + wd w), m = b2 m + (1 - b2) g",
        source: "Chen et al. 2023, algorithm 2",
        cases: cases::lion,
        random: cases::random_lion,
        errors: cases::lion_errors,
    },
    Entry {
        name: "lars",
        formula: "v = m v + lr eta |w| / (|g| + wd |w|) (g + wd w), w -= v",
        source: "You et al. 2017, algorithm 1",
        cases: cases::lars,
        random: cases::random_lars,
        errors: cases::lars_errors,
    },
    Entry {
        name: "square_sum",
        formula: "y = sum of x^2 (+ sum)",
        source: "",
        cases: clip_cases::square_sum,
        random: clip_cases::random_square_sum,
        errors: clip_cases::square_sum_errors,
    },
    Entry {
        name: "clip_factor",
        formula: "factor = min(1, max / (norm + 1e-6)), norm = sqrt(square_sum)",
        source: "Pascanu et al. 2013; PyTorch's clip_grad_norm_",
        cases: clip_cases::clip_factor,
        random: clip_cases::random_clip_factor,
        errors: clip_cases::clip_factor_errors,
    },
    Entry {
        name: "scale_by",
        formula: "y = factor[0] x",
        source: "",
        cases: clip_cases::scale_by,
        random: clip_cases::random_scale_by,
        errors: clip_cases::scale_by_errors,
    },
    Entry {
        name: "clip_value",
        formula: "y = min(max(x, -limit), limit)",
        source: "PyTorch's clip_grad_value_",
        cases: clip_cases::clip_value,
        random: clip_cases::random_clip_value,
        errors: clip_cases::clip_value_errors,
    },
    Entry {
        name: "overflows",
        formula: "y = number of |x| >= 65504 (+ count)",
        source: "Micikevicius et al. 2018, section 3.2",
        cases: scaling_cases::overflows,
        random: scaling_cases::random_overflows,
        errors: scaling_cases::overflows_errors,
    },
    Entry {
        name: "loss_scale",
        formula: "scale *= backoff and rate = -1 after an overflow, scale *= growth after interval steps",
        source: "Micikevicius et al. 2018, section 3.2; PyTorch's GradScaler",
        cases: scaling_cases::loss_scale,
        random: scaling_cases::random_loss_scale,
        errors: scaling_cases::loss_scale_errors,
    },
    Entry {
        name: "count",
        formula: "step += 1 where learning_rate >= 0",
        source: "",
        cases: scaling_cases::count,
        random: scaling_cases::random_count,
        errors: scaling_cases::count_errors,
    },
    Entry {
        name: "ema",
        formula: "a = t > 1 ? decay a + (1 - decay) w : w",
        source: "Polyak & Juditsky 1992",
        cases: clip_cases::ema,
        random: clip_cases::random_ema,
        errors: clip_cases::ema_errors,
    },
];
