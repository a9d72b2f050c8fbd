//! The ops of this folder by PyTorch's names and attributes.

use serde::{Deserialize, Serialize};

use super::{Concat, GatherClasses, Line, Permute, Place, Resample, Reshape, Slice};
use crate::error::{Error, Result};
use crate::ops::Value;
use crate::ops::call::{Arguments, Call};
use crate::tensor::Shape;

pub(super) const CALLS: &[Call] = &[
    Call::new::<ReshapeTo>("reshape", &["input"], &["output"], reshape),
    Call::new::<Flatten>("flatten", &["input"], &["output"], flatten),
    Call::new::<Dims>("permute", &["input"], &["output"], permute),
    Call::op::<Slice>("slice", &["input"], &["output"]),
    Call::new::<Dim>("cat", &["inputs*"], &["output"], cat),
    Call::new::<Pad>("pad", &["input"], &["output"], pad),
    Call::new::<Interpolate>("interpolate", &["input"], &["output"], interpolate),
    Call::new::<PixelShuffle>("pixel_shuffle", &["input"], &["output"], pixel_shuffle),
    Call::new::<PixelUnshuffle>("pixel_unshuffle", &["input"], &["output"], pixel_unshuffle),
    Call::op::<GatherClasses>("gather_classes", &["input", "target"], &["output"]),
];

/// The axis `dim` of a tensor of `rank` axes, counted from the end where it is negative.
///
/// Errors where there is none.
pub(crate) fn axis(op: &'static str, dim: i64, shape: &Shape) -> Result<usize> {
    let rank = shape.rank() as i64;
    let axis = if dim < 0 { dim + rank } else { dim };
    usize::try_from(axis)
        .ok()
        .filter(|&a| a < shape.rank())
        .ok_or_else(|| Error::shape(op, [shape], format!("there is no axis {dim}")))
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReshapeTo {
    /// The new extents; -1 at most once, for what is left.
    shape: Vec<i64>,
}

fn reshape(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let ReshapeTo { shape } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let given = arguments.ty(input).shape.clone();
    let known: Option<i64> =
        shape.iter().filter(|&&d| d != -1).try_fold(1, |p: i64, &d| p.checked_mul(d));
    let open = shape.iter().filter(|&&d| d == -1).count();
    let rest = match known {
        Some(known) if known > 0 && open <= 1 => given.elements() as i64 / known,
        _ => {
            let problem = format!("{shape:?} must have positive extents and -1 at most once");
            return Err(Error::shape("reshape", [&given], problem));
        }
    };
    let dims: Vec<_> = shape.iter().map(|&d| if d == -1 { rest } else { d } as usize).collect();
    Ok(vec![arguments.add(Reshape { shape: dims.into() }, &[input])?])
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Flatten {
    start_dim: i64,
    end_dim: i64,
}

impl Default for Flatten {
    fn default() -> Self {
        Flatten { start_dim: 0, end_dim: -1 }
    }
}

fn flatten(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Flatten { start_dim, end_dim } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let start = axis("flatten", start_dim, &shape)?;
    let end = axis("flatten", end_dim, &shape)?;
    let flat = Reshape::flattening(&shape, start, end)?;
    Ok(vec![arguments.add(flat, &[input])?])
}

impl Reshape {
    /// The axes `start` to `end`, both included, as one.
    ///
    /// Errors where the tensor has no such axes.
    pub fn flattening(shape: &Shape, start: usize, end: usize) -> Result<Self> {
        if start > end || end >= shape.rank() {
            let problem = format!("there are no axes {start} to {end}");
            return Err(Error::shape("flatten", [shape], problem));
        }
        let dims = shape.dims();
        let middle = [dims[start..=end].iter().product()];
        Ok(Reshape { shape: [&dims[..start], &middle, &dims[end + 1..]].concat().into() })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Dims {
    dims: Vec<i64>,
}

fn permute(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Dims { dims } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let axes = dims.iter().map(|&d| axis("permute", d, &shape)).collect::<Result<_>>()?;
    Ok(vec![arguments.add(Permute { axes }, &[input])?])
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Dim {
    dim: i64,
}

fn cat(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Dim { dim } = arguments.attributes()?;
    let inputs = arguments.list("inputs")?;
    let shape = arguments.ty(inputs[0]).shape.clone();
    let axis = axis("cat", dim, &shape)?;
    Ok(vec![arguments.add(Concat { axis }, &inputs)?])
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pad {
    /// As PyTorch has it: before and after of the last axis, then of the one before it ...
    pad: Vec<usize>,
    mode: PadMode,
    value: f32,
}

impl Default for Pad {
    fn default() -> Self {
        Pad { pad: vec![], mode: PadMode::Constant, value: 0.0 }
    }
}

/// What padding is filled with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// With one value.
    #[default]
    Constant,
    /// With what is there, mirrored.
    Reflect,
    /// With the elements at the edge, repeated.
    Replicate,
}

impl Resample {
    /// Padding of the last two axes: `[top, bottom, left, right]`. With [`PadMode::Constant`] there is
    /// [`Place`] instead.
    pub fn padding(mode: PadMode, [top, bottom, left, right]: [usize; 4]) -> Self {
        let line = |before, after| match mode {
            _ if before == 0 && after == 0 => Line::Keep,
            PadMode::Reflect => Line::Reflect { before, after },
            PadMode::Constant | PadMode::Replicate => Line::Replicate { before, after },
        };
        Resample { height: line(top, bottom), width: line(left, right) }
    }
}

fn pad(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Pad { pad, mode, value } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let wrong = |problem: &str| Err(Error::shape("pad", [&shape], problem));
    if pad.len() % 2 == 1 || pad.len() / 2 > shape.rank() {
        return wrong("pad needs two numbers an axis, the last axis' first");
    }
    if mode == PadMode::Constant {
        let mut sides = vec![[0; 2]; shape.rank()];
        let given = pad.chunks_exact(2).map(|side| [side[0], side[1]]);
        sides.iter_mut().rev().zip(given).for_each(|(s, g)| *s = g);
        return Ok(vec![arguments.add(Place::padding(&shape, &sides, value), &[input])?]);
    }
    let sides = match pad[..] {
        [left, right] => [0, 0, left, right],
        [left, right, top, bottom] => [top, bottom, left, right],
        _ => return wrong("reflect and replicate pad the last axis or the last two"),
    };
    Ok(vec![arguments.add(Resample::padding(mode, sides), &[input])?])
}

/// How [`Resample`] scales.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// The nearest input: blocks.
    #[default]
    Nearest,
    /// A mean of the four inputs around.
    Bilinear,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrTwo<T> {
    One(T),
    Two([T; 2]),
}

impl<T: Copy> OneOrTwo<T> {
    fn pair(&self) -> [T; 2] {
        match *self {
            OneOrTwo::One(both) => [both; 2],
            OneOrTwo::Two(pair) => pair,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Interpolate {
    size: Option<OneOrTwo<usize>>,
    scale_factor: Option<OneOrTwo<f64>>,
    mode: ScaleMode,
    align_corners: Option<bool>,
}

fn interpolate(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let Interpolate { size, scale_factor, mode, align_corners } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let corners = align_corners.unwrap_or(false);
    let resample = match (size, scale_factor) {
        (Some(size), None) => Resample::to_size(&shape, size.pair(), mode, corners)?,
        (None, Some(scale)) => Resample::by_factor(&shape, scale.pair(), mode, corners)?,
        _ => {
            let problem = "needs either size or scale_factor";
            return Err(Error::shape("interpolate", [&shape], problem));
        }
    };
    Ok(vec![arguments.add(resample, &[input])?])
}

impl Resample {
    /// Scales the last two axes of a tensor of this shape to `size`.
    ///
    /// Errors where it has fewer axes.
    pub fn to_size(
        shape: &Shape,
        size: [usize; 2],
        mode: ScaleMode,
        align_corners: bool,
    ) -> Result<Self> {
        let [height, width] = last_two(shape)?;
        let line = |n, outputs| match mode {
            ScaleMode::Nearest => Line::nearest(n, outputs),
            ScaleMode::Bilinear => Line::linear(n, outputs, align_corners),
        };
        Ok(Resample { height: line(height, size[0]), width: line(width, size[1]) })
    }

    /// Scales the last two axes of a tensor of this shape by `factors`, to `floor(extent * factor)`.
    /// Positions are found by the factors, as in PyTorch where `recompute_scale_factor` is not set.
    ///
    /// Errors where it has fewer axes, or a factor is not the ratio of two small numbers.
    pub fn by_factor(
        shape: &Shape,
        factors: [f64; 2],
        mode: ScaleMode,
        align_corners: bool,
    ) -> Result<Self> {
        let [height, width] = last_two(shape)?;
        let line = |n: usize, factor: f64| {
            let [a, b] = fraction(factor)?;
            // The largest whole number that is not more than n a / b.
            let (outputs, ratio) = (n.saturating_mul(a) / b, [b, a]);
            Ok::<_, Error>(match mode {
                ScaleMode::Nearest => Line::Nearest { outputs, ratio },
                ScaleMode::Bilinear => Line::Linear { outputs, ratio, align_corners },
            })
        };
        Ok(Resample { height: line(height, factors[0])?, width: line(width, factors[1])? })
    }
}

fn last_two(shape: &Shape) -> Result<[usize; 2]> {
    match shape.dims() {
        &[.., height, width] => Ok([height, width]),
        _ => Err(Error::shape("interpolate", [shape], "needs at least two axes")),
    }
}

/// A number as a fraction: the first of its convergents that is as close as makes no difference.
fn fraction(x: f64) -> Result<[usize; 2]> {
    let (mut rest, mut last, mut this) = (x, [0.0, 1.0], [1.0, 0.0]);
    for _ in 0..16 {
        let whole = rest.floor();
        (last, this) = (this, [0, 1].map(|i| whole * this[i] + last[i]));
        if this[1] > 4096.0 || !(x > 0.0 && x < 4096.0) {
            break;
        }
        if (this[0] / this[1] - x).abs() <= 1e-9 * x {
            return Ok(this.map(|f| f as usize));
        }
        rest = 1.0 / (rest - whole);
    }
    let remedy = "give a ratio of whole numbers below 4096, or a size";
    Err(Error::setting("scale_factor", x, remedy))
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PixelShuffle {
    upscale_factor: usize,
}

impl Default for PixelShuffle {
    fn default() -> Self {
        PixelShuffle { upscale_factor: 2 }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PixelUnshuffle {
    downscale_factor: usize,
}

impl Default for PixelUnshuffle {
    fn default() -> Self {
        PixelUnshuffle { downscale_factor: 2 }
    }
}

fn pixel_shuffle(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let PixelShuffle { upscale_factor } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let [apart, order, together] = shuffle(&shape, upscale_factor)?;
    rearrange(arguments, input, apart, order, together)
}

fn pixel_unshuffle(arguments: &mut Arguments<'_>) -> Result<Vec<Value>> {
    let PixelUnshuffle { downscale_factor } = arguments.attributes()?;
    let input = arguments.input("input")?;
    let shape = arguments.ty(input).shape.clone();
    let [apart, order, together] = unshuffle(&shape, downscale_factor)?;
    rearrange(arguments, input, apart, order, together)
}

fn rearrange(
    arguments: &mut Arguments<'_>,
    input: Value,
    apart: Vec<usize>,
    axes: Vec<usize>,
    together: Vec<usize>,
) -> Result<Vec<Value>> {
    let apart = arguments.add(Reshape { shape: apart.into() }, &[input])?;
    let permuted = arguments.add(Permute { axes }, &[apart])?;
    Ok(vec![arguments.add(Reshape { shape: together.into() }, &[permuted])?])
}

/// How blocks of `factor` x `factor` channels become pixels, `[n, c r^2, h, w]` to `[n, c, h r, w r]`
/// (Shi et al., 2016): the shape with the axes apart, their new order, and the shape of the result.
///
/// Errors where the shape does not allow it.
pub fn shuffle(shape: &Shape, factor: usize) -> Result<[Vec<usize>; 3]> {
    match *shape.dims() {
        [n, c, h, w] if factor.checked_pow(2).is_some_and(|f| f > 0 && c > 0 && c % f == 0) => {
            let (r, c) = (factor, c / (factor * factor));
            Ok([vec![n, c, r, r, h, w], vec![0, 1, 4, 2, 5, 3], vec![n, c, h * r, w * r]])
        }
        _ => {
            let problem = format!("needs [n, c, h, w] with c a multiple of {factor} squared");
            Err(Error::shape("pixel_shuffle", [shape], problem))
        }
    }
}

/// The inverse of [`shuffle`], `[n, c, h r, w r]` to `[n, c r^2, h, w]`.
///
/// Errors where the shape does not allow it.
pub fn unshuffle(shape: &Shape, factor: usize) -> Result<[Vec<usize>; 3]> {
    match *shape.dims() {
        [n, c, h, w] if factor > 0 && h % factor == 0 && w % factor == 0 => {
            let (r, h, w) = (factor, h / factor, w / factor);
            Ok([vec![n, c, h, r, w, r], vec![0, 1, 3, 5, 2, 4], vec![n, c * r * r, h, w]])
        }
        _ => {
            let problem = format!("needs [n, c, h, w] with h and w multiples of {factor}");
            Err(Error::shape("pixel_unshuffle", [shape], problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_become_fractions() {
        for (x, a, b) in [(2.0, 2, 1), (1.5, 3, 2), (0.7, 7, 10), (1.0 / 3.0, 1, 3), (2.3, 23, 10)]
        {
            assert_eq!(fraction(x).unwrap(), [a, b], "{x}");
        }
        for x in [0.0, -1.0, f64::NAN, f64::INFINITY, std::f64::consts::PI * 1e-7] {
            assert!(fraction(x).is_err(), "{x}");
        }
    }
}
