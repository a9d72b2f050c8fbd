//! The handwritten digits that gabor contains.

use std::path::Path;
use std::sync::Arc;

use super::idx::{self, Pair};
use super::{Augment, Normalise, Source};
use crate::error::Result;

const TRAIN_IMAGES: &[u8] = include_bytes!("../../assets/mnist5k/train-images-idx3-ubyte.gz");
const TRAIN_LABELS: &[u8] = include_bytes!("../../assets/mnist5k/train-labels-idx1-ubyte.gz");
const TEST_IMAGES: &[u8] = include_bytes!("../../assets/mnist5k/t10k-images-idx3-ubyte.gz");
const TEST_LABELS: &[u8] = include_bytes!("../../assets/mnist5k/t10k-labels-idx1-ubyte.gz");

/// 4,000 training and 1,000 test digits of MNIST, 28x28 grey, the same number of every class.
/// `assets/README.md` says where they come from.
///
/// The augmentation is what a hand may vary: a shift of up to 2 pixels, a turn of up to 10 degrees,
/// a size within 10 %.
pub(super) fn open() -> Result<Source> {
    let train = pair("train", TRAIN_IMAGES, TRAIN_LABELS)?;
    let test = pair("test", TEST_IMAGES, TEST_LABELS)?;
    let (train, test) = idx::assemble("digits", train, test)?;
    let normalise = Normalise::of(&train)?;
    Ok(Source {
        train: Arc::new(train),
        test: Arc::new(test),
        normalise,
        augment: Augment { max_shift: 2, rotate_degrees: 10.0, scale: 0.1, ..Augment::none() },
    })
}

fn pair(name: &'static str, mut images: &[u8], mut labels: &[u8]) -> Result<Pair<'static>> {
    let path = Path::new(name);
    let stored = (images.len() as u64, labels.len() as u64);
    Ok(Pair {
        images: idx::read_images(path, &mut images, stored.0)?,
        labels: idx::read_labels(path, &mut labels, stored.1)?,
        images_path: path,
        labels_path: path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn counts(dataset: &dyn Dataset) -> Vec<usize> {
        let mut counts = vec![0; dataset.classes().len()];
        let mut pixels = vec![0; 28 * 28];
        for index in 0..dataset.len() {
            counts[dataset.load(index, &mut pixels).unwrap() as usize] += 1;
            // Every digit has ink in the middle and none in the corner.
            assert!(pixels[8 * 28..20 * 28].iter().any(|&p| p > 200) && pixels[0] == 0);
        }
        counts
    }

    #[test]
    fn all_digits_are_there() {
        let source = open().unwrap();
        assert_eq!(source.train.shape(), [1, 28, 28]);
        assert_eq!(source.test.shape(), [1, 28, 28]);
        assert_eq!(source.train.classes(), source.test.classes());
        assert_eq!(source.train.classes().join(""), "0123456789");
        assert_eq!(counts(&*source.train), [400; 10]);
        assert_eq!(counts(&*source.test), [100; 10]);
        // The full MNIST has mean 0.1307 and deviation 0.3081.
        assert!((source.normalise.mean()[0] - 0.1307).abs() < 0.003, "{:?}", source.normalise);
        assert!((source.normalise.std()[0] - 0.3081).abs() < 0.003, "{:?}", source.normalise);
    }
}
