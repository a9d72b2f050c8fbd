//! Parts of data sets: validation splits, and weights against imbalance.

use std::sync::Arc;

use super::{Dataset, Picture, Skipped, Source};
use crate::error::{Error, Result};
use crate::philox::Stream;

/// Part of the streams' names, so that a split meets no other use of the seed.
const SPLIT_STREAM: u32 = 0xda7a_0003;

/// Some images of a data set, as a set of their own.
#[derive(Clone)]
pub struct Subset {
    of: Arc<dyn Dataset>,
    indices: Vec<u32>,
}

impl Subset {
    /// The images of these indices in this order.
    ///
    /// Errors where there are none or one is out of range.
    pub fn new(of: &Arc<dyn Dataset>, indices: Vec<u32>) -> Result<Self> {
        let stray = indices.iter().find(|&&index| index as usize >= of.len());
        if indices.is_empty() || stray.is_some() {
            let what = stray.map_or("no images".into(), |index| format!("image {index}"));
            return Err(Error::Usage(format!(
                "data set {}: a part with {what} was asked for, there are {} images",
                of.name(),
                of.len()
            )));
        }
        Ok(Subset { of: Arc::clone(of), indices })
    }

    fn inner(&self, index: usize) -> Result<usize> {
        self.indices.get(index).map(|&index| index as usize).ok_or_else(|| {
            let (name, count) = (self.of.name(), self.indices.len());
            Error::Usage(format!("data set {name}: image {index} of a part of {count} images"))
        })
    }
}

impl Dataset for Subset {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.of.shape()
    }

    fn classes(&self) -> &[String] {
        self.of.classes()
    }

    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<u32> {
        self.of.load(self.inner(index)?, pixels)
    }

    fn try_load(&self, index: usize, pixels: &mut [u8]) -> Result<Option<u32>> {
        self.of.try_load(self.inner(index)?, pixels)
    }

    fn picture(&self, index: usize, memory: Vec<u8>) -> Result<Option<(Picture, u32)>> {
        self.of.picture(self.inner(index)?, memory)
    }

    fn label(&self, index: usize) -> Result<u32> {
        self.of.label(self.inner(index)?)
    }

    fn is_decoding(&self) -> bool {
        self.of.is_decoding()
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.of.skipped()
    }
}

/// The labels of all images, in order.
///
/// Errors where one cannot be read.
pub fn labels(dataset: &dyn Dataset) -> Result<Vec<u32>> {
    (0..dataset.len()).map(|index| dataset.label(index)).collect()
}

/// Indices of a larger part and of a smaller one with `share` of every class, at least one image of
/// each and never all, both in ascending order. Which ones follows from `seed` and from how often a
/// class occurs.
///
/// Errors, in words, where the share is not between 0 and 1, or a class has one image only.
pub fn stratified(labels: &[u32], share: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>), String> {
    if !(share > 0.0 && share < 1.0) {
        return Err(format!("the share {share} must be between 0 and 1, as 0.1"));
    }
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let mut members = vec![vec![]; classes];
    for (index, &label) in (0u32..).zip(labels) {
        members[label as usize].push(index);
    }
    let (mut larger, mut smaller) = (vec![], vec![]);
    for (label, mut of_class) in (0u32..).zip(members) {
        match of_class.len() {
            0 => continue,
            1 => return Err(format!("class {label} has one image only")),
            count => {
                Stream::new(seed, [0, label, SPLIT_STREAM]).shuffle(&mut of_class);
                let part = ((count as f64 * share).round() as usize).clamp(1, count - 1);
                smaller.extend_from_slice(&of_class[..part]);
                larger.extend_from_slice(&of_class[part..]);
            }
        }
    }
    larger.sort_unstable();
    smaller.sort_unstable();
    Ok((larger, smaller))
}

impl Source {
    /// The source with `share` of every class of the training set in place of the test set, which
    /// stays unseen: for choosing settings. The same `seed` always takes the same images.
    ///
    /// Errors where labels cannot be read, the share is not between 0 and 1, or a class has one
    /// image only.
    pub fn with_validation(self, share: f64, seed: u64) -> Result<Source> {
        let labels = labels(&*self.train)?;
        let (train, validation) = stratified(&labels, share, seed)
            .map_err(|problem| Error::setting("validation", share, problem))?;
        let test: Arc<dyn Dataset> = Arc::new(Subset::new(&self.train, validation)?);
        let train: Arc<dyn Dataset> = Arc::new(Subset::new(&self.train, train)?);
        Ok(Source { train, test, ..self })
    }
}

/// A weight for each class, `images / (classes * images of the class)`: the rarer, the more. Their
/// mean over the images is 1. A class without images gets 0.
pub fn class_weights(labels: &[u32], classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    for &label in labels {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    let present = counts.iter().filter(|&&count| count > 0).count();
    let weight = |&count: &usize| match count {
        0 => 0.0,
        count => (labels.len() as f64 / (present as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

/// A weight for each image, that of its class: drawn by these, all classes come equally often.
pub fn balanced(labels: &[u32], classes: usize) -> Vec<f32> {
    let weights = class_weights(labels, classes);
    labels.iter().map(|&label| weights.get(label as usize).copied().unwrap_or(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    fn labels_of(counts: &[usize]) -> Vec<u32> {
        let mut labels: Vec<u32> =
            (0u32..).zip(counts).flat_map(|(label, &n)| std::iter::repeat_n(label, n)).collect();
        Stream::new(3, [0; 3]).shuffle(&mut labels);
        labels
    }

    #[test]
    fn a_split_takes_its_share_of_every_class_and_nothing_twice() {
        let labels = labels_of(&[40, 7, 0, 2]);
        let (larger, smaller) = stratified(&labels, 0.25, 5).unwrap();
        let count =
            |part: &[u32], class| part.iter().filter(|&&i| labels[i as usize] == class).count();
        assert_eq!([0, 1, 3].map(|class| count(&smaller, class)), [10, 2, 1]);
        let mut all = [larger.clone(), smaller.clone()].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..49));
        assert_eq!(stratified(&labels, 0.25, 5).unwrap(), (larger, smaller.clone()));
        assert_ne!(stratified(&labels, 0.25, 6).unwrap().1, smaller);
        for (counts, share) in [(vec![4, 1], 0.5), (vec![4, 4], 0.0), (vec![4, 4], 1.0)] {
            assert!(stratified(&labels_of(&counts), share, 1).is_err(), "{counts:?} {share}");
        }
        assert!(stratified(&labels, f64::NAN, 1).is_err());
    }

    #[test]
    fn validation_comes_from_the_training_set_alone() {
        let labels = labels_of(&[30, 20]);
        let pixels = (0..50u8).collect();
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let train = Images::new("train", [1, 1, 1], classes.clone(), pixels, labels).unwrap();
        let test = Images::new("test", [1, 1, 1], classes, vec![99], vec![0]).unwrap();
        let normalise = crate::data::Normalise::of(&train).unwrap();
        let augment = crate::data::Augment::none();
        let source = Source { train: Arc::new(train), test: Arc::new(test), normalise, augment };
        let source = source.with_validation(0.2, 0).unwrap();
        let pixels = |set: &dyn Dataset| {
            let mut pixel = [0];
            let load = |i| set.load(i, &mut pixel).map(|_| pixel[0]);
            (0..set.len()).map(load).collect::<Result<Vec<_>>>().unwrap()
        };
        let (train, validation) = (pixels(&*source.train), pixels(&*source.test));
        assert_eq!((train.len(), validation.len()), (40, 10));
        assert!(validation.iter().all(|pixel| *pixel < 50 && !train.contains(pixel)));
        assert!(source.test.load(10, &mut [0]).is_err());
    }

    #[test]
    fn class_weights_make_all_classes_equal() {
        let labels = labels_of(&[30, 10, 0]);
        let weights = class_weights(&labels, 3);
        assert_eq!(weights, [40.0 / 60.0, 2.0, 0.0]);
        let balanced = balanced(&labels, 3);
        let sum = |class| {
            let of_class = labels.iter().zip(&balanced).filter(|&(&label, _)| label == class);
            of_class.map(|(_, weight)| weight).sum::<f32>()
        };
        assert!((sum(0) - 20.0).abs() < 1e-3 && (sum(1) - 20.0).abs() < 1e-3);
    }
}
