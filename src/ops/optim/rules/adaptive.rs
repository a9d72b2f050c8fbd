//! Rules that divide by a root mean square of the gradients: RMSprop, Adagrad, Adadelta.

use crate::error::Result;
use crate::ops::optim::rule::check_settings;
use crate::ops::optim::{Element, Kernel, Numbers, Part, Rule};

/// RMSprop (Tieleman & Hinton, 2012), as PyTorch computes it.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// The share of the mean square that is kept.
    pub alpha: f64,
    /// Added to the root.
    pub eps: f64,
    /// The factor of the weight in the gradient.
    pub weight_decay: f64,
    /// The share of the last step that is kept.
    pub momentum: f64,
    /// Whether to divide by the standard deviation in place of the root mean square (Graves, 2013).
    pub centered: bool,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp {
            alpha: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.0,
            centered: false,
            learning_rate_scale: 1.0,
        }
    }
}

impl Rule for RmsProp {
    const NAME: &'static str = "rmsprop";
    const STATES: &'static [&'static str] = &["square_avg", "momentum_buffer", "grad_avg"];

    fn keeps(&self, state: usize) -> bool {
        // A mean comes after the last step, so that those that are kept are the first.
        [true, self.momentum != 0.0 || self.centered, self.centered][state]
    }

    fn check(&self) -> Result<()> {
        check_settings(&[("alpha", self.alpha)], true)?;
        check_settings(&[("eps", self.eps), ("momentum", self.momentum)], false)
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        RmsProp { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, [rate, ..]: Numbers<f64>, e: &mut Element) {
        let grad = e.grad + self.weight_decay * e.weight;
        let [square, step, mean] = &mut e.states;
        *square = self.alpha * *square + (1.0 - self.alpha) * grad * grad;
        let mut variance = *square;
        if self.centered {
            *mean = self.alpha * *mean + (1.0 - self.alpha) * grad;
            variance -= *mean * *mean;
        }
        *step = self.momentum * *step + grad / (variance.sqrt() + self.eps);
        e.weight -= rate * *step;
    }

    fn cpu(&self, [rate, ..]: Numbers<f32>, part: Part<'_>) {
        let (alpha, rest) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        let (eps, decay) = (self.eps as f32, self.weight_decay as f32);
        let momentum = self.momentum as f32;
        let [squares, steps, means] = part.states;
        let (has_steps, has_means) = (!steps.is_empty(), !means.is_empty());
        for (i, (w, square)) in part.weight.iter_mut().zip(squares).enumerate() {
            let g = part.grad[i] + decay * *w;
            *square = alpha * *square + rest * g * g;
            let mut variance = *square;
            if has_means {
                means[i] = alpha * means[i] + rest * g;
                // Rounding may take it below 0.
                variance = (variance - means[i] * means[i]).max(0.0);
            }
            let mut step = g / (variance.sqrt() + eps);
            if has_steps {
                step += momentum * steps[i];
                steps[i] = step;
            }
            *w -= rate * step;
        }
    }

    fn kernel(&self) -> Kernel {
        Kernel {
            shader: crate::kernel::shader!("optim/rmsprop.wgsl"),
            constants: vec![("MOMENTUM", self.keeps(1).into()), ("CENTERED", self.centered.into())],
            params: vec![
                self.alpha as f32,
                (1.0 - self.alpha) as f32,
                self.eps as f32,
                self.weight_decay as f32,
                self.momentum as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}

/// Adagrad (Duchi et al., 2011), as PyTorch computes it.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// How fast the learning rate falls: it is divided by `1 + (step - 1) lr_decay`.
    pub lr_decay: f64,
    /// Added to the root.
    pub eps: f64,
    /// The factor of the weight in the gradient.
    pub weight_decay: f64,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Adagrad { lr_decay: 0.0, eps: 1e-10, weight_decay: 0.0, learning_rate_scale: 1.0 }
    }
}

impl Rule for Adagrad {
    const NAME: &'static str = "adagrad";
    const STATES: &'static [&'static str] = &["state_sum"];
    const NUMBERS: &'static [&'static str] = &["step"];

    fn reads(&self, _: usize) -> bool {
        self.lr_decay != 0.0
    }

    fn check(&self) -> Result<()> {
        check_settings(&[("lr_decay", self.lr_decay), ("eps", self.eps)], false)
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        Adagrad { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, [rate, step, _]: Numbers<f64>, e: &mut Element) {
        let rate =
            if self.lr_decay == 0.0 { rate } else { rate / (1.0 + (step - 1.0) * self.lr_decay) };
        let grad = e.grad + self.weight_decay * e.weight;
        e.states[0] += grad * grad;
        e.weight -= rate * grad / (e.states[0].sqrt() + self.eps);
    }

    fn cpu(&self, [rate, step, _]: Numbers<f32>, part: Part<'_>) {
        let fallen = 1.0 + (step.max(1.0) - 1.0) * self.lr_decay as f32;
        let (rate, eps, decay) = (rate / fallen, self.eps as f32, self.weight_decay as f32);
        let [sums, ..] = part.states;
        for ((w, sum), g) in part.weight.iter_mut().zip(sums).zip(part.grad) {
            let g = g + decay * *w;
            *sum += g * g;
            *w -= rate * g / (sum.sqrt() + eps);
        }
    }

    fn kernel(&self) -> Kernel {
        Kernel {
            shader: crate::kernel::shader!("optim/adagrad.wgsl"),
            constants: vec![("FALLING", (self.lr_decay != 0.0).into())],
            params: vec![
                self.lr_decay as f32,
                self.eps as f32,
                self.weight_decay as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}

/// Adadelta (Zeiler, 2012).
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adadelta {
    /// The share of the mean squares that is kept.
    pub rho: f64,
    /// Added to both mean squares.
    pub eps: f64,
    /// The factor of the weight in the gradient.
    pub weight_decay: f64,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Adadelta { rho: 0.9, eps: 1e-6, weight_decay: 0.0, learning_rate_scale: 1.0 }
    }
}

impl Rule for Adadelta {
    const NAME: &'static str = "adadelta";
    const STATES: &'static [&'static str] = &["square_avg", "acc_delta"];

    fn check(&self) -> Result<()> {
        check_settings(&[("rho", self.rho)], true)?;
        check_settings(&[("eps", self.eps)], false)
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        Adadelta { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, [rate, ..]: Numbers<f64>, e: &mut Element) {
        let grad = e.grad + self.weight_decay * e.weight;
        let [square, deltas, _] = &mut e.states;
        *square = self.rho * *square + (1.0 - self.rho) * grad * grad;
        let delta = ((*deltas + self.eps) / (*square + self.eps)).sqrt() * grad;
        *deltas = self.rho * *deltas + (1.0 - self.rho) * delta * delta;
        e.weight -= rate * delta;
    }

    fn cpu(&self, [rate, ..]: Numbers<f32>, part: Part<'_>) {
        let (rho, rest) = (self.rho as f32, (1.0 - self.rho) as f32);
        let (eps, decay) = (self.eps as f32, self.weight_decay as f32);
        let [squares, deltas, _] = part.states;
        let elements = part.weight.iter_mut().zip(squares).zip(deltas).zip(part.grad);
        for (((w, square), deltas), g) in elements {
            let g = g + decay * *w;
            *square = rho * *square + rest * g * g;
            let delta = (*deltas + eps).sqrt() / (*square + eps).sqrt() * g;
            *deltas = rho * *deltas + rest * delta * delta;
            *w -= rate * delta;
        }
    }

    fn kernel(&self) -> Kernel {
        Kernel {
            shader: crate::kernel::shader!("optim/adadelta.wgsl"),
            constants: vec![],
            params: vec![
                self.rho as f32,
                (1.0 - self.rho) as f32,
                self.eps as f32,
                self.weight_decay as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}
