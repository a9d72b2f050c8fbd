//! A data set in memory.

use super::{Dataset, check_load};
use crate::error::{Error, Result};

/// Labelled images in memory, a byte a pixel and channel.
#[derive(Clone, Debug)]
pub struct Images {
    name: String,
    shape: [usize; 3],
    classes: Vec<String>,
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Images {
    /// Images of `shape` `[channels, height, width]`, one after another in `pixels`, with their
    /// `labels`, each an index into `classes`.
    ///
    /// Errors where there is no image, an extent is zero, `pixels` does not hold exactly the images
    /// that `labels` calls for, or a label is no class.
    pub fn new(
        name: impl Into<String>,
        shape: [usize; 3],
        classes: Vec<String>,
        pixels: Vec<u8>,
        labels: Vec<u32>,
    ) -> Result<Self> {
        let name = name.into();
        let fault = |problem: String| Err(Error::Usage(format!("data set {name}: {problem}")));
        if labels.is_empty() || shape.contains(&0) {
            return fault(format!("{} images of {shape:?}: neither may be zero", labels.len()));
        }
        let expected = shape.iter().try_fold(labels.len(), |n, &extent| n.checked_mul(extent));
        if expected != Some(pixels.len()) {
            return fault(format!(
                "{} labels need as many images of {shape:?} bytes, {} bytes were given",
                labels.len(),
                pixels.len()
            ));
        }
        if let Some(at) = labels.iter().position(|&label| label as usize >= classes.len()) {
            return fault(format!(
                "label {} at index {at} is out of range; there are {} classes, from 0",
                labels[at],
                classes.len()
            ));
        }
        Ok(Images { name, shape, classes, pixels, labels })
    }

    /// The labels in order.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// All images, one after another.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

impl Dataset for Images {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<u32> {
        check_load(self, index, pixels)?;
        let size = pixels.len();
        pixels.copy_from_slice(&self.pixels[index * size..][..size]);
        Ok(self.labels[index])
    }

    fn label(&self, index: usize) -> Result<u32> {
        let missing = || Error::Usage(format!("data set {}: there is no image {index}", self.name));
        self.labels.get(index).copied().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(count: usize) -> Vec<String> {
        (0..count).map(|c| format!("class {c}")).collect()
    }

    #[test]
    fn loads_each_image_with_its_label() {
        let pixels: Vec<u8> = (0..2 * 3 * 4 * 5).map(|i| (i * 37 % 251) as u8).collect();
        let images = Images::new("two", [3, 4, 5], classes(7), pixels.clone(), vec![6, 2]).unwrap();
        let mut image = vec![0; 60];
        assert_eq!(images.load(1, &mut image).unwrap(), 2);
        assert_eq!(image, pixels[60..]);
        assert_eq!(images.load(0, &mut image).unwrap(), 6);
        assert_eq!(image, pixels[..60]);
        assert!(images.load(2, &mut image).unwrap_err().to_string().contains("image 2"));
        assert!(images.load(0, &mut image[1..]).unwrap_err().to_string().contains("59 bytes"));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let error = |shape, pixels, labels| {
            Images::new("bad", shape, classes(3), vec![9; pixels], labels).unwrap_err().to_string()
        };
        let label = error([1, 2, 2], 12, vec![0, 2, 3]);
        assert!(label.contains("label 3 at index 2") && label.contains("3 classes"), "{label}");
        assert!(error([1, 2, 2], 11, vec![0, 2, 1]).contains("11 bytes"));
        assert!(error([1, 2, 2], 0, vec![]).contains("zero"));
        assert!(error([1, 0, 2], 0, vec![1]).contains("zero"));
        assert!(error([usize::MAX, 2, 2], 0, vec![1]).contains("0 bytes"));
    }
}
