//! A network written down, as in a configuration:
//!
//! ```toml
//! network = [
//!   { conv2d = { outputs = 32, kernel = 5, padding = 2 } },
//!   "relu",
//!   { max-pool2d = { kernel = 3, stride = 2 } },
//!   { name = "scores", linear = { outputs = "classes" } },
//! ]
//! ```
//!
//! An entry is a layer of [`crate::nn`] by its name with its settings, or the name alone where it
//! needs none. Settings are called like the layer's methods and have the same defaults. A `name`
//! takes the place of the layer's kind and number in the parameters' names.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::{Layer, Model, Sequential};
use crate::error::{Error, Result};

mod layers;

pub use layers::{Classes, Described, Outputs};

/// The layers of a network, one after another.
///
/// ```
/// use gabor::nn::Description;
///
/// let text = r#"[{ "conv2d": { "outputs": 8, "kernel": 3 } }, "relu", { "linear": { "outputs": "classes" } }]"#;
/// let description: Description = serde_json::from_str(text).unwrap();
/// let model = description.model("tiny", [1, 5, 5], 10)?;
/// assert_eq!(model.summary(1)?.parameters, 8 * 9 + 8 + 10 * 8 * 9 + 10);
/// # Ok::<(), gabor::error::Error>(())
/// ```
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
#[serde(transparent)]
pub struct Description(pub Vec<LayerEntry>);

/// One layer of a [`Description`].
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LayerEntry {
    /// Its name, in place of its kind and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layer.
    #[serde(flatten)]
    pub layer: Described,
}

impl Description {
    /// The network under this name, for images `[channels, height, width]` and this many classes.
    ///
    /// Errors where there is no layer or no class, and where a layer does not suit its input; the
    /// message has the layer's number, counted from 1, and its name.
    pub fn model(&self, name: &str, input: [usize; 3], classes: usize) -> Result<Model> {
        if classes == 0 {
            return Err(Error::setting("classes", 0, "must be 1 or more"));
        }
        if self.0.is_empty() {
            return Err(Error::setting("network", "[]", "give at least one layer"));
        }
        let mut model = Model::new(name, input);
        for entry in &self.0 {
            let layer = entry.layer.layer(classes);
            model = match &entry.name {
                Some(name) => model.with_named(name, layer),
                None => model.with(layer),
            };
        }
        match model.summary(1) {
            Ok(_) => Ok(model),
            Err(error) => Err(self.numbered(error, classes)),
        }
    }

    /// The layers as one, to be a part of another.
    fn sequence(&self, classes: usize) -> Sequential {
        self.0.iter().fold(Sequential::new(), |all, entry| {
            let layer = entry.layer.layer(classes);
            match &entry.name {
                Some(name) => all.with_named(name, layer),
                None => all.with(layer),
            }
        })
    }

    /// `error` with the number of the layer that it is about in front.
    fn numbered(&self, error: Error, classes: usize) -> Error {
        let Error::Layer { layer: path, .. } = &error else { return error };
        let outermost = path.split('.').next().unwrap_or_default();
        let mut counts = HashMap::new();
        let position = self.0.iter().position(|entry| match &entry.name {
            Some(name) => name == outermost,
            None => {
                let kind = entry.layer.layer(classes).kind();
                let count: &mut usize = counts.entry(kind).or_default();
                *count += 1;
                format!("{kind}{count}") == outermost
            }
        });
        match position {
            Some(index) => Error::Usage(format!("network: layer {}: {error}", index + 1)),
            None => error,
        }
    }
}

impl<'de> Deserialize<'de> for Description {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<Value>::deserialize(deserializer)?;
        let numbered = entries.into_iter().enumerate().map(|(index, entry)| {
            read(entry).map_err(|e| de::Error::custom(format!("layer {}: {e}", index + 1)))
        });
        Ok(Description(numbered.collect::<Result<_, D::Error>>()?))
    }
}

/// An entry from `"relu"`, `{ conv2d = { ... } }` or `{ name = "...", conv2d = { ... } }`.
fn read(entry: Value) -> Result<LayerEntry, String> {
    let mut table = match entry {
        Value::String(kind) => Map::from_iter([(kind, Value::Object(Map::new()))]),
        Value::Object(table) => table,
        other => {
            return Err(format!("{other} is no layer; write it as \"relu\" or {{ relu = {{}} }}"));
        }
    };
    let name = match table.remove("name") {
        Some(Value::String(name)) => Some(check_name(name)?),
        Some(other) => return Err(format!("the name {other} must be text")),
        None => None,
    };
    let kinds: Vec<_> = table.keys().cloned().collect();
    let [kind] = &kinds[..] else {
        let found = if kinds.is_empty() { "none".into() } else { kinds.join(", ") };
        return Err(format!("an entry holds one layer; found: {found}"));
    };
    let title =
        name.as_ref().map_or(format!("`{kind}`"), |name| format!("`{kind}` named `{name}`"));
    let layer =
        Described::deserialize(Value::Object(table)).map_err(|e| format!("{title}: {e}"))?;
    Ok(LayerEntry { name, layer })
}

/// Names are parts of paths and of patterns.
fn check_name(name: String) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.chars().all(is_plain) {
        true => Ok(name),
        false => Err(format!("the name {name:?} may have letters, digits, - and _ only")),
    }
}

#[cfg(test)]
mod tests;
