//! The ops of this folder by PyTorch's names and attributes.

use serde::{Deserialize, Serialize};

use super::{Binary, Expand, Reduce, ReduceKind};
use crate::error::{Error, Result};
use crate::ops::Value;
use crate::ops::attributes;
use crate::ops::call::{Arguments, Call, NoAttributes};
use crate::ops::elementwise::Unary;
use crate::ops::shape::axis;

pub(super) const CALLS: &[Call] = &[
    binary("add", |a| apply(a, Binary::Add)),
    binary("sub", |a| apply(a, Binary::Sub)),
    binary("mul", |a| apply(a, Binary::Mul)),
    binary("div", |a| apply(a, Binary::Div)),
    binary("maximum", |a| apply(a, Binary::Maximum)),
    binary("minimum", |a| apply(a, Binary::Minimum)),
    Call::new::<Axes>("sum", &["input"], &["output"], sum),
    Call::new::<Axes>("mean", &["input"], &["output"], mean),
    Call::new::<Axes>("amax", &["input"], &["output"], amax),
    Call::new::<Size>("expand", &["input"], &["output"], expand),
];

const fn binary(name: &'static str, build: fn(&mut Arguments<'_>) -> Result<Vec<Value>>) -> Call {
    Call::new::<NoAttributes>(name, &["input", "other"], &["output"], build)
}

fn apply(arguments: &mut Arguments<'_>, function: Binary) -> Result<Vec<Value>> {
    arguments.attributes::<NoAttributes>()?;
    let inputs = [arguments.input("input")?, arguments.input("other")?];
    Ok(vec![arguments.add(function, &inputs)?])
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Axes {
    /// The axes; none for all.
    #[serde(deserialize_with = "attributes::list")]
    dim: Vec<i64>,
    keepdim: bool,
}

/// Adds the reduction, and returns its output and the number of its terms.
fn reduce(arguments: &mut Arguments<'_>, kind: ReduceKind) -> Result<(Value, usize)> {
    let Axes { dim, keepdim } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let mut axes: Vec<_> = dim.iter().map(|&d| axis("reduce", d, &shape)).collect::<Result<_>>()?;
    axes.sort_unstable();
    if dim.is_empty() {
        axes = (0..shape.rank()).collect();
    }
    let output = arguments.add(Reduce { kind, axes, keepdim }, &[input])?;
    let outputs = arguments.ty(output).elements();
    Ok((output, shape.elements() / outputs.max(1)))
}

fn sum(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    Ok(vec![reduce(arguments, ReduceKind::Sum)?.0])
}

fn mean(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let (sum, terms) = reduce(arguments, ReduceKind::Sum)?;
    let scale = 1.0 / terms as f32;
    Ok(vec![arguments.add(Unary::Affine { scale, shift: 0.0 }, &[sum])?])
}

fn amax(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    Ok(vec![reduce(arguments, ReduceKind::Max)?.0])
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Size {
    /// The new extents; -1 for one that stays.
    size: Vec<i64>,
}

fn expand(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Size { size } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let mut dims = vec![];
    for (place, &extent) in size.iter().enumerate() {
        let own = (place + shape.rank()).checked_sub(size.len()).map(|axis| shape.dims()[axis]);
        let extent = if extent == -1 { own } else { usize::try_from(extent).ok() };
        dims.push(extent.ok_or_else(|| {
            Error::shape("expand", [&shape], format!("there is no extent for {size:?}"))
        })?);
    }
    Ok(vec![arguments.add(Expand { shape: dims.into() }, &[input])?])
}
