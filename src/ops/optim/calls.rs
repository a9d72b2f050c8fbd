//! Optimizers by name: one step each.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Adadelta, Adagrad, Adam, AdamW, ClipFactor, Ema, Lars, Lion, RmsProp, Rule, ScaleBy, Sgd,
    SquareSum, Update,
};
use crate::error::{Error, Result};
use crate::ops::Value;
use crate::ops::call::{Arguments, Call};

pub(super) const CALLS: &[Call] = &[
    step::<Sgd>(
        "sgd",
        &["weight", "velocity", "grad", "learning_rate", "step?"],
        &["weight", "velocity"],
    ),
    step::<Adam>(
        "adam",
        &["weight", "exp_avg", "exp_avg_sq", "max_exp_avg_sq?", "grad", "learning_rate", "step"],
        &["weight", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    ),
    step::<AdamW>(
        "adamw",
        &["weight", "exp_avg", "exp_avg_sq", "max_exp_avg_sq?", "grad", "learning_rate", "step"],
        &["weight", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    ),
    step::<RmsProp>(
        "rmsprop",
        &["weight", "square_avg", "momentum_buffer?", "grad_avg?", "grad", "learning_rate"],
        &["weight", "square_avg", "momentum_buffer", "grad_avg"],
    ),
    step::<Adagrad>(
        "adagrad",
        &["weight", "state_sum", "grad", "learning_rate", "step?"],
        &["weight", "state_sum"],
    ),
    step::<Adadelta>(
        "adadelta",
        &["weight", "square_avg", "acc_delta", "grad", "learning_rate"],
        &["weight", "square_avg", "acc_delta"],
    ),
    step::<Lion>("lion", &["weight", "exp_avg", "grad", "learning_rate"], &["weight", "exp_avg"]),
    step::<Lars>("lars", &["weight", "velocity", "grad", "learning_rate"], &["weight", "velocity"]),
    Call::new::<ClipNorm>("clip_grad_norm", &["grads*"], CLIPPED, clip_grad_norm),
    Call::op::<Ema>("ema", &["average", "weight", "step"], &["average"]),
];

/// The outputs of `clip_grad_norm`.
const CLIPPED: &[&str] = &[
    "total_norm",
    "grads.0",
    "grads.1",
    "grads.2",
    "grads.3",
    "grads.4",
    "grads.5",
    "grads.6",
    "grads.7",
];

const fn step<R: Rule + Default + Serialize + DeserializeOwned>(
    name: &'static str,
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
) -> Call {
    Call::new::<R>(name, inputs, outputs, build::<R>)
}

/// Adds a step of the rule. States that the attributes have no need of are last among the outputs'
/// names, and not there.
fn build<R: Rule + DeserializeOwned>(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let op = Update(arguments.attributes::<R>()?);
    let mut inputs = vec![arguments.input("weight")?];
    for state in op.states() {
        inputs.push(arguments.input(state)?);
    }
    let grad = arguments.input("grad")?;
    inputs.extend([grad, arguments.input("learning_rate")?]);
    for number in op.numbers() {
        inputs.push(match number {
            "weight_square" => arguments.add(SquareSum { running: false }, &inputs[..1])?,
            "grad_square" => arguments.add(SquareSum { running: false }, &[grad])?,
            name => arguments.input(name)?,
        });
    }
    arguments.add_all(op, &inputs)
}

/// The attribute of `clip_grad_norm`.
#[derive(Clone, Copy, Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClipNorm {
    max_norm: f64,
}

impl Default for ClipNorm {
    fn default() -> Self {
        ClipNorm { max_norm: 1.0 }
    }
}

fn clip_grad_norm(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let ClipNorm { max_norm } = arguments.attributes()?;
    let grads = arguments.list("grads")?;
    if grads.len() >= CLIPPED.len() {
        let remedy = "give 8 gradients at most";
        return Err(Error::setting("clip_grad_norm grads", grads.len(), remedy));
    }
    let mut sum: Option<Value> = None;
    for &grad in &grads {
        let inputs: Vec<_> = [Some(grad), sum].into_iter().flatten().collect();
        sum = Some(arguments.add(SquareSum { running: sum.is_some() }, &inputs)?);
    }
    let sum: Vec<_> = sum.into_iter().collect();
    let clip = arguments.add_all(ClipFactor { max_norm }, &sum)?;
    let mut outputs = vec![clip[1]];
    for grad in grads {
        outputs.push(arguments.add(ScaleBy, &[grad, clip[0]])?);
    }
    Ok(outputs)
}
