//! From bytes to the network's input.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::error::{Error, Result};

/// The most images that [`Normalise::of`] reads; larger sets are sampled evenly.
const MOST_IMAGES: usize = 65_536;
/// A channel that varies less is taken as constant: one step of a byte, a hundredth part of it.
const LEAST_STD: f64 = 0.01 / 255.0;

/// Per-channel normalisation: `value = (pixel / 255 - mean[channel]) / std[channel]`.
///
/// `mean` and `std` are in units of the full range, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Values", into = "Values")]
pub struct Normalise {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalise {
    /// Normalisation by given values, one of each a channel.
    ///
    /// Errors where there are none, not as many of one as of the other, one is not finite, or a
    /// deviation is not above zero.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        if mean.is_empty() || mean.len() != std.len() {
            let given = format!("{} means, {} deviations", mean.len(), std.len());
            return Err(Error::setting("normalise", given, "give one of each for every channel"));
        }
        if let Some(bad) = mean.iter().find(|v| !v.is_finite()) {
            return Err(Error::setting("normalise.mean", bad, "must be a finite number"));
        }
        if let Some(bad) = std.iter().find(|&&v| !v.is_finite() || v <= 0.0) {
            return Err(Error::setting("normalise.std", bad, "must be a number above 0"));
        }
        Ok(Normalise { mean, std })
    }

    /// The mean and population standard deviation of every channel over all pixels of `dataset`.
    ///
    /// Sums are exact integers, so the result does not depend on the number of threads. Sets of
    /// more than 65,536 images are sampled evenly. A constant channel gets deviation 1. Errors where
    /// the set is empty or an image cannot be read.
    pub fn of(dataset: &dyn Dataset) -> Result<Self> {
        Normalise::of_sample(dataset, MOST_IMAGES)
    }

    /// [`Normalise::of`] by at most `most` images, taken evenly. Images that the data set leaves out
    /// do not count.
    ///
    /// Errors where there is no image or one cannot be read.
    pub fn of_sample(dataset: &dyn Dataset, most: usize) -> Result<Self> {
        let [channels, height, width] = dataset.shape();
        let (plane, count) = (height * width, dataset.len().min(most));
        if count == 0 || plane == 0 {
            return Err(Error::Usage(format!("data set {} is empty", dataset.name())));
        }
        let start = || (vec![0u8; channels * plane], (0u64, vec![(0u64, 0u64); channels]));
        let (images, sums) = (0..count)
            .into_par_iter()
            .try_fold(start, |(mut pixels, (mut images, mut sums)), i| -> Result<_> {
                let index = (i as u128 * dataset.len() as u128 / count as u128) as usize;
                if dataset.try_load(index, &mut pixels)?.is_none() {
                    return Ok((pixels, (images, sums)));
                }
                images += 1;
                for (channel, (sum, squares)) in pixels.chunks_exact(plane).zip(&mut sums) {
                    for &pixel in channel {
                        *sum += u64::from(pixel);
                        *squares += u64::from(pixel) * u64::from(pixel);
                    }
                }
                Ok((pixels, (images, sums)))
            })
            .map(|part| part.map(|(_, sums)| sums))
            .try_reduce(
                || (0, vec![(0, 0); channels]),
                |(m, a), (n, b)| {
                    let sums = a.iter().zip(&b).map(|(x, y)| (x.0 + y.0, x.1 + y.1));
                    Ok((m + n, sums.collect()))
                },
            )?;
        if images == 0 {
            let name = dataset.name();
            return Err(Error::Usage(format!("data set {name}: none of its images can be read")));
        }
        let n = images as f64 * plane as f64;
        let (mean, std) = sums
            .into_iter()
            .map(|(sum, squares)| {
                let mean = sum as f64 / n;
                let std = (squares as f64 / n - mean * mean).max(0.0).sqrt() / 255.0;
                let std = if std < LEAST_STD { 1.0 } else { std };
                ((mean / 255.0) as f32, std as f32)
            })
            .unzip();
        Normalise::new(mean, std)
    }

    /// The mean of every channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of every channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Normalises one image: bytes in the order channel, row, column to values in the same order.
    /// Both hold `channels * height * width` elements.
    pub fn apply(&self, pixels: &[u8], output: &mut [f32]) {
        for (value, &pixel) in output.iter_mut().zip(pixels) {
            *value = f32::from(pixel);
        }
        self.apply_in_place(output);
    }

    /// Normalises one image of pixel values in 0 to 255 in place.
    pub(super) fn apply_in_place(&self, image: &mut [f32]) {
        let plane = (image.len() / self.mean.len()).max(1);
        for (channel, (scale, offset)) in image.chunks_exact_mut(plane).zip(self.lines()) {
            for value in channel {
                *value = *value * scale + offset;
            }
        }
    }

    /// Factor and addend of every channel, for pixels of 0 to 255.
    pub(super) fn lines(&self) -> Vec<(f32, f32)> {
        let lines = self.mean.iter().zip(&self.std);
        lines.map(|(mean, std)| (1.0 / (255.0 * std), -mean / std)).collect()
    }
}

/// [`Normalise`] as it is written, before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl TryFrom<Values> for Normalise {
    type Error = Error;

    fn try_from(values: Values) -> Result<Self> {
        Normalise::new(values.mean, values.std)
    }
}

impl From<Normalise> for Values {
    fn from(normalise: Normalise) -> Self {
        Values { mean: normalise.mean, std: normalise.std }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;
    use crate::philox::Stream;

    #[test]
    fn normalised_training_set_has_mean_zero_and_deviation_one() {
        let mut random = Stream::new(5, [0; 3]);
        let (count, plane) = (37, 6 * 5);
        // The second channel is darker and flatter, the third constant.
        let mut pixels = Vec::new();
        for _ in 0..count {
            pixels.extend((0..plane).map(|_| random.below(256) as u8));
            pixels.extend((0..plane).map(|_| 20 + random.below(30) as u8));
            pixels.extend([77; 30]);
        }
        let images =
            Images::new("random", [3, 6, 5], vec!["one".into()], pixels, vec![0; count]).unwrap();
        let normalise = Normalise::of(&images).unwrap();
        let (mut sums, mut squares) = ([0f64; 3], [0f64; 3]);
        let (mut bytes, mut values) = (vec![0; 90], vec![0.0; 90]);
        for index in 0..count {
            images.load(index, &mut bytes).unwrap();
            normalise.apply(&bytes, &mut values);
            for (at, &value) in values.iter().enumerate() {
                let by_definition = (f64::from(bytes[at]) / 255.0
                    - f64::from(normalise.mean()[at / plane]))
                    / f64::from(normalise.std()[at / plane]);
                assert!((f64::from(value) - by_definition).abs() < 1e-5);
                sums[at / plane] += f64::from(value);
                squares[at / plane] += f64::from(value).powi(2);
            }
        }
        let n = (count * plane) as f64;
        for channel in 0..3 {
            assert!((sums[channel] / n).abs() < 1e-5, "{sums:?}");
        }
        assert!((squares[0] / n - 1.0).abs() < 1e-5 && (squares[1] / n - 1.0).abs() < 1e-5);
        assert_eq!(normalise.std()[2], 1.0, "a constant channel is not divided by zero");
    }

    #[test]
    fn bad_values_are_refused_also_when_read() {
        for (mean, std) in [
            (vec![], vec![]),
            (vec![0.5], vec![0.5, 0.5]),
            (vec![f32::NAN], vec![0.5]),
            (vec![0.5], vec![0.0]),
            (vec![0.5], vec![-1.0]),
            (vec![0.5], vec![f32::INFINITY]),
        ] {
            assert!(Normalise::new(mean.clone(), std.clone()).is_err(), "{mean:?} {std:?}");
        }
        let normalise = Normalise::new(vec![0.25, 0.5], vec![1.5, 2.0]).unwrap();
        let text = toml::to_string(&normalise).unwrap();
        assert_eq!(toml::from_str::<Normalise>(&text).unwrap(), normalise);
        assert!(
            toml::from_str::<Normalise>(
                "mean = [0.5]
std = [0.0]"
            )
            .is_err()
        );
        assert!(
            toml::from_str::<Normalise>(
                "mean = [0.5]
std = [1.0]
x = 1"
            )
            .is_err()
        );
    }
}
