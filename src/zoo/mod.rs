//! Networks that have a name.

mod alexnet;
mod cifar_quick;
mod cuda_convnet;
mod googlenet;
mod lenet;
mod mobilenet;
mod nin;
mod resnet;
mod squeezenet;
mod vgg;

pub use alexnet::{alexnet, alexnet_2014, alexnet_small};
pub use cifar_quick::cifar_quick;
pub use cuda_convnet::{cifar_11pct, cifar_13pct, cifar_18pct, cifar_80sec};
pub use googlenet::googlenet;
pub use lenet::lenet;
pub use mobilenet::{mobilenet_v1, mobilenet_v2};
pub use nin::nin;
pub use resnet::{resnet_18, resnet_34, resnet_50};
pub use squeezenet::squeezenet;
pub use vgg::{vgg_11, vgg_16};

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

const IMAGENET: ([usize; 3], usize) = ([3, 224, 224], 1000);
const CIFAR: ([usize; 3], usize) = ([3, 32, 32], 10);
/// The crops of 24x24 pixels that cuda-convnet trained its later networks on.
const CIFAR24: ([usize; 3], usize) = ([3, 24, 24], 10);

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
    Entry {
        name: "cifar-80sec",
        about: "cuda-convnet's first network: 26 % error in 80 seconds",
        home: CIFAR,
        make: cifar_80sec,
    },
    Entry {
        name: "cifar-18pct",
        about: "cuda-convnet, with response normalisation within maps",
        home: CIFAR,
        make: cifar_18pct,
    },
    Entry {
        name: "cifar-13pct",
        about: "cuda-convnet, with locally connected layers",
        home: CIFAR24,
        make: cifar_13pct,
    },
    Entry {
        name: "cifar-11pct",
        about: "cuda-convnet, locally connected and normalised across maps",
        home: CIFAR24,
        make: cifar_11pct,
    },
    Entry {
        name: "nin",
        about: "Lin, Chen & Yan 2014: Network in Network",
        home: CIFAR,
        make: nin,
    },
    Entry {
        name: "vgg-11",
        about: "Simonyan & Zisserman 2015, configuration A",
        home: IMAGENET,
        make: vgg_11,
    },
    Entry {
        name: "vgg-16",
        about: "Simonyan & Zisserman 2015, configuration D",
        home: IMAGENET,
        make: vgg_16,
    },
    Entry {
        name: "googlenet",
        about: "Szegedy et al. 2015, with its auxiliary heads",
        home: IMAGENET,
        make: googlenet,
    },
    Entry {
        name: "squeezenet",
        about: "Iandola et al. 2016, version 1.1",
        home: IMAGENET,
        make: squeezenet,
    },
    Entry {
        name: "resnet-18",
        about: "He, Zhang, Ren & Sun 2016, two convolutions a block",
        home: IMAGENET,
        make: resnet_18,
    },
    Entry {
        name: "resnet-34",
        about: "the same with more blocks",
        home: IMAGENET,
        make: resnet_34,
    },
    Entry {
        name: "resnet-50",
        about: "the same with bottleneck blocks",
        home: IMAGENET,
        make: resnet_50,
    },
    Entry {
        name: "mobilenet-v1",
        about: "Howard et al. 2017: depthwise convolutions",
        home: IMAGENET,
        make: mobilenet_v1,
    },
    Entry {
        name: "mobilenet-v2",
        about: "Sandler et al. 2018: inverted residuals",
        home: IMAGENET,
        make: mobilenet_v2,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_published_numbers_of_parameters() {
        let published = [
            ("alexnet", 60_965_224),
            ("alexnet-2014", 61_100_840),
            ("vgg-11", 132_863_336),
            ("vgg-16", 138_357_544),
            ("resnet-18", 11_689_512),
            ("resnet-34", 21_797_672),
            ("resnet-50", 25_557_032),
            ("mobilenet-v1", 4_231_976),
            ("mobilenet-v2", 3_504_872),
            ("squeezenet", 1_235_496),
            ("googlenet", 13_378_280),
            ("nin", 966_986),
            ("cifar-80sec", 145_578),
        ];
        for (name, parameters) in published {
            let (input, classes) = find(name).unwrap().home;
            let summary = build(name, input, classes).unwrap().summary(1).unwrap();
            assert_eq!(summary.parameters, parameters, "{name}");
        }
    }

    #[test]
    fn networks_take_other_sizes_and_class_counts() {
        for entry in MODELS {
            let (input, _) = entry.home;
            for classes in [2, 17] {
                for pixels in [0, 8, 13] {
                    let [channels, height, width] = input;
                    let input = [channels + 1, height + pixels, width + 2 * pixels];
                    let model = build(entry.name, input, classes).unwrap();
                    assert_eq!(model.classes().unwrap(), classes, "{}", entry.name);
                }
            }
            assert!(build(entry.name, entry.home.0, 0).is_err());
        }
        let message = build("alexnet", [3, 32, 32], 10).unwrap_err().to_string();
        assert!(message.contains("layer `"), "{message}");
    }
}
