//! The experiments under `recipes/`, which the program contains.

use std::path::Path;

use super::TrainConfig;
use crate::error::Result;

/// A whole experiment: data, network, optimizer, schedule, augmentation and evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its name, as in `gabor train --config NAME`.
    pub name: &'static str,
    /// The file. The comments at its start say what was published and what has been reproduced.
    pub text: &'static str,
}

macro_rules! recipes {
    ($($name:literal)*) => {
        &[$(Recipe { name: $name, text: include_str!(concat!("../../recipes/", $name, ".toml")) }),*]
    };
}

/// All recipes, the default run first.
pub const RECIPES: &[Recipe] = recipes! {
    "alexnet-digits"
    "alexnet-photos"
    "lenet-mnist"
    "cifar-80sec"
    "cifar-18pct"
    "cifar-13pct"
    "cifar-11pct"
    "resnet18-cifar"
    "alexnet-2012"
    "alexnet-2014"
};

impl Recipe {
    /// The configuration.
    ///
    /// Errors where the file is faulty, which the tests rule out.
    pub fn config(&self) -> Result<TrainConfig> {
        TrainConfig::parse(self.text, Path::new(self.name))
    }
}

/// The names of all recipes.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RECIPES.iter().map(|recipe| recipe.name)
}

/// The recipe of this name.
pub(super) fn find(name: &str) -> Option<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.name == name)
}
