//! Layer-wise adaptive rate scaling.

use crate::error::Result;
use crate::ops::optim::rule::check_settings;
use crate::ops::optim::{Element, Kernel, Numbers, Part, Rule};

/// LARS (You et al., 2017, algorithm 1): descent with momentum whose steps are as long, against the
/// weight, in every layer. A parameter or a gradient that is all zero is stepped as by plain
/// descent: its ratio would be no number, or would never let it start.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lars {
    /// The share of the velocity that is kept.
    pub momentum: f64,
    /// The factor of the weight in the gradient.
    pub weight_decay: f64,
    /// How far a step may move a layer, as a share of the norm of its weight.
    pub trust_coefficient: f64,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for Lars {
    fn default() -> Self {
        Lars { momentum: 0.9, weight_decay: 0.0, trust_coefficient: 1e-3, learning_rate_scale: 1.0 }
    }
}

impl Lars {
    /// The ratio by which the layer's rate differs, from the sums of squares.
    fn trust(&self, weight_square: f64, grad_square: f64) -> f64 {
        let (weight, grad) = (weight_square.sqrt(), grad_square.sqrt());
        if weight > 0.0 && grad > 0.0 {
            self.trust_coefficient * weight / (grad + self.weight_decay * weight)
        } else {
            1.0
        }
    }
}

impl Rule for Lars {
    const NAME: &'static str = "lars";
    const STATES: &'static [&'static str] = &["velocity"];
    const NUMBERS: &'static [&'static str] = &["weight_square", "grad_square"];

    fn check(&self) -> Result<()> {
        let trust = ("trust_coefficient", self.trust_coefficient);
        check_settings(&[("momentum", self.momentum), trust], false)
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        Lars { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, [rate, weight_square, grad_square]: Numbers<f64>, e: &mut Element) {
        let trust = self.trust(weight_square, grad_square);
        let slope = e.grad + self.weight_decay * e.weight;
        e.states[0] = self.momentum * e.states[0] + rate * trust * slope;
        e.weight -= e.states[0];
    }

    fn cpu(&self, [rate, weight_square, grad_square]: Numbers<f32>, part: Part<'_>) {
        let trust = self.trust(weight_square.into(), grad_square.into());
        let rate = (f64::from(rate) * trust) as f32;
        let (momentum, decay) = (self.momentum as f32, self.weight_decay as f32);
        let [velocity, ..] = part.states;
        for ((w, v), g) in part.weight.iter_mut().zip(velocity).zip(part.grad) {
            *v = momentum * *v + rate * (g + decay * *w);
            *w -= *v;
        }
    }

    fn kernel(&self) -> Kernel {
        Kernel {
            shader: crate::kernel::shader!("optim/lars.wgsl"),
            constants: vec![],
            params: vec![
                self.momentum as f32,
                self.weight_decay as f32,
                self.trust_coefficient as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}
