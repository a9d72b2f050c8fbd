//! Networks: layers, their initial values, and the models that they form.
//!
//! A [`Model`] is a list of [`Layer`]s; a layer adds its ops to a graph. Nothing is computed here.

pub(crate) mod builder;
mod description;
mod init;
mod layers;
mod model;

pub use builder::{Auxiliary, Builder, BuiltLayer, Mode, Parameter, Role};
pub use description::{Classes, Described, Description, LayerEntry, Outputs};
pub use init::{Fan, Init, Nonlinearity};
pub use layers::*;
pub use model::{Forward, LayerSummary, Model, Summary};

use crate::error::Result;
use crate::ops::Value;

/// A part of a network: it adds its ops to the graph under construction.
///
/// Implement it to write a layer of your own; `examples/custom_layer.rs` shows one.
pub trait Layer: std::fmt::Debug + Send + Sync {
    /// The stem of the names that its instances get: `conv` becomes `conv1`, `conv2` ...
    fn kind(&self) -> &'static str;

    /// Adds the layer's ops on `input` and returns its output.
    ///
    /// Errors where the input's shape does not suit the layer.
    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value>;
}

impl Layer for Box<dyn Layer> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        (**self).build(builder, input)
    }
}
