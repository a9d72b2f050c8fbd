//! Reverse-mode differentiation: the backward pass is appended to the graph as ops of its own.

use std::sync::Arc;

use super::{Graph, Node, Origin};
use crate::error::{Error, Result};
use crate::ops::elementwise::{Add, Fill};
use crate::ops::{Backward, Emit, Value};

/// A backward rule that takes the place of an op's own: it declares the gradients of a node's inputs and
/// returns true, or returns false to leave the node to its op.
pub type Rule<'a> = &'a dyn Fn(&Node, &mut Backward<'_>) -> Result<bool>;

impl Graph {
    /// The gradients of the single value `of` with respect to each of `with_respect_to`.
    ///
    /// Errors where `of` is not a single `f32`, where it does not depend on one of the values, or
    /// where an op on the way has no gradient.
    pub fn gradients(&mut self, of: Value, with_respect_to: &[Value]) -> Result<Vec<Value>> {
        let ty = self.value(of).ty.clone();
        if ty.elements() != 1 {
            return Err(Error::Usage(format!(
                "only a single value can be differentiated, `{}` is {ty}; reduce it first",
                self.value(of).name
            )));
        }
        self.backward = true;
        let seed = self.add(Fill { value: 1.0, ty }, &[]);
        self.backward = false;
        let seed = seed?;
        self.gradients_from(&[(of, seed)], with_respect_to)
    }

    /// The gradients with respect to each of `with_respect_to`, given the gradients that arrive at
    /// some values: a vector-Jacobian product.
    ///
    /// Errors where nothing depends on one of the values, or an op on the way has no gradient.
    pub fn gradients_from(
        &mut self,
        seeds: &[(Value, Value)],
        with_respect_to: &[Value],
    ) -> Result<Vec<Value>> {
        self.gradients_by(&|_, _| Ok(false), seeds, with_respect_to)
    }

    /// [`Graph::gradients_from`], with `rule` before the ops' own: for signals that are sent backward
    /// otherwise than gradients are, such as a deconvnet's.
    ///
    /// Errors as [`Graph::gradients_from`], and where the rule does.
    pub fn gradients_by(
        &mut self,
        rule: Rule<'_>,
        seeds: &[(Value, Value)],
        with_respect_to: &[Value],
    ) -> Result<Vec<Value>> {
        let found = self.backward_pass(rule, seeds, with_respect_to)?;
        let named = found.into_iter().zip(with_respect_to).map(|(gradient, &v)| {
            gradient.ok_or_else(|| {
                let name = &self.value(v).name;
                Error::Usage(format!("the loss does not depend on `{name}`"))
            })
        });
        named.collect()
    }

    /// [`Graph::gradients_from`], with `None` for a value on which nothing depends.
    ///
    /// Errors where an op on the way has no gradient.
    pub fn gradients_that_exist(
        &mut self,
        seeds: &[(Value, Value)],
        with_respect_to: &[Value],
    ) -> Result<Vec<Option<Value>>> {
        self.backward_pass(&|_, _| Ok(false), seeds, with_respect_to)
    }

    fn backward_pass(
        &mut self,
        rule: Rule<'_>,
        seeds: &[(Value, Value)],
        with_respect_to: &[Value],
    ) -> Result<Vec<Option<Value>>> {
        let nodes = self.nodes.len();
        let wanted = self.reaches(with_respect_to);
        let mut grads: Vec<Option<Value>> = vec![None; self.values.len()];
        for &(value, seed) in seeds {
            self.accumulate(&mut grads, value, seed)?;
        }
        self.backward = true;
        let outcome =
            (0..nodes).rev().try_for_each(|n| self.backward_node(n, rule, &wanted, &mut grads));
        self.backward = false;
        outcome?;
        Ok(with_respect_to.iter().map(|v| grads[v.0]).collect())
    }

    /// For each value, whether it depends on one of `sources` along differentiable values.
    fn reaches(&self, sources: &[Value]) -> Vec<bool> {
        let mut reached = vec![false; self.values.len()];
        for v in sources {
            reached[v.0] = true;
        }
        for node in &self.nodes {
            if node.inputs.iter().any(|v| reached[v.0] && self.is_differentiable(*v)) {
                for v in &node.outputs {
                    reached[v.0] |= self.is_differentiable(*v);
                }
            }
        }
        reached
    }

    fn backward_node(
        &mut self,
        index: usize,
        rule: Rule<'_>,
        wanted: &[bool],
        grads: &mut Vec<Option<Value>>,
    ) -> Result<()> {
        let node = self.nodes[index].clone();
        let grad_outputs: Vec<_> = node.outputs.iter().map(|v| grads[v.0]).collect();
        let wanted: Vec<_> =
            node.inputs.iter().map(|v| wanted[v.0] && self.is_differentiable(*v)).collect();
        if grad_outputs.iter().all(Option::is_none) || !wanted.contains(&true) {
            return Ok(());
        }
        let outer = std::mem::replace(&mut self.layer, vec![node.layer.clone()]);
        if node.layer.is_empty() {
            self.layer.clear();
        }
        let mut context = Backward {
            graph: self,
            inputs: &node.inputs,
            outputs: &node.outputs,
            grad_outputs: &grad_outputs,
            wanted: &wanted,
            grad_inputs: vec![None; node.inputs.len()],
            constants: vec![],
        };
        let emitted = rule(&node, &mut context).and_then(|done| match done {
            true => Ok(()),
            false => node.op.backward(&mut context),
        });
        let (grad_inputs, constants) = (context.grad_inputs, context.constants);
        let outcome = emitted.map_err(|e| e.in_layer(&node.layer)).and_then(|()| {
            let inputs = node.inputs.iter().zip(grad_inputs).zip(&wanted).enumerate();
            for (i, ((&input, grad), wanted)) in inputs {
                match grad {
                    Some(grad) => self.accumulate(grads, input, grad)?,
                    None if *wanted && !constants.contains(&i) => {
                        return Err(Error::Usage(format!(
                            "{} gave no gradient for `{}`",
                            node.op.name(),
                            self.value(input).name
                        ))
                        .in_layer(&node.layer));
                    }
                    None => {}
                }
            }
            Ok(())
        });
        self.layer = outer;
        outcome
    }

    fn accumulate(
        &mut self,
        grads: &mut Vec<Option<Value>>,
        value: Value,
        grad: Value,
    ) -> Result<()> {
        let (ty, grad_ty) = (&self.values[value.0].ty, &self.values[grad.0].ty);
        if ty != grad_ty {
            let name = &self.values[value.0].name;
            return Err(Error::Usage(format!("`{name}` is {ty}, its gradient {grad_ty}")));
        }
        grads[value.0] = Some(match grads[value.0] {
            None => grad,
            Some(sum) => self.emit(Arc::new(Add), &[sum, grad])?[0],
        });
        grads.resize(self.values.len(), None);
        Ok(())
    }

    /// The parameters among the graph's states: those that `loss` depends on with a gradient.
    pub fn trainable(&self, loss: Value) -> Vec<Value> {
        let states = self.values.iter().enumerate().filter_map(|(i, info)| {
            let is_state = matches!(info.origin, Origin::State(_));
            (is_state && self.is_differentiable(Value(i))).then_some(Value(i))
        });
        states.filter(|&v| self.reaches(&[v])[loss.0]).collect()
    }
}
