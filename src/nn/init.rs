//! Initial values of parameters.

use crate::error::{Error, Result};
use crate::philox::{Stream, normal_pair};
use crate::tensor::{Tensor, TensorType};

/// How a parameter starts. The values depend on the seed and the parameter's name only.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one value.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform in plus or minus this bound.
    Uniform(f32),
    /// Normal with standard deviation `sqrt(2 / fan_in)`, which keeps the variance through ReLUs
    /// (He et al., 2015).
    Kaiming,
    /// Uniform in plus or minus `sqrt(6 / (fan_in + fan_out))` (Glorot & Bengio, 2010).
    Xavier,
    /// Uniform in plus or minus `1 / sqrt(fan_in)`: what PyTorch's layers start from.
    FanIn,
}

/// The first word of the streams' names, so that they meet no other use of the seed.
const STREAM: u32 = 0x1417_0001;

impl Init {
    /// A tensor of this shape for the parameter `name`. `fan_in` and `fan_out` are the numbers of
    /// inputs that feed an output and of outputs that an input feeds.
    pub fn tensor(
        self,
        ty: &TensorType,
        (fan_in, fan_out): (usize, usize),
        seed: u64,
        name: &str,
    ) -> Tensor {
        let hash = fnv1a(name);
        let mut stream = Stream::new(seed, [STREAM, hash as u32, (hash >> 32) as u32]);
        let elements = ty.elements();
        let data = match self {
            Init::Zeros => vec![0.0; elements],
            Init::Constant(value) => vec![value; elements],
            Init::Normal(deviation) => normal(&mut stream, elements, deviation),
            Init::Uniform(bound) => uniform(&mut stream, elements, bound),
            Init::Kaiming => normal(&mut stream, elements, (2.0 / fan_in as f32).sqrt()),
            Init::Xavier => {
                uniform(&mut stream, elements, (6.0 / (fan_in + fan_out) as f32).sqrt())
            }
            Init::FanIn => uniform(&mut stream, elements, 1.0 / (fan_in as f32).sqrt()),
        };
        // There are as many values as elements, so the fallback is never taken.
        Tensor::f32(ty.shape.clone(), data).unwrap_or_else(|_| Tensor::zeros(ty))
    }

    /// Errors where a standard deviation, bound or constant is not a number that makes sense.
    pub fn check(self) -> Result<()> {
        match self {
            Init::Normal(x) | Init::Uniform(x) if !(x >= 0.0 && x.is_finite()) => {
                Err(Error::setting("init", x, "must be finite and not negative"))
            }
            Init::Constant(x) if !x.is_finite() => Err(Error::setting("init", x, "must be finite")),
            _ => Ok(()),
        }
    }
}

fn normal(stream: &mut Stream, elements: usize, deviation: f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(elements + 1);
    while values.len() < elements {
        values.extend(normal_pair(stream.word(), stream.word()).map(|x| deviation * x));
    }
    values.truncate(elements);
    values
}

fn uniform(stream: &mut Stream, elements: usize, bound: f32) -> Vec<f32> {
    (0..elements).map(|_| bound * stream.signed()).collect()
}

/// The 64-bit FNV-1a hash, which turns names into streams.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(init: Init) -> (f64, f64, f32) {
        let tensor = init.tensor(&TensorType::f32([400, 100]), (100, 400), 3, "weight");
        let values = tensor.as_f32().unwrap();
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt(), values.iter().fold(0.0, |m, x| m.max(x.abs())))
    }

    #[test]
    fn distributions_have_their_moments() {
        for (init, deviation) in [
            (Init::Normal(0.01), 0.01),
            (Init::Kaiming, (2.0f64 / 100.0).sqrt()),
            (Init::Uniform(0.3), 0.3 / 3f64.sqrt()),
            (Init::Xavier, (6.0f64 / 500.0 / 3.0).sqrt()),
            (Init::FanIn, (1.0f64 / 100.0 / 3.0).sqrt()),
        ] {
            let (mean, measured, _) = moments(init);
            assert!(mean.abs() < 0.02 * deviation, "{init:?}: mean {mean}");
            assert!((measured / deviation - 1.0).abs() < 0.02, "{init:?}: deviation {measured}");
        }
        assert!(moments(Init::Uniform(0.3)).2 <= 0.3);
    }

    #[test]
    fn names_and_seeds_decide() {
        let ty = TensorType::f32([8]);
        let draw = |seed, name| Init::Normal(1.0).tensor(&ty, (1, 1), seed, name);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert!(Init::Normal(f32::NAN).check().is_err());
    }
}
