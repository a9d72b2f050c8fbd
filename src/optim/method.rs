//! Optimizers by name, as a configuration keeps them.

use serde::de::value::MapDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Descent, Group, Optimizer};
use crate::error::{Error, Result};
use crate::ops::optim::{Adadelta, Adagrad, Adam, AdamW, Lars, Lion, RmsProp, Rule, Sgd, SgdForm};

/// Which optimizer, with the settings that only it has. Learning rate, momentum and weight decay are
/// not among them.
///
/// In TOML either its name, `optimizer = "adam"`, or a table with `name` and settings.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
#[serde(rename_all_fields = "kebab-case")]
pub enum Method {
    /// Stochastic gradient descent with momentum.
    Sgd {
        /// The share of the gradient that does not reach the velocity.
        #[serde(default)]
        dampening: f64,
        /// Whether to look ahead.
        #[serde(default)]
        nesterov: bool,
        /// PyTorch's form of momentum, or cuda-convnet's.
        #[serde(default)]
        form: SgdForm,
    },
    /// Adam.
    Adam {
        /// What the two means keep.
        #[serde(default = "betas")]
        betas: [f64; 2],
        /// Added to the divisor.
        #[serde(default = "eps")]
        eps: f64,
        /// Whether the divisor never shrinks.
        #[serde(default)]
        amsgrad: bool,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// What the two means keep.
        #[serde(default = "betas")]
        betas: [f64; 2],
        /// Added to the divisor.
        #[serde(default = "eps")]
        eps: f64,
        /// Whether the divisor never shrinks.
        #[serde(default)]
        amsgrad: bool,
    },
    /// RMSprop; it has momentum.
    RmsProp {
        /// What the mean square keeps.
        #[serde(default = "alpha")]
        alpha: f64,
        /// Added to the divisor.
        #[serde(default = "eps")]
        eps: f64,
        /// Whether to divide by the standard deviation.
        #[serde(default)]
        centered: bool,
    },
    /// Adagrad.
    Adagrad {
        /// How fast the learning rate falls.
        #[serde(default)]
        lr_decay: f64,
        /// Added to the divisor.
        #[serde(default = "adagrad_eps")]
        eps: f64,
    },
    /// Adadelta.
    Adadelta {
        /// What the mean squares keep.
        #[serde(default = "rho")]
        rho: f64,
        /// Added to the mean squares.
        #[serde(default = "adadelta_eps")]
        eps: f64,
    },
    /// Lion.
    Lion {
        /// The share of the mean in the step, and what it keeps.
        #[serde(default = "lion_betas")]
        betas: [f64; 2],
    },
    /// Layer-wise adaptive rate scaling, with momentum.
    Lars {
        /// How far a step may move a layer.
        #[serde(default = "trust")]
        trust_coefficient: f64,
    },
}

fn betas() -> [f64; 2] {
    Adam::default().betas
}

fn eps() -> f64 {
    Adam::default().eps
}

fn alpha() -> f64 {
    RmsProp::default().alpha
}

fn adagrad_eps() -> f64 {
    Adagrad::default().eps
}

fn rho() -> f64 {
    Adadelta::default().rho
}

fn adadelta_eps() -> f64 {
    Adadelta::default().eps
}

fn lion_betas() -> [f64; 2] {
    Lion::default().betas
}

fn trust() -> f64 {
    Lars::default().trust_coefficient
}

impl Default for Method {
    fn default() -> Self {
        Method::Sgd { dampening: 0.0, nesterov: false, form: SgdForm::Torch }
    }
}

impl Method {
    /// The names, as `--optimizer` takes them.
    pub const NAMES: [&str; 8] =
        ["sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "lion", "lars"];

    /// The optimizer of this name with its usual settings.
    ///
    /// Errors where there is none.
    pub fn named(name: &str) -> Result<Self> {
        if !Method::NAMES.contains(&name) {
            return Err(Error::unknown("optimizer", name, Method::NAMES));
        }
        by_name::<serde::de::value::Error>(name)
            .map_err(|e| Error::setting("optimizer", name, e.to_string()))
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        let [sgd, adam, adamw, rmsprop, adagrad, adadelta, lion, lars] = Method::NAMES;
        match self {
            Method::Sgd { .. } => sgd,
            Method::Adam { .. } => adam,
            Method::AdamW { .. } => adamw,
            Method::RmsProp { .. } => rmsprop,
            Method::Adagrad { .. } => adagrad,
            Method::Adadelta { .. } => adadelta,
            Method::Lion { .. } => lion,
            Method::Lars { .. } => lars,
        }
    }

    /// A learning rate to start from where none is given, for networks of the zoo's size.
    pub fn usual_learning_rate(&self) -> f32 {
        match self {
            Method::Sgd { .. } => 0.02,
            Method::Adam { .. } | Method::AdamW { .. } => 1e-3,
            Method::RmsProp { .. } => 1e-4,
            Method::Adagrad { .. } => 0.01,
            Method::Adadelta { .. } => 1.0,
            Method::Lion { .. } => 1e-4,
            Method::Lars { .. } => 2.0,
        }
    }

    /// Whether it has a momentum.
    pub fn has_momentum(&self) -> bool {
        matches!(self, Method::Sgd { .. } | Method::RmsProp { .. } | Method::Lars { .. })
    }

    /// The optimizer. `momentum` counts only where [it has one](Method::has_momentum).
    pub fn optimizer(
        self,
        learning_rate: f32,
        momentum: f64,
        weight_decay: f64,
        groups: &[Group],
    ) -> Box<dyn Optimizer> {
        let with = Common { learning_rate, weight_decay, groups };
        match self {
            Method::Sgd { dampening, nesterov, form } => {
                with.rule(Sgd { momentum, dampening, nesterov, form, ..Sgd::default() })
            }
            Method::Adam { betas, eps, amsgrad } => {
                with.rule(Adam { betas, eps, amsgrad, ..Adam::default() })
            }
            Method::AdamW { betas, eps, amsgrad } => {
                with.rule(AdamW { betas, eps, amsgrad, ..AdamW::default() })
            }
            Method::RmsProp { alpha, eps, centered } => {
                with.rule(RmsProp { alpha, eps, centered, momentum, ..RmsProp::default() })
            }
            Method::Adagrad { lr_decay, eps } => {
                with.rule(Adagrad { lr_decay, eps, ..Adagrad::default() })
            }
            Method::Adadelta { rho, eps } => {
                with.rule(Adadelta { rho, eps, ..Adadelta::default() })
            }
            Method::Lion { betas } => with.rule(Lion { betas, ..Lion::default() }),
            Method::Lars { trust_coefficient } => {
                with.rule(Lars { momentum, trust_coefficient, ..Lars::default() })
            }
        }
    }

    /// Reads a name or a table.
    pub fn deserialize_short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NameOrTable {
            Name(String),
            Table(toml::Table),
        }
        match NameOrTable::deserialize(deserializer)? {
            NameOrTable::Name(name) => by_name(&name),
            NameOrTable::Table(table) => {
                Method::deserialize(table).map_err(serde::de::Error::custom)
            }
        }
    }
}

/// What all optimizers have.
struct Common<'a> {
    learning_rate: f32,
    weight_decay: f64,
    groups: &'a [Group],
}

impl Common<'_> {
    fn rule<R: Rule>(&self, rule: R) -> Box<dyn Optimizer> {
        let optimizer = Descent::with(self.learning_rate, rule.tuned(self.weight_decay, 1.0));
        Box::new(self.groups.iter().cloned().fold(optimizer, Descent::group))
    }
}

fn by_name<E: serde::de::Error>(name: &str) -> Result<Method, E> {
    Method::deserialize(MapDeserializer::new(std::iter::once(("name", name))))
}
