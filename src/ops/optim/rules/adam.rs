//! Adam, and Adam with weight decay of its own.

use crate::error::Result;
use crate::ops::optim::rule::check_settings;
use crate::ops::optim::{Element, Kernel, Numbers, Part, Rule};

/// Adam (Kingma & Ba, 2015), with weight decay as part of the gradient.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// The shares of the mean gradient and of its mean square that are kept.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// The factor of the weight in the gradient.
    pub weight_decay: f64,
    /// Whether to divide by the largest mean square so far (Reddi et al., 2018).
    pub amsgrad: bool,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam {
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: false,
            learning_rate_scale: 1.0,
        }
    }
}

/// Adam whose weight decay acts on the weight alone, `w *= 1 - learning_rate weight_decay`
/// (Loshchilov & Hutter, 2019).
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// The shares of the mean gradient and of its mean square that are kept.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// The share of the weight that a step of length 1 takes away.
    pub weight_decay: f64,
    /// Whether to divide by the largest mean square so far (Reddi et al., 2018).
    pub amsgrad: bool,
    /// The factor by which this parameter's learning rate differs from `learning_rate`.
    pub learning_rate_scale: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { betas, eps, amsgrad, learning_rate_scale, .. } = Adam::default();
        AdamW { betas, eps, weight_decay: 0.01, amsgrad, learning_rate_scale }
    }
}

impl AdamW {
    fn adam(&self) -> Adam {
        let AdamW { betas, eps, weight_decay, amsgrad, learning_rate_scale } = *self;
        Adam { betas, eps, weight_decay, amsgrad, learning_rate_scale }
    }
}

const STATES: &[&str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

impl Adam {
    fn check_with(&self) -> Result<()> {
        check_settings(&[("betas", self.betas[0]), ("betas", self.betas[1])], true)?;
        check_settings(&[("eps", self.eps)], false)
    }

    fn reference_with(&self, decoupled: bool, [rate, step, _]: Numbers<f64>, e: &mut Element) {
        let [beta1, beta2] = self.betas;
        let grad = if decoupled {
            e.weight *= 1.0 - rate * self.weight_decay;
            e.grad
        } else {
            e.grad + self.weight_decay * e.weight
        };
        let [mean, square, largest] = &mut e.states;
        *mean = beta1 * *mean + (1.0 - beta1) * grad;
        *square = beta2 * *square + (1.0 - beta2) * grad * grad;
        *largest = largest.max(*square);
        let divisor = if self.amsgrad { *largest } else { *square };
        let (mean, divisor) =
            (*mean / (1.0 - beta1.powf(step)), divisor / (1.0 - beta2.powf(step)));
        e.weight -= rate * mean / (divisor.sqrt() + self.eps);
    }

    fn cpu_with(&self, decoupled: bool, [rate, step, _]: Numbers<f32>, part: Part<'_>) {
        let [beta1, beta2] = self.betas;
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(step));
        let length = (f64::from(rate) / correction(beta1)) as f32;
        let root = (1.0 / correction(beta2).sqrt()) as f32;
        let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let (beta1, beta2, eps) = (beta1 as f32, beta2 as f32, self.eps as f32);
        let decay = self.weight_decay as f32;
        let (coupled, kept) = if decoupled { (0.0, 1.0 - rate * decay) } else { (decay, 1.0) };
        let [means, squares, largest] = part.states;
        let elements = part.weight.iter_mut().zip(means).zip(squares).zip(part.grad);
        let moments = |w: f32, m: &mut f32, v: &mut f32, g: f32| {
            let g = g + coupled * w;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
        };
        if self.amsgrad {
            elements.zip(largest).for_each(|((((w, m), v), &g), largest)| {
                moments(*w, m, v, g);
                *largest = largest.max(*v);
                *w = kept * *w - length * *m / (largest.sqrt() * root + eps);
            });
        } else {
            elements.for_each(|(((w, m), v), &g)| {
                moments(*w, m, v, g);
                *w = kept * *w - length * *m / (v.sqrt() * root + eps);
            });
        }
    }

    fn kernel_with(&self, decoupled: bool) -> Kernel {
        let [beta1, beta2] = self.betas;
        // exp of it is 0, as it is of the logarithm of 0.
        let log = |beta: f64| beta.ln().max(-1e30) as f32;
        Kernel {
            shader: crate::kernel::shader!("optim/adam.wgsl"),
            constants: vec![("DECOUPLED", decoupled.into()), ("AMSGRAD", self.amsgrad.into())],
            params: vec![
                beta1 as f32,
                (1.0 - beta1) as f32,
                log(beta1),
                beta2 as f32,
                (1.0 - beta2) as f32,
                log(beta2),
                self.eps as f32,
                self.weight_decay as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}

impl Rule for Adam {
    const NAME: &'static str = "adam";
    const STATES: &'static [&'static str] = STATES;
    const NUMBERS: &'static [&'static str] = &["step"];

    fn keeps(&self, state: usize) -> bool {
        state < 2 || self.amsgrad
    }

    fn check(&self) -> Result<()> {
        self.check_with()
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        Adam { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, numbers: Numbers<f64>, element: &mut Element) {
        self.reference_with(false, numbers, element);
    }

    fn cpu(&self, numbers: Numbers<f32>, part: Part<'_>) {
        self.cpu_with(false, numbers, part);
    }

    fn kernel(&self) -> Kernel {
        self.kernel_with(false)
    }
}

impl Rule for AdamW {
    const NAME: &'static str = "adamw";
    const STATES: &'static [&'static str] = STATES;
    const NUMBERS: &'static [&'static str] = &["step"];

    fn keeps(&self, state: usize) -> bool {
        state < 2 || self.amsgrad
    }

    fn check(&self) -> Result<()> {
        self.adam().check_with()
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        AdamW { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, numbers: Numbers<f64>, element: &mut Element) {
        self.adam().reference_with(true, numbers, element);
    }

    fn cpu(&self, numbers: Numbers<f32>, part: Part<'_>) {
        self.adam().cpu_with(true, numbers, part);
    }

    fn kernel(&self) -> Kernel {
        self.adam().kernel_with(true)
    }
}
