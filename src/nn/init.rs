//! Initial values of parameters.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::philox::{Stream, normal_pair};
use crate::tensor::{Tensor, TensorType};

/// How a parameter starts. The values depend on the seed and the parameter's name only.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// All one value.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Normal with this mean and standard deviation.
    Gaussian {
        /// The mean.
        mean: f32,
        /// The standard deviation.
        deviation: f32,
    },
    /// Normal with this mean and standard deviation, drawn again outside of `low` to `high`.
    TruncatedNormal {
        /// The mean, before it is cut.
        mean: f32,
        /// The standard deviation, before it is cut.
        deviation: f32,
        /// The least value.
        low: f32,
        /// The largest value.
        high: f32,
    },
    /// Uniform in plus or minus this bound.
    Uniform(f32),
    /// Uniform from `low` to `high`.
    Between {
        /// The least value.
        low: f32,
        /// The largest value.
        high: f32,
    },
    /// Normal with standard deviation `sqrt(2 / fan_in)`, which keeps the variance through ReLUs
    /// (He et al., 2015).
    Kaiming,
    /// Uniform in plus or minus `gain sqrt(3 / fan)` (He et al., 2015).
    KaimingUniform {
        /// Which fan.
        fan: Fan,
        /// By how much the activation shrinks; see [`Nonlinearity::gain`].
        gain: f32,
    },
    /// Normal with standard deviation `gain / sqrt(fan)` (He et al., 2015).
    KaimingNormal {
        /// Which fan.
        fan: Fan,
        /// By how much the activation shrinks; see [`Nonlinearity::gain`].
        gain: f32,
    },
    /// Uniform in plus or minus `sqrt(6 / (fan_in + fan_out))` (Glorot & Bengio, 2010).
    Xavier,
    /// [`Init::Xavier`] times `gain`.
    XavierUniform {
        /// By how much the activation shrinks.
        gain: f32,
    },
    /// Normal with standard deviation `gain sqrt(2 / (fan_in + fan_out))` (Glorot & Bengio, 2010).
    XavierNormal {
        /// By how much the activation shrinks.
        gain: f32,
    },
    /// Uniform in plus or minus `1 / sqrt(fan_in)`: what PyTorch's layers start from.
    FanIn,
    /// Rows of length `gain` at right angles, or columns where there are fewer of them; a row is what
    /// feeds one output (Saxe et al., 2014). Uniform among all such.
    Orthogonal {
        /// The length.
        gain: f32,
    },
}

/// Which connections of a weight are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fan {
    /// The inputs that feed an output: keeps the variance of activations.
    In,
    /// The outputs that an input feeds: keeps the variance of gradients.
    Out,
}

/// What follows a layer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Nonlinearity {
    /// Nothing.
    Linear,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// The rectifier.
    Relu,
    /// The leaky rectifier with this slope.
    LeakyRelu(f32),
    /// The self-normalising unit.
    Selu,
}

impl Nonlinearity {
    /// The gain that makes up for what it takes from the variance; PyTorch's `calculate_gain`.
    pub fn gain(self) -> f32 {
        match self {
            Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Relu => 2f32.sqrt(),
            Nonlinearity::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
            Nonlinearity::Selu => 0.75,
        }
    }
}

/// The first word of the streams' names, so that they meet no other use of the seed.
const STREAM: u32 = 0x1417_0001;

impl Init {
    /// Normal with mean 0 and this standard deviation, drawn again beyond two of them.
    pub fn truncated_normal(deviation: f32) -> Self {
        let (low, high) = (-2.0 * deviation, 2.0 * deviation);
        Init::TruncatedNormal { mean: 0.0, deviation, low, high }
    }

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
        let fans = (fan_in + fan_out) as f32;
        let of = |fan| if fan == Fan::In { fan_in as f32 } else { fan_out as f32 };
        let data = match self {
            Init::Zeros => vec![0.0; elements],
            Init::Ones => vec![1.0; elements],
            Init::Constant(value) => vec![value; elements],
            Init::Normal(deviation) => normal(&stream, elements, deviation),
            Init::Gaussian { mean, deviation } => {
                let mut values = normal(&stream, elements, deviation);
                values.iter_mut().for_each(|x| *x += mean);
                values
            }
            Init::TruncatedNormal { mean, deviation, low, high } => {
                let bounds = ((low - mean) / deviation, (high - mean) / deviation);
                let mut draw = || mean + deviation * truncated(&mut stream, bounds);
                (0..elements).map(|_| draw().clamp(low, high)).collect()
            }
            Init::Uniform(bound) => uniform(&stream, elements, bound),
            Init::Between { low, high } => {
                (0..elements).map(|_| low + (high - low) * stream.uniform()).collect()
            }
            Init::Kaiming => normal(&stream, elements, (2.0 / fan_in as f32).sqrt()),
            Init::KaimingUniform { fan, gain } => {
                uniform(&stream, elements, gain * (3.0 / of(fan)).sqrt())
            }
            Init::KaimingNormal { fan, gain } => normal(&stream, elements, gain / of(fan).sqrt()),
            Init::Xavier => uniform(&stream, elements, (6.0 / fans).sqrt()),
            Init::XavierUniform { gain } => uniform(&stream, elements, gain * (6.0 / fans).sqrt()),
            Init::XavierNormal { gain } => normal(&stream, elements, gain * (2.0 / fans).sqrt()),
            Init::FanIn => uniform(&stream, elements, 1.0 / (fan_in as f32).sqrt()),
            Init::Orthogonal { gain } => {
                let rows = ty.dims().first().copied().unwrap_or(1).max(1);
                orthogonal(&stream, rows, elements / rows, gain)
            }
        };
        // There are as many values as elements, so the fallback is never taken.
        Tensor::f32(ty.shape.clone(), data).unwrap_or_else(|_| Tensor::zeros(ty))
    }

    /// Errors where a standard deviation, bound or constant is not a number that makes sense.
    pub fn check(self) -> Result<()> {
        match self {
            Init::Normal(x)
            | Init::Uniform(x)
            | Init::KaimingUniform { gain: x, .. }
            | Init::KaimingNormal { gain: x, .. }
            | Init::XavierUniform { gain: x }
            | Init::XavierNormal { gain: x }
            | Init::Orthogonal { gain: x }
            | Init::Gaussian { deviation: x, .. }
                if !(x >= 0.0 && x.is_finite()) =>
            {
                Err(Error::setting("init", x, "must be finite and not negative"))
            }
            Init::Constant(x) | Init::Gaussian { mean: x, .. } if !x.is_finite() => {
                Err(Error::setting("init", x, "must be finite"))
            }
            Init::Between { low, high } if !(low <= high && (high - low).is_finite()) => Err(
                Error::setting("init", format!("{low} to {high}"), "give the lower bound first"),
            ),
            Init::TruncatedNormal { mean, deviation, low, high } => {
                let is_near = low <= mean + 2.0 * deviation && high >= mean - 2.0 * deviation;
                if deviation > 0.0 && deviation.is_finite() && low < high && is_near {
                    return Ok(());
                }
                let given = format!("{mean} +- {deviation} in {low} to {high}");
                let remedy = "the bounds must be in order and reach within two standard deviations";
                Err(Error::setting("init", given, remedy))
            }
            _ => Ok(()),
        }
    }
}

/// Elements that one thread draws at a time, a whole number of blocks.
const PART: usize = 4096;

/// Values from the start of a sequence, of which each takes one word; on all cores.
fn drawn(
    stream: &Stream,
    elements: usize,
    draw: impl Fn(&mut Stream, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut values = vec![0.0; elements];
    values.par_chunks_mut(PART).enumerate().for_each(|(i, part)| {
        draw(&mut stream.from_block((i * PART / 4) as u32), part);
    });
    values
}

fn normal(stream: &Stream, elements: usize, deviation: f32) -> Vec<f32> {
    drawn(stream, elements, |stream, part| {
        for pair in part.chunks_mut(2) {
            let drawn = normal_pair(stream.word(), stream.word());
            pair.iter_mut().zip(drawn).for_each(|(value, x)| *value = deviation * x);
        }
    })
}

fn uniform(stream: &Stream, elements: usize, bound: f32) -> Vec<f32> {
    drawn(stream, elements, |stream, part| {
        part.iter_mut().for_each(|value| *value = bound * stream.signed());
    })
}

/// A standard normal value between the bounds, by rejection: from the normal distribution itself
/// where they are wide, from a uniform one where they are narrow (Robert, 1995, section 2).
fn truncated(stream: &mut Stream, (low, high): (f32, f32)) -> f32 {
    let mode = 0f32.clamp(low, high);
    loop {
        if high - low > 3.0 {
            let inside = normal_pair(stream.word(), stream.word());
            if let Some(&x) = inside.iter().find(|&&x| low <= x && x <= high) {
                return x;
            }
        } else {
            let x = low + (high - low) * stream.uniform();
            if stream.uniform() < ((mode * mode - x * x) / 2.0).exp() {
                return x;
            }
        }
    }
}

/// A random matrix `[rows, columns]` with `rows` (or `columns`, if fewer) orthogonal vectors of length
/// `gain`: normal ones, made orthonormal one after another in double precision (Gram and Schmidt), which
/// is the QR decomposition whose R has a positive diagonal.
fn orthogonal(stream: &Stream, rows: usize, columns: usize, gain: f32) -> Vec<f32> {
    /// Vectors that are taken out of all later ones at a time.
    const BLOCK: usize = 8;
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<f64> =
        normal(stream, count * length, 1.0).into_iter().map(f64::from).collect();
    for start in (0..count).step_by(BLOCK) {
        let end = (start + BLOCK).min(count);
        let (done, rest) = vectors.split_at_mut(end * length);
        let block = &mut done[start * length..];
        for i in 0..end - start {
            let (before, own) = block.split_at_mut(i * length);
            let own = &mut own[..length];
            // Twice, so that rounding leaves nothing behind.
            take_out(own, before);
            take_out(own, before);
            let scale = 1.0 / dot(own, own).sqrt().max(f64::MIN_POSITIVE);
            own.iter_mut().for_each(|x| *x *= scale);
        }
        rest.par_chunks_mut(length).for_each(|vector| take_out(vector, block));
    }
    let mut matrix = vec![0.0; rows * columns];
    for (i, vector) in vectors.chunks(length).enumerate() {
        for (j, x) in vector.iter().enumerate() {
            let place = if rows <= columns { i * columns + j } else { j * columns + i };
            matrix[place] = gain * *x as f32;
        }
    }
    matrix
}

/// Takes the directions of some orthonormal vectors out of `vector`.
fn take_out(vector: &mut [f64], orthonormal: &[f64]) {
    for q in orthonormal.chunks(vector.len()) {
        let share = dot(vector, q);
        vector.iter_mut().zip(q).for_each(|(x, q)| *x -= share * q);
    }
}

/// The inner product, in lanes that a vector unit can hold.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
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

    fn values(init: Init) -> Vec<f64> {
        init.check().unwrap();
        let tensor = init.tensor(&TensorType::f32([400, 100]), (100, 400), 3, "weight");
        tensor.as_f32().unwrap().iter().map(|&x| f64::from(x)).collect()
    }

    fn moments(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn distributions_have_their_moments() {
        let gain = Nonlinearity::LeakyRelu(0.5).gain();
        let (inside, outside) = (Fan::In, Fan::Out);
        for (init, mean, deviation) in [
            (Init::Normal(0.01), 0.0, 0.01),
            (Init::Gaussian { mean: 2.0, deviation: 0.5 }, 2.0, 0.5),
            (Init::Kaiming, 0.0, (2.0f64 / 100.0).sqrt()),
            (Init::KaimingNormal { fan: outside, gain }, 0.0, (1.6f64 / 400.0).sqrt()),
            (Init::KaimingUniform { fan: inside, gain }, 0.0, (1.6f64 / 100.0).sqrt()),
            (Init::Uniform(0.3), 0.0, 0.3 / 3f64.sqrt()),
            (Init::Between { low: -1.0, high: 3.0 }, 1.0, 2.0 / 3f64.sqrt()),
            (Init::Xavier, 0.0, (6.0f64 / 500.0 / 3.0).sqrt()),
            (Init::XavierUniform { gain: 2.0 }, 0.0, 2.0 * (6.0f64 / 500.0 / 3.0).sqrt()),
            (Init::XavierNormal { gain: 2.0 }, 0.0, 2.0 * (2.0f64 / 500.0).sqrt()),
            (Init::FanIn, 0.0, (1.0f64 / 100.0 / 3.0).sqrt()),
            // With density d and distribution D of the normal on (a, b): mean (d(a) - d(b)) / (D(b) -
            // D(a)), variance 1 + (a d(a) - b d(b)) / (D(b) - D(a)) - mean^2.
            (Init::truncated_normal(0.02), 0.0, 0.02 * 0.879_625_661_034_239_8),
            (
                Init::TruncatedNormal { mean: 1.0, deviation: 2.0, low: 2.0, high: 4.0 },
                2.0 * 0.920_644_605_222_035_6 + 1.0,
                2.0 * 0.277_384_386_623_415_7,
            ),
        ] {
            let (found, measured) = moments(&values(init));
            assert!((found - mean).abs() < 0.02 * deviation, "{init:?}: mean {found}");
            assert!((measured / deviation - 1.0).abs() < 0.02, "{init:?}: deviation {measured}");
        }
        assert!(values(Init::Uniform(0.3)).iter().all(|x| x.abs() <= f64::from(0.3f32)));
        assert!(values(Init::truncated_normal(0.5)).iter().all(|x| x.abs() <= 1.0));
        assert!(values(Init::Ones).iter().all(|&x| x == 1.0));
    }

    /// The shares of a normal distribution within one and two standard deviations.
    #[test]
    fn normal_values_are_normal() {
        for (init, scale) in
            [(Init::Normal(0.5), 0.5), (Init::XavierNormal { gain: 1.0 }, 0.004f64.sqrt())]
        {
            let values = values(init);
            for (bound, share) in [(1.0, 0.682_689), (2.0, 0.954_5)] {
                let within = values.iter().filter(|x| x.abs() < bound * scale).count() as f64;
                let found = within / values.len() as f64;
                assert!((found - share).abs() < 0.01, "{init:?}: {found} within {bound}");
            }
        }
    }

    #[test]
    fn orthogonal_rows_or_columns_are_at_right_angles() {
        for [rows, columns] in [[1, 1], [5, 5], [7, 40], [40, 7], [300, 300], [130, 257]] {
            let ty = TensorType::f32([rows, columns]);
            let tensor = Init::Orthogonal { gain: 1.5 }.tensor(&ty, (columns, rows), 2, "w");
            let matrix = tensor.as_f32().unwrap();
            let count = rows.min(columns);
            let (step, stride) = if rows <= columns { (columns, 1) } else { (1, columns) };
            for i in 0..count {
                for j in 0..=i {
                    let products = (0..rows.max(columns)).map(|k| {
                        let at = |i: usize| f64::from(matrix[i * step + k * stride]);
                        at(i) * at(j)
                    });
                    let expected = if i == j { 2.25 } else { 0.0 };
                    let found: f64 = products.sum();
                    assert!((found - expected).abs() < 2e-6, "{rows} x {columns}: {i} {j} {found}");
                }
            }
        }
        // The filters of a convolution are its rows.
        let ty = TensorType::f32([4, 3, 2, 2]);
        let filters = Init::Orthogonal { gain: 1.0 }.tensor(&ty, (12, 16), 2, "w");
        let norm: f32 = filters.as_f32().unwrap()[..12].iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-6);
    }

    /// Whatever the number of threads, the values are those of one sequence.
    #[test]
    fn parts_continue_the_sequence() {
        let mut stream = Stream::new(9, [1; 3]);
        let parallel = normal(&stream, 3 * PART + 5, 2.0);
        for pair in parallel.chunks(2) {
            let [first, second] = normal_pair(stream.word(), stream.word());
            assert_eq!(pair[0], 2.0 * first);
            assert!(pair.get(1).is_none_or(|&x| x == 2.0 * second));
        }
    }

    #[test]
    fn names_and_seeds_decide() {
        let ty = TensorType::f32([8]);
        let draw = |seed, name| Init::Normal(1.0).tensor(&ty, (1, 1), seed, name);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let cut = |low, high| Init::TruncatedNormal { mean: 0.0, deviation: 1.0, low, high };
        for init in [
            Init::Normal(f32::NAN),
            Init::Constant(f32::INFINITY),
            Init::Between { low: 1.0, high: 0.0 },
            Init::Orthogonal { gain: -1.0 },
            Init::Gaussian { mean: f32::NAN, deviation: 1.0 },
            cut(1.0, 1.0),
            cut(3.0, 4.0),
        ] {
            assert!(init.check().is_err(), "{init:?}");
        }
    }
}
