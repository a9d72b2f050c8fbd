//! Stochastic gradient descent with momentum.

use crate::error::{Error, Result};
use crate::ops::optim::rule::check_settings;
use crate::ops::optim::{Element, Kernel, Numbers, Part, Rule};

/// Which of the two forms of momentum [`Sgd`] computes. They differ once the learning rate changes:
/// cuda-convnet's velocity remembers steps of the old length, PyTorch's remembers gradients.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Default, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum SgdForm {
    /// `v = momentum v + (1 - dampening) (grad + weight_decay w)`, `w -= learning_rate v`, as in PyTorch.
    /// The velocity starts from 0, and the first step is not dampened.
    #[default]
    Torch,
    /// `v = momentum v - weight_decay learning_rate w - learning_rate grad`, `w += v`, as in
    /// cuda-convnet (Krizhevsky et al., 2012, section 5).
    CudaConvnet,
}

/// Stochastic gradient descent with momentum and weight decay.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// The share of the velocity that is kept; 0 for plain descent.
    pub momentum: f64,
    /// The share of the gradient that does not reach the velocity after the first step.
    pub dampening: f64,
    /// Whether the step looks ahead: `w -= learning_rate (grad + momentum v)` (Nesterov, 1983).
    pub nesterov: bool,
    /// The factor of the weight in the gradient (L2 penalty `weight_decay / 2 * |w|^2`).
    pub weight_decay: f64,
    /// The factor by which this parameter's learning rate differs from `learning_rate`, such as 2
    /// for the biases of AlexNet.
    pub learning_rate_scale: f64,
    /// The form of momentum.
    pub form: SgdForm,
}

impl Default for Sgd {
    /// Plain gradient descent.
    fn default() -> Self {
        Sgd {
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            learning_rate_scale: 1.0,
            form: SgdForm::Torch,
        }
    }
}

impl Rule for Sgd {
    const NAME: &'static str = "sgd";
    const STATES: &'static [&'static str] = &["velocity"];
    const NUMBERS: &'static [&'static str] = &["step"];

    fn reads(&self, _: usize) -> bool {
        self.dampening != 0.0
    }

    fn check(&self) -> Result<()> {
        check_settings(&[("momentum", self.momentum), ("dampening", self.dampening)], false)?;
        if self.nesterov && !(self.momentum > 0.0 && self.dampening == 0.0) {
            let remedy = "needs a momentum and no dampening";
            return Err(Error::setting("nesterov", true, remedy));
        }
        if self.form == SgdForm::CudaConvnet && (self.nesterov || self.dampening != 0.0) {
            let remedy = "has neither nesterov nor dampening; take the form `torch`";
            return Err(Error::setting("form", "cuda-convnet", remedy));
        }
        Ok(())
    }

    fn learning_rate_scale(&self) -> f64 {
        self.learning_rate_scale
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self {
        Sgd { weight_decay, learning_rate_scale, ..self }
    }

    fn reference(&self, [rate, step, _]: Numbers<f64>, e: &mut Element) {
        let (momentum, decay) = (self.momentum, self.weight_decay);
        let v = &mut e.states[0];
        if self.form == SgdForm::CudaConvnet {
            *v = momentum * *v - decay * rate * e.weight - rate * e.grad;
            e.weight += *v;
            return;
        }
        let slope = e.grad + decay * e.weight;
        let is_dampened = self.dampening != 0.0 && step > 1.0;
        let share = if is_dampened { 1.0 - self.dampening } else { 1.0 };
        *v = momentum * *v + share * slope;
        e.weight -= rate * if self.nesterov { slope + momentum * *v } else { *v };
    }

    fn cpu(&self, [rate, step, _]: Numbers<f32>, part: Part<'_>) {
        let (momentum, decay) = (self.momentum as f32, self.weight_decay as f32);
        let share = if step > 1.0 { (1.0 - self.dampening) as f32 } else { 1.0 };
        let [velocity, ..] = part.states;
        let elements = part.weight.iter_mut().zip(velocity).zip(part.grad);
        match self.form {
            SgdForm::Torch if self.nesterov => elements.for_each(|((w, v), g)| {
                let slope = g + decay * *w;
                *v = momentum * *v + slope;
                *w -= rate * (slope + momentum * *v);
            }),
            SgdForm::Torch => elements.for_each(|((w, v), g)| {
                *v = momentum * *v + share * (g + decay * *w);
                *w -= rate * *v;
            }),
            SgdForm::CudaConvnet => elements.for_each(|((w, v), g)| {
                *v = momentum * *v - rate * (g + decay * *w);
                *w += *v;
            }),
        }
    }

    fn kernel(&self) -> Kernel {
        Kernel {
            shader: crate::kernel::shader!("optim/sgd.wgsl"),
            constants: vec![
                ("CUDA_CONVNET", (self.form == SgdForm::CudaConvnet).into()),
                ("NESTEROV", self.nesterov.into()),
                ("DAMPENED", (self.dampening != 0.0).into()),
            ],
            params: vec![
                self.momentum as f32,
                (1.0 - self.dampening) as f32,
                self.weight_decay as f32,
                self.learning_rate_scale as f32,
            ],
        }
    }
}
