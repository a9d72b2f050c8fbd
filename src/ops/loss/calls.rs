//! Losses by name, as PyTorch calls them.

use serde::{Deserialize, Serialize};

use super::{NllLoss, Pair, PairLoss, Reduction};
use crate::error::Result;
use crate::ops::Value;
use crate::ops::call::{Arguments, Call};
use crate::ops::softmax::Softmax;

pub(super) const CALLS: &[Call] = &[
    Call::new::<CrossEntropy>(
        "cross_entropy",
        &["input", "target", "weight?"],
        &["output"],
        cross_entropy,
    ),
    Call::new::<Nll>("nll_loss", &["input", "target", "weight?"], &["output"], nll_loss),
    Call::new::<Plain>("mse_loss", &["input", "target"], &["output"], |arguments| {
        let Plain { reduction } = arguments.attributes()?;
        pair(arguments, Pair::Mse, reduction)
    }),
    Call::new::<Plain>("l1_loss", &["input", "target"], &["output"], |arguments| {
        let Plain { reduction } = arguments.attributes()?;
        pair(arguments, Pair::L1, reduction)
    }),
    Call::new::<SmoothL1>("smooth_l1_loss", &["input", "target"], &["output"], |arguments| {
        let SmoothL1 { beta, reduction } = arguments.attributes()?;
        pair(arguments, Pair::SmoothL1 { beta }, reduction)
    }),
    Call::new::<Huber>("huber_loss", &["input", "target"], &["output"], |arguments| {
        let Huber { delta, reduction } = arguments.attributes()?;
        pair(arguments, Pair::Huber { delta }, reduction)
    }),
    Call::new::<Plain>(
        "binary_cross_entropy_with_logits",
        &["input", "target", "weight?", "pos_weight?"],
        &["output"],
        |arguments| {
            let Plain { reduction } = arguments.attributes()?;
            let [weight, pos_weight] =
                ["weight", "pos_weight"].map(|name| arguments.optional(name).is_some());
            pair(arguments, Pair::BceWithLogits { weight, pos_weight }, reduction)
        },
    ),
];

/// PyTorch's `ignore_index`.
const IGNORED: i64 = -100;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CrossEntropy {
    ignore_index: i64,
    label_smoothing: f64,
    reduction: Reduction,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        let reduction = Reduction::Mean;
        CrossEntropy { ignore_index: IGNORED, label_smoothing: 0.0, reduction }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nll {
    ignore_index: i64,
    reduction: Reduction,
}

impl Default for Nll {
    fn default() -> Self {
        Nll { ignore_index: IGNORED, reduction: Reduction::Mean }
    }
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Plain {
    reduction: Reduction,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SmoothL1 {
    beta: f64,
    reduction: Reduction,
}

impl Default for SmoothL1 {
    fn default() -> Self {
        SmoothL1 { beta: 1.0, reduction: Reduction::Mean }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Huber {
    delta: f64,
    reduction: Reduction,
}

impl Default for Huber {
    fn default() -> Self {
        Huber { delta: 1.0, reduction: Reduction::Mean }
    }
}

/// Two ops: the fused one of training knows no label that does not count, and by default there is one.
fn cross_entropy(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let CrossEntropy { ignore_index, label_smoothing, reduction } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let logarithms = arguments.add(Softmax { log: true }, &[input])?;
    // Negative labels are two's complements.
    let loss = NllLoss { ignore_index: ignore_index as u32, label_smoothing, reduction };
    nll(arguments, loss, logarithms)
}

fn nll_loss(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Nll { ignore_index, reduction } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let loss = NllLoss { ignore_index: ignore_index as u32, label_smoothing: 0.0, reduction };
    nll(arguments, loss, input)
}

fn nll(arguments: &mut Arguments<'_>, loss: NllLoss, logarithms: Value) -> Result<Vec<Value>> {
    let mut inputs = vec![logarithms, arguments.input("target")?];
    inputs.extend(arguments.optional("weight"));
    Ok(arguments.add_all(loss, &inputs)?[..1].to_vec())
}

fn pair(arguments: &mut Arguments<'_>, pair: Pair, reduction: Reduction) -> Result<Vec<Value>> {
    let mut inputs = vec![arguments.input("input")?, arguments.input("target")?];
    inputs.extend(["weight", "pos_weight"].into_iter().filter_map(|n| arguments.optional(n)));
    Ok(vec![arguments.add(PairLoss { pair, reduction }, &inputs)?])
}
