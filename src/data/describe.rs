//! What a data set holds.

use serde::Serialize;

use super::split::labels;
use super::{Dataset, Normalise, Source};
use crate::error::Result;

/// The most images whose sizes and pixels are looked at.
const MOST_IMAGES: usize = 1024;

/// What a data set holds.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// The data set's name.
    pub name: String,
    /// `[channels, height, width]` as they are loaded.
    pub shape: [usize; 3],
    /// The smallest height and the smallest width among up to 1,024 stored training images.
    pub smallest: [usize; 2],
    /// The largest height and the largest width among them.
    pub largest: [usize; 2],
    /// The mean of each channel of the training images, 0 to 1.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel of the training images, 0 to 1.
    pub std: Vec<f32>,
    /// Images to train on.
    pub train: usize,
    /// Images to test on.
    pub test: usize,
    /// Each class.
    pub classes: Vec<ClassCount>,
}

/// Images of a class.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClassCount {
    /// The class's name.
    pub name: String,
    /// Images to train on.
    pub train: usize,
    /// Images to test on.
    pub test: usize,
}

/// Describes a source. Mean and deviation are those of up to 1,024 training images where these must
/// be decoded, and of all elsewhere.
///
/// Errors where an image cannot be read.
pub fn describe(source: &Source) -> Result<Description> {
    let Source { train, test, .. } = source;
    let shape = train.shape();
    let [train_counts, test_counts] = [counts(&**train)?, counts(&**test)?];
    let classes = train.classes().iter().zip(train_counts.into_iter().zip(test_counts));
    let classes = classes
        .map(|(name, (train, test))| ClassCount { name: name.clone(), train, test })
        .collect();
    let (smallest, largest) = sizes(&**train)?;
    let normalise = match train.is_decoding() {
        true => Normalise::of_sample(&**train, MOST_IMAGES)?,
        false => Normalise::of(&**train)?,
    };
    Ok(Description {
        name: train.name().to_owned(),
        shape,
        smallest,
        largest,
        mean: normalise.mean().to_vec(),
        std: normalise.std().to_vec(),
        train: train.len(),
        test: test.len(),
        classes,
    })
}

/// Images of each class.
fn counts(dataset: &dyn Dataset) -> Result<Vec<usize>> {
    let mut counts = vec![0; dataset.classes().len()];
    for label in labels(dataset)? {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    Ok(counts)
}

/// The smallest and the largest height and width of the stored images.
fn sizes(dataset: &dyn Dataset) -> Result<([usize; 2], [usize; 2])> {
    let [_, height, width] = dataset.shape();
    if !dataset.is_decoding() {
        return Ok(([height, width], [height, width]));
    }
    let (mut smallest, mut largest) = ([usize::MAX; 2], [0; 2]);
    let count = dataset.len().min(MOST_IMAGES);
    for i in 0..count {
        let index = (i as u64 * dataset.len() as u64 / count as u64) as usize;
        let Some((picture, _)) = dataset.picture(index, vec![])? else { continue };
        let [_, height, width] = picture.shape();
        for (axis, side) in [height, width].into_iter().enumerate() {
            smallest[axis] = smallest[axis].min(side);
            largest[axis] = largest[axis].max(side);
        }
    }
    Ok((smallest, largest))
}

/// Up to `most` training images of each of the first `classes` classes, as they are loaded.
///
/// Errors where an image cannot be read.
pub fn examples(dataset: &dyn Dataset, classes: usize, most: usize) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut examples = vec![vec![]; classes.min(dataset.classes().len())];
    let mut pixels = vec![0; dataset.shape().iter().product()];
    for index in 0..dataset.len() {
        if examples.iter().all(|of_class: &Vec<Vec<u8>>| of_class.len() >= most) {
            break;
        }
        let label = dataset.label(index)? as usize;
        if examples.get(label).is_some_and(|of_class| of_class.len() < most)
            && dataset.try_load(index, &mut pixels)?.is_some()
        {
            examples[label].push(pixels.clone());
        }
    }
    Ok(examples)
}
