//! Stochastic gradient descent with momentum.

use super::Optimizer;
use crate::error::{Error, Result};
use crate::graph::{Graph, Initial};
use crate::nn::{Parameter, Role};
use crate::ops::{self, Value, optim::SgdForm};

/// SGD with momentum and weight decay. See [`ops::optim::Sgd`] for the two forms of its rule.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    bias_learning_rate_scale: f32,
    decays_biases: bool,
    form: SgdForm,
}

impl Sgd {
    /// Plain gradient descent: no momentum, no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Sgd {
            learning_rate,
            momentum: 0.0,
            weight_decay: 0.0,
            bias_learning_rate_scale: 1.0,
            decays_biases: false,
            form: SgdForm::Torch,
        }
    }

    /// The share of the last step that this one keeps.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Pulls the weights, but not the biases, towards zero. See [`Sgd::decay_biases`].
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Lets weight decay pull on the biases too, as PyTorch's optimizers do unless told otherwise.
    pub fn decay_biases(mut self) -> Self {
        self.decays_biases = true;
        self
    }

    /// The biases' learning rate over the weights'; cuda-convnet and Caffe take 2.
    pub fn bias_learning_rate_scale(mut self, scale: f32) -> Self {
        self.bias_learning_rate_scale = scale;
        self
    }

    /// Which of the two common forms of the rule.
    pub fn form(mut self, form: SgdForm) -> Self {
        self.form = form;
        self
    }
}

impl Optimizer for Sgd {
    fn update(
        &self,
        graph: &mut Graph,
        parameter: &Parameter,
        gradient: Value,
        learning_rate: Value,
    ) -> Result<()> {
        let (weight_decay, learning_rate_scale) = match parameter.role {
            Role::Weight => (self.weight_decay, 1.0),
            Role::Bias if self.decays_biases => (self.weight_decay, self.bias_learning_rate_scale),
            Role::Bias => (0.0, self.bias_learning_rate_scale),
        };
        let (momentum, form) = (self.momentum, self.form);
        let op = ops::optim::Sgd { momentum, weight_decay, learning_rate_scale, form };
        let ty = graph.value(parameter.value).ty.clone();
        let velocity = graph.state(format!("velocity.{}", parameter.name), Initial::zeros(ty))?;
        let inputs = [parameter.value, velocity, gradient, learning_rate];
        let updated = graph.add_all(op, &inputs)?;
        graph.update(parameter.value, updated[0])?;
        graph.update(velocity, updated[1])
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }
}

/// Errors unless this is a learning rate that can be stepped by.
pub(crate) fn check_learning_rate(learning_rate: f32) -> Result<()> {
    if learning_rate > 0.0 && learning_rate.is_finite() {
        return Ok(());
    }
    Err(Error::setting("learning-rate", learning_rate, "must be positive and finite, as 0.01"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::session::Session;
    use crate::tensor::Tensor;

    /// A step on a parameter of 2 with a gradient of 0: only the decay moves it.
    fn moved(sgd: Sgd, role: Role) -> f32 {
        let mut graph = Graph::new();
        let value = graph.state("p", Tensor::scalar(2.0)).unwrap();
        let gradient = graph.input("gradient", Tensor::scalar(0.0).ty()).unwrap();
        let rate = graph.input("rate", Tensor::scalar(0.0).ty()).unwrap();
        let parameter = Parameter { name: "p".into(), value, role, is_trainable: true };
        sgd.update(&mut graph, &parameter, gradient, rate).unwrap();
        let mut session = Session::new(&Device::cpu());
        let mut program = session.compile(&graph).unwrap();
        let (gradient, rate) = (Tensor::scalar(0.0), Tensor::scalar(0.5));
        session.run(&mut program, &[("gradient", &gradient), ("rate", &rate)]).unwrap();
        2.0 - session.state("p").unwrap().as_f32().unwrap()[0]
    }

    #[test]
    fn decay_pulls_on_biases_only_where_it_is_told_to() {
        let sgd = Sgd::new(0.5).weight_decay(0.25);
        assert_eq!(moved(sgd, Role::Weight), 0.25);
        assert_eq!(moved(sgd, Role::Bias), 0.0);
        assert_eq!(moved(sgd.decay_biases(), Role::Weight), 0.25);
        assert_eq!(moved(sgd.decay_biases(), Role::Bias), 0.25);
    }
}
