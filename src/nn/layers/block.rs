//! Layers made of layers: sequences, branches that meet again, layers used in several places.

use std::sync::Arc;

use crate::error::Result;
use crate::nn::{Builder, Layer};
use crate::ops::Value;
use crate::ops::elementwise::Add;
use crate::ops::shape::Concat as ConcatOp;

/// Layers one after another, as one layer.
#[derive(Debug, Default)]
pub struct Sequential {
    layers: Vec<(Option<String>, Box<dyn Layer>)>,
    is_numbered: bool,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// No layers yet; they are named `0`, `1` and so on, as in PyTorch's `Sequential`.
    pub fn numbered() -> Self {
        Sequential { layers: vec![], is_numbered: true }
    }

    /// Followed by `layer`, which is named after its kind and number.
    pub fn with(mut self, layer: impl Layer + 'static) -> Self {
        let name = self.is_numbered.then(|| self.layers.len().to_string());
        self.layers.push((name, Box::new(layer)));
        self
    }

    /// Followed by `layer` under this name.
    pub fn with_named(mut self, name: &str, layer: impl Layer + 'static) -> Self {
        self.layers.push((Some(name.to_owned()), Box::new(layer)));
        self
    }
}

impl Layer for Sequential {
    fn kind(&self) -> &'static str {
        "block"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let mut layers = self.layers.iter();
        layers.try_fold(input, |x, (name, layer)| builder.layer(name.as_deref(), layer.as_ref(), x))
    }
}

/// `main(x) + shortcut(x)`, where the shortcut is `x` itself unless it is given (He et al., 2016). The
/// layers of `main` bear their names directly within the block's.
#[derive(Debug)]
pub struct Residual {
    main: Box<dyn Layer>,
    shortcut: Option<(String, Box<dyn Layer>)>,
    after: Option<Box<dyn Layer>>,
}

impl Residual {
    /// Adds the input to what `main` makes of it.
    pub fn new(main: impl Layer + 'static) -> Self {
        Residual { main: Box::new(main), shortcut: None, after: None }
    }

    /// Adds what `shortcut` makes of the input in place of the input itself.
    pub fn shortcut(mut self, name: &str, shortcut: impl Layer + 'static) -> Self {
        self.shortcut = Some((name.to_owned(), Box::new(shortcut)));
        self
    }

    /// With a layer, such as an activation, on the sum.
    pub fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.after = Some(Box::new(layer));
        self
    }
}

impl Layer for Residual {
    fn kind(&self) -> &'static str {
        "residual"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let main = self.main.build(builder, input)?;
        let shortcut = match &self.shortcut {
            Some((name, layer)) => builder.layer(Some(name), layer.as_ref(), input)?,
            None => input,
        };
        let (of, to) = (builder.ty(main), builder.ty(shortcut));
        if of != to {
            let remedy = format!("the shortcut gives {to}; both must have one shape");
            return Err(builder.fault("residual", of, &remedy));
        }
        let sum = builder.add(Add, &[main, shortcut])?;
        self.after.as_ref().map_or(Ok(sum), |layer| builder.layer(None, layer.as_ref(), sum))
    }
}

/// Branches on one input, whose outputs are concatenated along the channels.
#[derive(Debug, Default)]
pub struct Concat(Sequential);

impl Concat {
    /// No branches yet.
    pub fn new() -> Self {
        Concat::default()
    }

    /// With another branch, which is named after its kind and number.
    pub fn with(self, branch: impl Layer + 'static) -> Self {
        Concat(self.0.with(branch))
    }

    /// With another branch under this name.
    pub fn with_named(self, name: &str, branch: impl Layer + 'static) -> Self {
        Concat(self.0.with_named(name, branch))
    }
}

impl Layer for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        let branches = self.0.layers.iter();
        let outputs = branches
            .map(|(name, branch)| builder.layer(name.as_deref(), branch.as_ref(), input))
            .collect::<Result<Vec<_>>>()?;
        if outputs.is_empty() {
            return Err(builder.fault("branches", 0, "give the concatenation at least one"));
        }
        builder.add(ConcatOp { axis: 1 }, &outputs)
    }
}

/// A layer that is used in several places with the same parameters: clones of it share them. Gradients
/// from all places add up.
#[derive(Clone, Debug)]
pub struct Shared {
    name: String,
    layer: Arc<dyn Layer>,
}

impl Shared {
    /// `layer`, whose parameters are at `name` wherever it is used.
    pub fn new(name: &str, layer: impl Layer + 'static) -> Self {
        Shared { name: name.to_owned(), layer: Arc::new(layer) }
    }
}

impl Layer for Shared {
    fn kind(&self) -> &'static str {
        "shared"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.shared_layer(&self.name, self.layer.as_ref(), input)
    }
}

/// Passes its input on, and makes what `head` computes from it an output whose cross-entropy counts
/// `weight` times in training (Szegedy et al., 2015).
#[derive(Debug)]
pub struct AuxiliaryHead {
    head: Box<dyn Layer>,
    weight: f32,
}

impl AuxiliaryHead {
    /// A head that ends in logits.
    pub fn new(weight: f32, head: impl Layer + 'static) -> Self {
        AuxiliaryHead { head: Box::new(head), weight }
    }
}

impl Layer for AuxiliaryHead {
    fn kind(&self) -> &'static str {
        "aux"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        if !self.weight.is_finite() {
            return Err(builder.fault("weight", self.weight, "give a finite number, as 0.3"));
        }
        let logits = self.head.build(builder, input)?;
        builder.auxiliary(logits, self.weight);
        Ok(input)
    }
}
