//! The optimizers, made of the rules in [`crate::ops::optim`].

use super::{Group, Optimizer, step};
use crate::error::Result;
use crate::graph::{Graph, Initial};
use crate::nn::{Parameter, Role};
use crate::ops::Value;
use crate::ops::optim::{self as rules, Rule, SgdForm, SquareSum, Update};

/// An optimizer that updates each parameter by a [`Rule`], one fused op each.
///
/// Weight decay pulls on the weights but not on the biases unless [`Descent::decay_biases`] is
/// called. Its states are named after the rule's and the parameter's name: `velocity.conv1.weight`.
#[derive(Clone, Debug)]
pub struct Descent<R> {
    learning_rate: f32,
    rule: R,
    groups: Vec<Group>,
    bias_learning_rate_scale: f64,
    decays_biases: bool,
}

/// Stochastic gradient descent; plain unless told otherwise. See [`rules::Sgd`].
pub type Sgd = Descent<rules::Sgd>;
/// Adam (Kingma & Ba, 2015). See [`rules::Adam`].
pub type Adam = Descent<rules::Adam>;
/// Adam with decoupled weight decay (Loshchilov & Hutter, 2019). See [`rules::AdamW`].
pub type AdamW = Descent<rules::AdamW>;
/// RMSprop (Tieleman & Hinton, 2012). See [`rules::RmsProp`].
pub type RmsProp = Descent<rules::RmsProp>;
/// Adagrad (Duchi et al., 2011). See [`rules::Adagrad`].
pub type Adagrad = Descent<rules::Adagrad>;
/// Adadelta (Zeiler, 2012). See [`rules::Adadelta`].
pub type Adadelta = Descent<rules::Adadelta>;
/// Lion (Chen et al., 2023). See [`rules::Lion`].
pub type Lion = Descent<rules::Lion>;
/// Layer-wise adaptive rate scaling (You et al., 2017). See [`rules::Lars`].
pub type Lars = Descent<rules::Lars>;

impl<R: Rule + Default> Descent<R> {
    /// The rule with its usual settings.
    pub fn new(learning_rate: f32) -> Self {
        Descent::with(learning_rate, R::default())
    }
}

impl<R: Rule> Descent<R> {
    /// The rule with these settings.
    pub fn with(learning_rate: f32, rule: R) -> Self {
        Descent {
            learning_rate,
            rule,
            groups: vec![],
            bias_learning_rate_scale: 1.0,
            decays_biases: false,
        }
    }

    /// The rule's settings.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// Pulls the weights, but not the biases, towards zero. See [`Descent::decay_biases`].
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        let scale = self.rule.learning_rate_scale();
        self.rule = self.rule.tuned(weight_decay, scale);
        self
    }

    /// Lets weight decay pull on the biases too, as PyTorch's optimizers do unless told otherwise.
    pub fn decay_biases(mut self) -> Self {
        self.decays_biases = true;
        self
    }

    /// The biases' learning rate over the weights'; cuda-convnet and Caffe take 2.
    pub fn bias_learning_rate_scale(mut self, scale: f64) -> Self {
        self.bias_learning_rate_scale = scale;
        self
    }

    /// Updates the parameters of `group` in a way of their own. A parameter that several groups name
    /// belongs to the first.
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// The rule for this parameter.
    fn rule_for(&self, parameter: &Parameter) -> R {
        let is_weight = parameter.role == Role::Weight;
        let is_bias = parameter.role == Role::Bias;
        let decay = match is_weight || self.decays_biases {
            true => self.rule.weight_decay(),
            false => 0.0,
        };
        let bias_scale = if is_bias { self.bias_learning_rate_scale } else { 1.0 };
        let scale = self.rule.learning_rate_scale() * bias_scale;
        let group = self.groups.iter().find(|group| group.has(&parameter.name));
        let decay = group.and_then(|g| g.weight_decay).unwrap_or(decay);
        let scale = group.and_then(|g| g.learning_rate_scale).unwrap_or(scale);
        self.rule.clone().tuned(decay, scale)
    }

    fn update(
        &self,
        graph: &mut Graph,
        parameter: &Parameter,
        gradient: Value,
        learning_rate: Value,
    ) -> Result<()> {
        let op = Update(self.rule_for(parameter));
        let ty = graph.value(parameter.value).ty.clone();
        let mut inputs = vec![parameter.value];
        for state in op.states() {
            let name = format!("{state}.{}", parameter.name);
            inputs.push(graph.state(name, Initial::zeros(ty.clone()))?);
        }
        let states = inputs.clone();
        inputs.extend([gradient, learning_rate]);
        for number in op.numbers() {
            inputs.push(match number {
                "weight_square" => graph.add(SquareSum { running: false }, &[parameter.value])?,
                "grad_square" => graph.add(SquareSum { running: false }, &[gradient])?,
                _ => step(graph, learning_rate)?,
            });
        }
        let updated = graph.add_all(op, &inputs)?;
        states.into_iter().zip(updated).try_for_each(|(state, new)| graph.update(state, new))
    }
}

impl<R: Rule> Optimizer for Descent<R> {
    fn updates(
        &self,
        graph: &mut Graph,
        parameters: &[(Parameter, Value)],
        learning_rate: Value,
    ) -> Result<()> {
        parameters.iter().try_for_each(|(parameter, gradient)| {
            self.update(graph, parameter, *gradient, learning_rate)
        })
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }
}

impl Descent<rules::Sgd> {
    /// The share of the last step that this one keeps.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// The share of the gradient that does not reach the velocity.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.rule.dampening = dampening;
        self
    }

    /// Steps by the gradient that momentum leads to (Nesterov, 1983).
    pub fn nesterov(mut self) -> Self {
        self.rule.nesterov = true;
        self
    }

    /// Which of the two common forms of the rule.
    pub fn form(mut self, form: SgdForm) -> Self {
        self.rule.form = form;
        self
    }
}

impl Descent<rules::Adam> {
    /// The shares of the mean gradient and of its mean square that are kept.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.rule.betas = [beta1, beta2];
        self
    }
}

impl Descent<rules::AdamW> {
    /// The shares of the mean gradient and of its mean square that are kept.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.rule.betas = [beta1, beta2];
        self
    }
}

impl Descent<rules::Lars> {
    /// The share of the last step that this one keeps.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.rule.momentum = momentum;
        self
    }
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
        sgd.updates(&mut graph, &[(parameter, gradient)], rate).unwrap();
        let mut session = Session::new(&Device::cpu());
        let mut program = session.compile(&graph).unwrap();
        let (gradient, rate) = (Tensor::scalar(0.0), Tensor::scalar(0.5));
        session.run(&mut program, &[("gradient", &gradient), ("rate", &rate)]).unwrap();
        2.0 - session.state("p").unwrap().as_f32().unwrap()[0]
    }

    #[test]
    fn decay_pulls_on_biases_only_where_it_is_told_to() {
        let sgd = Sgd::new(0.5).weight_decay(0.25);
        assert_eq!(moved(sgd.clone(), Role::Weight), 0.25);
        assert_eq!(moved(sgd.clone(), Role::Bias), 0.0);
        assert_eq!(moved(sgd.clone().decay_biases(), Role::Weight), 0.25);
        assert_eq!(moved(sgd.decay_biases(), Role::Bias), 0.25);
    }

    #[test]
    fn the_first_group_that_names_a_parameter_decides() {
        let group = Group::new("p").learning_rate_scale(2.0).weight_decay(0.125);
        let sgd = Sgd::new(0.5).weight_decay(0.25).bias_learning_rate_scale(3.0);
        let grouped = sgd.clone().group(Group::new("q*").weight_decay(7.0)).group(group);
        assert_eq!(moved(grouped.clone(), Role::Weight), 0.25);
        assert_eq!(moved(grouped, Role::Bias), 0.25);
        let faster = sgd.group(Group::new("*").learning_rate_scale(2.0));
        assert_eq!(moved(faster, Role::Weight), 0.5);
    }
}
