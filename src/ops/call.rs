//! Operations by name: attributes as JSON, tensors by name.
//!
//! A [`Call`] is what a person means by an operation: one op, or a few that belong together such as a
//! loss. `gabor op`, [`call::run`](crate::call::run) and the comparison with PyTorch go through it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Emit, Op, Value};
use crate::error::{Error, Result};
use crate::tensor::TensorType;

/// An operation by name.
#[derive(Clone, Copy)]
pub struct Call {
    /// Its name, where there is one that of PyTorch's function.
    pub name: &'static str,
    /// The names of its inputs, in order. A last `?` marks one that may be absent; a last `*` marks
    /// any number of tensors `name.0`, `name.1` ...
    pub inputs: &'static [&'static str],
    /// The names of its outputs, in order.
    pub outputs: &'static [&'static str],
    /// Its attributes with their default values.
    pub attributes: fn() -> serde_json::Value,
    /// Adds it to a graph and returns its outputs.
    pub build: fn(&mut Arguments<'_>) -> Result<Vec<Value>>,
}

impl Call {
    /// A single op whose fields are the attributes and whose inputs come in the order of `inputs`.
    pub const fn op<O>(
        name: &'static str,
        inputs: &'static [&'static str],
        outputs: &'static [&'static str],
    ) -> Self
    where
        O: Op + Default + Serialize + DeserializeOwned + 'static,
    {
        Call { name, inputs, outputs, attributes: defaults::<O>, build: build_op::<O> }
    }

    /// Whatever `build` adds to the graph, with the fields of `A` as attributes.
    pub const fn new<A: Default + Serialize>(
        name: &'static str,
        inputs: &'static [&'static str],
        outputs: &'static [&'static str],
        build: fn(&mut Arguments<'_>) -> Result<Vec<Value>>,
    ) -> Self {
        Call { name, inputs, outputs, attributes: defaults::<A>, build }
    }

    /// Whether the tensor `name` is one of the inputs.
    pub fn takes(&self, name: &str) -> bool {
        self.inputs.iter().any(|input| match input.strip_suffix('*') {
            Some(list) => name
                .strip_prefix(list)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|i| i.parse::<usize>().is_ok()),
            None => input.trim_end_matches('?') == name,
        })
    }
}

/// Attributes of an operation that has none.
#[derive(Clone, Copy, Default, Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoAttributes {}

fn defaults<A: Default + Serialize>() -> serde_json::Value {
    // By way of text, so that 0.1 in single precision reads as 0.1.
    let text = serde_json::to_string(&A::default()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn build_op<O>(arguments: &mut Arguments<'_>) -> Result<Vec<Value>>
where
    O: Op + Default + Serialize + DeserializeOwned + 'static,
{
    let op: O = arguments.attributes()?;
    let inputs = arguments.in_order()?;
    arguments.add_all(op, &inputs)
}

/// What a [`Call`] is given: a graph to add to, attributes, and the values of its inputs.
pub struct Arguments<'a> {
    pub(crate) call: &'a Call,
    pub(crate) graph: &'a mut dyn Emit,
    pub(crate) attributes: &'a serde_json::Value,
    pub(crate) values: HashMap<String, Value>,
}

impl Arguments<'_> {
    /// The attributes; those that are not given have their default values where `A` says
    /// `#[serde(default)]`.
    ///
    /// Errors where one is unknown or of the wrong type.
    pub fn attributes<A: DeserializeOwned>(&self) -> Result<A> {
        A::deserialize(self.attributes)
            .map_err(|e| Error::Usage(format!("{}: attributes: {e}", self.call.name)))
    }

    /// The input of this name.
    ///
    /// Errors where it is not given.
    pub fn input(&self, name: &str) -> Result<Value> {
        self.optional(name).ok_or_else(|| {
            let (call, inputs) = (self.call.name, self.call.inputs.join(", "));
            Error::Usage(format!("{call}: needs a tensor `{name}`; its inputs are {inputs}"))
        })
    }

    /// The input of this name, where it is given.
    pub fn optional(&self, name: &str) -> Option<Value> {
        self.values.get(name).copied()
    }

    /// The inputs `name.0`, `name.1` and so on.
    ///
    /// Errors where there is none.
    pub fn list(&self, name: &str) -> Result<Vec<Value>> {
        let values: Vec<_> = (0..).map_while(|i| self.optional(&format!("{name}.{i}"))).collect();
        if values.is_empty() {
            self.input(&format!("{name}.0"))?;
        }
        Ok(values)
    }

    /// All inputs in the order of [`Call::inputs`].
    ///
    /// Errors where one is missing that another follows, or that must be there.
    pub fn in_order(&self) -> Result<Vec<Value>> {
        let mut values = vec![];
        let mut absent: Option<&str> = None;
        for &name in self.call.inputs {
            if let Some(list) = name.strip_suffix('*') {
                values.extend(self.list(list)?);
                continue;
            }
            let plain = name.trim_end_matches('?');
            match (self.optional(plain), absent) {
                (Some(value), None) => values.push(value),
                (Some(_), Some(missing)) => {
                    self.input(missing)?;
                }
                (None, _) if name.ends_with('?') => absent = Some(plain),
                (None, _) => {
                    self.input(plain)?;
                }
            }
        }
        Ok(values)
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        self.graph.value_type(value)
    }

    /// Adds an op with one output.
    ///
    /// Errors where the op refuses the inputs.
    pub fn add(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Value> {
        Ok(self.add_all(op, inputs)?[0])
    }

    /// Adds an op and returns all its outputs.
    ///
    /// Errors where the op refuses the inputs.
    pub fn add_all(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Vec<Value>> {
        self.graph.emit(Arc::new(op), inputs)
    }

    /// The graph, for helpers that add several ops.
    pub fn graph(&mut self) -> &mut dyn Emit {
        self.graph
    }
}
