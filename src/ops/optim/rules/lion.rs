//! Lion.

use crate::error::Result;
use crate::ops::optim::rule::check_settings;
use crate::ops::optim::{Element, Kernel, Numbers, Part, Rule};

/// Lion (Chen et al., 2023, algorithm 2): steps of one length, in the direction of a sign.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lion {
    /// The share of the mean gradient in the step, and the share of it that is kept.
    pub betas: [f64; 2],
    /// The share of the weight that a step of length 1 takes away.
    pub weight_decay: f64,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Lion { betas: [0.9, 0.99], weight_decay: 0.0, learning_rate_scale: 1.0 }
    }
}

impl Rule for Lion {
    const NAME: &'static str = "lion";
    const STATES: &'static [&'static str] = &["exp_avg"];

    fn check(&self) -> Result<()> {
        check_settings(&[("betas", self.betas[0]), ("betas", self.betas[1])], true)
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        Lion { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, [rate, ..]: Numbers<f64>, e: &mut Element) {
        let [beta1, beta2] = self.betas;
        let mean = &mut e.states[0];
        let direction = beta1 * *mean + (1.0 - beta1) * e.grad;
        let sign = if direction == 0.0 { 0.0 } else { direction.signum() };
        e.weight -= rate * (sign + self.weight_decay * e.weight);
        *mean = beta2 * *mean + (1.0 - beta2) * e.grad;
    }

    fn cpu(&self, [rate, ..]: Numbers<f32>, part: Part<'_>) {
        let [(beta1, rest1), (beta2, rest2)] = self.betas.map(|b| (b as f32, (1.0 - b) as f32));
        let decay = self.weight_decay as f32;
        let [means, ..] = part.states;
        for ((w, mean), g) in part.weight.iter_mut().zip(means).zip(part.grad) {
            let direction = beta1 * *mean + rest1 * g;
            let sign = f32::from(i8::from(direction > 0.0) - i8::from(direction < 0.0));
            *w -= rate * (sign + decay * *w);
            *mean = beta2 * *mean + rest2 * g;
        }
    }

    fn kernel(&self) -> Kernel {
        let [beta1, beta2] = self.betas;
        Kernel {
            shader: crate::kernel::shader!("optim/lion.wgsl"),
            constants: vec![],
            params: vec![
                beta1 as f32,
                (1.0 - beta1) as f32,
                beta2 as f32,
                (1.0 - beta2) as f32,
                self.weight_decay as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}
