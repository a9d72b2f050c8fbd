//! What transforms need to know of the training set: its mean image and its principal colours.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{DrawKey, Scratch, Transform, Transforms};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::philox::{Stream, normal_pair};

/// The most images that are looked at; larger sets are sampled evenly.
const MOST_IMAGES: usize = 65_536;

/// Facts about a training set, in steps of a byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The shape of the mean image, `[channels, height, width]`.
    pub mean_shape: [usize; 3],
    /// The mean image, empty where it was not needed.
    pub mean: Vec<f32>,
    /// The principal components of the colours, each times the deviation along it, largest first.
    pub colours: Option<[[f32; 3]; 3]>,
}

impl Transforms {
    /// Finds out what the transforms need to know of `dataset`, the training set: the mean image
    /// where there is a [`Transform::SubtractMean`], the colours where there is a
    /// [`Transform::PcaColour`]. Sets of more than 65,536 images are sampled evenly.
    ///
    /// Errors where an image cannot be read, or images are not of one size where the mean is taken.
    pub fn fit(self, dataset: &dyn Dataset) -> Result<Self> {
        let mut statistics = Statistics::default();
        let place = self.list.iter().position(|t| matches!(t, Transform::SubtractMean {}));
        if let Some(place) = place {
            let before = Transforms::new(self.list[..place].to_vec())?.still();
            (statistics.mean_shape, statistics.mean) = mean_image(dataset, &before)?;
        }
        if self.list.iter().any(|t| matches!(t, Transform::PcaColour { .. })) {
            statistics.colours = Some(principal_colours(dataset)?);
        }
        Ok(self.with_statistics(statistics))
    }
}

impl Statistics {
    pub(super) fn subtract_mean(&self, values: &mut [f32], shape: [usize; 3]) -> Result<()> {
        if shape != self.mean_shape {
            let problem = match self.mean.is_empty() {
                true => "the training set's mean is not known; call `Transforms::fit`".to_owned(),
                false => format!("the mean image is {:?}, the image {shape:?}", self.mean_shape),
            };
            return Err(Error::setting("transforms", "subtract-mean", problem));
        }
        values.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
        Ok(())
    }

    /// What is added to each channel of an image.
    pub(super) fn added_colour(&self, strength: f32, random: &mut Stream) -> Result<[f32; 3]> {
        let Some(colours) = &self.colours else {
            let problem = "the training set's colours are not known; call `Transforms::fit`";
            return Err(Error::setting("transforms", "pca-colour", problem));
        };
        let [a, b] = normal_pair(random.word(), random.word());
        let [c, _] = normal_pair(random.word(), random.word());
        Ok([0, 1, 2].map(|channel| {
            let draws = [a, b, c].into_iter().zip(colours);
            draws.map(|(draw, colour)| draw * strength * colour[channel]).sum()
        }))
    }

    pub(super) fn add_colour(
        &self,
        values: &mut [f32],
        strength: f32,
        random: &mut Stream,
    ) -> Result<()> {
        let plane = (values.len() / 3).max(1);
        let added = self.added_colour(strength, random)?;
        for (values, added) in values.chunks_exact_mut(plane).zip(added) {
            values.iter_mut().for_each(|value| *value += added);
        }
        Ok(())
    }
}

/// Up to [`MOST_IMAGES`] indices of a data set, evenly.
fn sample(dataset: &dyn Dataset) -> impl IndexedParallelIterator<Item = u32> + use<> {
    let (all, count) = (dataset.len() as u64, dataset.len().min(MOST_IMAGES));
    (0..count).into_par_iter().map(move |i| (i as u64 * all / count as u64) as u32)
}

/// The mean of the images after `before`. These are whole numbers, so that the sums are exact and
/// do not depend on the number of threads.
fn mean_image(dataset: &dyn Dataset, before: &Transforms) -> Result<([usize; 3], Vec<f32>)> {
    let key = DrawKey { seed: 0, epoch: 0 };
    type Sums = Option<([usize; 3], u64, Vec<f64>)>;
    let differ = |a: [usize; 3], b: [usize; 3]| {
        let remedy =
            format!("images of {a:?} and {b:?} have no mean; crop them to one size before");
        Error::setting("transforms", "subtract-mean", remedy)
    };
    let add = |a: Sums, b: Sums| match (a, b) {
        (Some((shape, m, mut a)), Some((other, n, b))) if shape == other => {
            a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
            Ok(Some((shape, m + n, a)))
        }
        (Some((a, ..)), Some((b, ..))) => Err(differ(a, b)),
        (a, b) => Ok(a.or(b)),
    };
    let start = || (Scratch::default(), None);
    let sums = sample(dataset)
        .try_fold(start, |(mut scratch, sums): (_, Sums), index| -> Result<_> {
            let upto = before.list().len();
            let Some((shape, _)) = before.run(upto, dataset, index, key, &mut scratch)? else {
                return Ok((scratch, sums));
            };
            let (count, mut sums) = match sums {
                Some((known, ..)) if known != shape => return Err(differ(known, shape)),
                Some((_, count, sums)) => (count, sums),
                None => (0, vec![0.0; scratch.values.len()]),
            };
            let values = scratch.values.iter();
            sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
            Ok((scratch, Some((shape, count + 1, sums))))
        })
        .map(|part| part.map(|(_, sums)| sums))
        .try_reduce(|| None, add)?;
    let Some((shape, count, sums)) = sums else {
        return Err(Error::Usage(format!("data set {} has no images", dataset.name())));
    };
    Ok((shape, sums.into_iter().map(|sum| (sum / count as f64) as f32).collect()))
}

/// The principal components of the colours of all pixels of `dataset`, each times the standard
/// deviation along it in steps of a byte, largest first: the eigenvectors of the 3x3 covariance of
/// red, green and blue, times the roots of their eigenvalues. A component's largest element is
/// positive.
///
/// Sums are exact integers. Errors where the images do not have three channels, or one cannot be read.
pub fn principal_colours(dataset: &dyn Dataset) -> Result<[[f32; 3]; 3]> {
    let [channels, height, width] = dataset.shape();
    if channels != 3 {
        let remedy = format!("needs 3 channels, data set {} has {channels}", dataset.name());
        return Err(Error::setting("transforms", "pca-colour", remedy));
    }
    let plane = height * width;
    // Sums of r, g, b and of rr, rg, rb, gg, gb, bb, after the count of images.
    let start = || (vec![0u8; 3 * plane], [0u64; 10]);
    let sums = sample(dataset)
        .try_fold(start, |(mut pixels, mut sums), index| -> Result<_> {
            if dataset.try_load(index as usize, &mut pixels)?.is_none() {
                return Ok((pixels, sums));
            }
            sums[0] += 1;
            for at in 0..plane {
                let [r, g, b] = [0, 1, 2].map(|c| u64::from(pixels[c * plane + at]));
                let terms = [r, g, b, r * r, r * g, r * b, g * g, g * b, b * b];
                sums[1..].iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
            Ok((pixels, sums))
        })
        .map(|part| part.map(|(_, sums)| sums))
        .try_reduce(|| [0; 10], |a, b| Ok(std::array::from_fn(|i| a[i] + b[i])))?;
    let n = (sums[0] * plane as u64).max(1) as f64;
    let mean = [1, 2, 3].map(|i| sums[i] as f64 / n);
    let covariance = |sum: usize, a: usize, b: usize| sums[sum] as f64 / n - mean[a] * mean[b];
    let (rg, rb, gb) = (covariance(5, 0, 1), covariance(6, 0, 2), covariance(8, 1, 2));
    let matrix = [
        [covariance(4, 0, 0), rg, rb],
        [rg, covariance(7, 1, 1), gb],
        [rb, gb, covariance(9, 2, 2)],
    ];
    let (values, vectors) = eigen(matrix);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    Ok(order.map(|i| {
        let vector = vectors.map(|row| row[i]);
        let largest = vector.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let deviation = values[i].max(0.0).sqrt().copysign(largest.unwrap_or(1.0));
        vector.map(|v| (v * deviation) as f32)
    }))
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns, by Jacobi's rotations.
/// Source: Golub & Van Loan, "Matrix computations", section 8.5.
fn eigen(mut a: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    // It converges quadratically; a few sweeps are enough for three rows.
    for _ in 0..16 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q] == 0.0 {
                continue;
            }
            let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
            let cos = 1.0 / (1.0 + t * t).sqrt();
            let sin = t * cos;
            for row in &mut a {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
            let (upper, lower) = (a[p], a[q]);
            a[p] = std::array::from_fn(|k| cos * upper[k] - sin * lower[k]);
            a[q] = std::array::from_fn(|k| sin * upper[k] + cos * lower[k]);
            for row in &mut vectors {
                (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
            }
        }
    }
    ([a[0][0], a[1][1], a[2][2]], vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    #[test]
    fn colours_along_a_line_have_one_component() {
        // red = 100 + 3 t, green = 100 + t, blue = 100 - 2 t with t = -20 or 20.
        let shape = [3, 1, 2];
        let images = |pixels: Vec<u8>| {
            let labels = vec![0; pixels.len() / 6];
            Images::new("line", shape, vec!["a".into()], pixels, labels).unwrap()
        };
        let line = images(vec![40, 160, 80, 120, 140, 60]);
        let [first, second, third] = principal_colours(&line).unwrap();
        for (found, expected) in first.iter().zip([60.0, 20.0, -40.0]) {
            assert!((found - expected).abs() < 1e-3, "{first:?}");
        }
        assert!(second.iter().chain(&third).all(|v| v.abs() < 1e-2), "{second:?} {third:?}");
        let mut random = Stream::new(5, [0; 3]);
        let noise = images((0..6000).map(|_| random.below(256) as u8).collect());
        let colours = principal_colours(&noise).unwrap();
        // Independent and uniform: deviation sqrt((256^2 - 1) / 12) = 73.9 in each direction, and the
        // components are at right angles.
        for (i, colour) in colours.iter().enumerate() {
            let length = colour.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!((length - 73.9).abs() < 5.0, "{length}");
            let other: f32 = colour.iter().zip(&colours[(i + 1) % 3]).map(|(a, b)| a * b).sum();
            assert!(other.abs() < 0.1, "{other}");
        }
    }

    #[test]
    fn eigenvectors_solve_their_equation() {
        let matrix = [[4.0, 1.5, -0.5], [1.5, 3.0, 0.25], [-0.5, 0.25, 1.0]];
        let (values, vectors) = eigen(matrix);
        for i in 0..3 {
            let vector = vectors.map(|row| row[i]);
            for (row, own) in matrix.iter().zip(vector) {
                let product: f64 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
                assert!((product - values[i] * own).abs() < 1e-12);
            }
        }
    }
}
