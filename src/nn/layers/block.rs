//! Layers made of layers.

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::Value;

/// Layers one after another, as one layer.
#[derive(Debug, Default)]
pub struct Sequential(Vec<(Option<String>, Box<dyn Layer>)>);

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// Followed by `layer`, which is named after its kind and number.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push((None, Box::new(layer)));
        self
    }

    /// Followed by `layer` under this name.
    pub fn with_named(mut self, name: &str, layer: impl Layer + 'static) -> Self {
        self.0.push((Some(name.to_owned()), Box::new(layer)));
        self
    }

    /// Builds the layers in order.
    pub(in crate::nn) fn layers(&self) -> impl Iterator<Item = (Option<&str>, &dyn Layer)> {
        self.0.iter().map(|(name, layer)| (name.as_deref(), layer.as_ref()))
    }
}

impl Layer for Sequential {
    fn kind(&self) -> &'static str {
        "block"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        self.layers().try_fold(input, |x, (name, layer)| builder.layer(name, layer, x))
    }
}
