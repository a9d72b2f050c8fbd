//! The functions of this folder by PyTorch's names and attributes.

use serde::{Deserialize, Serialize};

use super::{PRelu, Unary};
use crate::error::{Error, Result};
use crate::ops::Value;
use crate::ops::call::{Arguments, Call, NoAttributes};

/// Attributes that turn into a function.
trait Function: Default + Serialize + for<'de> Deserialize<'de> {
    fn function(self) -> Result<Unary>;
}

const fn call<A: Function>(name: &'static str) -> Call {
    Call::new::<A>(name, &["input"], &["output"], build::<A>)
}

fn build<A: Function>(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let function = arguments.attributes::<A>()?.function()?;
    let input = arguments.input("input")?;
    Ok(vec![arguments.add(function, &[input])?])
}

const fn plain(name: &'static str, build: fn(&mut Arguments<'_>) -> Result<Vec<Value>>) -> Call {
    Call::new::<NoAttributes>(name, &["input"], &["output"], build)
}

fn apply(arguments: &mut Arguments<'_>, function: Unary) -> Result<Vec<Value>> {
    arguments.attributes::<NoAttributes>()?;
    let input = arguments.input("input")?;
    Ok(vec![arguments.add(function, &[input])?])
}

pub(super) const CALLS: &[Call] = &[
    plain("relu", |a| apply(a, Unary::Relu)),
    call::<LeakyRelu>("leaky_relu"),
    Call::op::<PRelu>("prelu", &["input", "weight"], &["output"]),
    call::<Elu>("elu"),
    plain("selu", |a| apply(a, Unary::Selu)),
    plain("silu", |a| apply(a, Unary::Silu)),
    call::<Gelu>("gelu"),
    plain("sigmoid", |a| apply(a, Unary::Sigmoid)),
    plain("tanh", |a| apply(a, Unary::Tanh)),
    call::<Softplus>("softplus"),
    plain("hardsigmoid", |a| apply(a, Unary::HardSigmoid)),
    plain("hardswish", |a| apply(a, Unary::HardSwish)),
    call::<Clamp>("clamp"),
    plain("neg", |a| apply(a, Unary::Affine { scale: -1.0, shift: 0.0 })),
    plain("exp", |a| apply(a, Unary::Exp)),
    plain("log", |a| apply(a, Unary::Log)),
    plain("sqrt", |a| apply(a, Unary::Sqrt)),
    plain("square", |a| apply(a, Unary::Square)),
    plain("abs", |a| apply(a, Unary::Abs)),
    plain("reciprocal", |a| apply(a, Unary::Reciprocal)),
    call::<Power>("pow"),
    call::<Affine>("affine"),
];

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LeakyRelu {
    negative_slope: f32,
}

impl Default for LeakyRelu {
    fn default() -> Self {
        LeakyRelu { negative_slope: 0.01 }
    }
}

impl Function for LeakyRelu {
    fn function(self) -> Result<Unary> {
        Ok(Unary::LeakyRelu { slope: self.negative_slope })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Elu {
    alpha: f32,
}

impl Default for Elu {
    fn default() -> Self {
        Elu { alpha: 1.0 }
    }
}

impl Function for Elu {
    fn function(self) -> Result<Unary> {
        Ok(Unary::Elu { alpha: self.alpha })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Gelu {
    approximate: String,
}

impl Default for Gelu {
    fn default() -> Self {
        Gelu { approximate: "none".into() }
    }
}

impl Function for Gelu {
    fn function(self) -> Result<Unary> {
        match self.approximate.as_str() {
            "none" => Ok(Unary::Gelu),
            "tanh" => Ok(Unary::GeluTanh),
            other => Err(Error::unknown("approximation of gelu", other, ["none", "tanh"])),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Softplus {
    beta: f32,
    threshold: f32,
}

impl Default for Softplus {
    fn default() -> Self {
        Softplus { beta: 1.0, threshold: 20.0 }
    }
}

impl Function for Softplus {
    fn function(self) -> Result<Unary> {
        Ok(Unary::Softplus { beta: self.beta, threshold: self.threshold })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Clamp {
    min: Option<f32>,
    max: Option<f32>,
}

impl Function for Clamp {
    fn function(self) -> Result<Unary> {
        let (min, max) = (self.min.unwrap_or(f32::MIN), self.max.unwrap_or(f32::MAX));
        Ok(Unary::Clamp { min, max })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Power {
    exponent: f32,
}

impl Default for Power {
    fn default() -> Self {
        Power { exponent: 2.0 }
    }
}

impl Function for Power {
    fn function(self) -> Result<Unary> {
        Ok(Unary::Power { exponent: self.exponent })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Affine {
    scale: f32,
    shift: f32,
}

impl Default for Affine {
    fn default() -> Self {
        Affine { scale: 1.0, shift: 0.0 }
    }
}

impl Function for Affine {
    fn function(self) -> Result<Unary> {
        Ok(Unary::Affine { scale: self.scale, shift: self.shift })
    }
}
