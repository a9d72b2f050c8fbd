//! Networks that have a name.

mod alexnet;
mod cifar_quick;
mod lenet;

pub use alexnet::{alexnet, alexnet_2014, alexnet_small};
pub use cifar_quick::cifar_quick;
pub use lenet::lenet;

use crate::error::{Error, Result};
use crate::nn::Model;

/// How a network is made from `[channels, height, width]` and a number of classes.
type Make = fn([usize; 3], usize) -> Model;

/// A network of the zoo.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// Where it is from, in a line.
    pub about: &'static str,
    /// The images and the number of classes that it was made for.
    pub home: ([usize; 3], usize),
    make: Make,
}

/// All networks, the default first.
pub const MODELS: &[Entry] = &[
    Entry {
        name: "alexnet-small",
        about: "AlexNet's layers at the size of digits and patches",
        home: ([1, 28, 28], 10),
        make: alexnet_small,
    },
    Entry {
        name: "alexnet",
        about: "Krizhevsky, Sutskever & Hinton 2012, with groups and LRN",
        home: ([3, 227, 227], 1000),
        make: alexnet,
    },
    Entry {
        name: "alexnet-2014",
        about: "the one-GPU variant of Krizhevsky 2014, without groups and LRN",
        home: ([3, 224, 224], 1000),
        make: alexnet_2014,
    },
    Entry {
        name: "lenet",
        about: "LeCun, Bottou, Bengio & Haffner 1998, with ReLU and max pooling",
        home: ([1, 28, 28], 10),
        make: lenet,
    },
    Entry {
        name: "cifar-quick",
        about: "Caffe's small network for CIFAR-10 (Krizhevsky 2012)",
        home: ([3, 32, 32], 10),
        make: cifar_quick,
    },
];

/// The network of this name for images `[channels, height, width]` and this many classes.
///
/// Errors where the name is unknown, where there are no classes, or where the images are too small
/// for the network.
pub fn build(name: &str, input: [usize; 3], classes: usize) -> Result<Model> {
    let entry = find(name)?;
    if classes == 0 {
        return Err(Error::setting("classes", 0, "must be 1 or more"));
    }
    let model = (entry.make)(input, classes);
    // A network that cannot be built says so here and not in the middle of a run.
    model.summary(1)?;
    Ok(model)
}

/// The entry of this name.
///
/// Errors where the name is unknown.
pub fn find(name: &str) -> Result<&'static Entry> {
    let entry = MODELS.iter().find(|m| m.name == name);
    entry.ok_or_else(|| Error::unknown("model", name, MODELS.iter().map(|m| m.name)))
}
