//! The one error type. Every message is a single line that names the thing and the remedy.

use std::path::PathBuf;

use crate::tensor::Shape;

/// The result of every fallible gabor function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation cannot take these inputs. `problem` says what is wrong and what would be right.
    #[error("{op}: {problem} (inputs: {})", list(inputs))]
    Shape {
        /// The operation's registered name.
        op: &'static str,
        /// The shapes it was given.
        inputs: Vec<Shape>,
        /// What is wrong and what would be right.
        problem: String,
    },

    /// An error inside a layer: the layer's path in front of the cause.
    #[error("layer `{layer}`: {source}")]
    Layer {
        /// The layer's path, such as `features/conv2`.
        layer: String,
        /// What went wrong there.
        source: Box<Error>,
    },

    /// A name that is not known, with the names that are.
    #[error("unknown {kind} `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// What kind of thing was asked for: `model`, `device`, `data set` ...
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that would be accepted.
        known: Vec<String>,
    },

    /// A setting outside its range, such as a NaN learning rate or a batch of zero.
    #[error("{setting} = {value}: {remedy}")]
    Setting {
        /// The setting's name as the user writes it.
        setting: &'static str,
        /// The value that was given.
        value: String,
        /// The range, or what to do.
        remedy: String,
    },

    /// A file or folder that cannot be read or written.
    #[error("{}: {source}; {remedy}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
        /// What to do.
        remedy: String,
    },

    /// A file whose content is not what it should be.
    #[error("{}: {problem}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what was expected.
        problem: String,
    },

    /// No adapter answers the request. `found` lists those that exist.
    #[error("no GPU adapter for `{wanted}`; found: {}; {remedy}", if found.is_empty() { "none".into() } else { found.join(", ") })]
    NoAdapter {
        /// The selector that was given.
        wanted: String,
        /// The adapters that exist.
        found: Vec<String>,
        /// What to do.
        remedy: &'static str,
    },

    /// The device cannot hold a training step of this size.
    #[error("{what} needs {needed} bytes, {device} offers {available}; {remedy}")]
    Memory {
        /// What does not fit.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// The device's name.
        device: String,
        /// Bytes available.
        available: u64,
        /// What would fit.
        remedy: String,
    },

    /// The graphics driver reported an error; no result of this step is valid.
    #[error("GPU {device}: {problem}")]
    Gpu {
        /// The adapter's name.
        device: String,
        /// The driver's or the validation's message, in one line.
        problem: String,
    },

    /// A shader does not compile or does not match the dispatch that uses it.
    #[error("shader {shader}: {problem}")]
    Shader {
        /// The shader's path under `shaders/`, or the name its author gave it.
        shader: String,
        /// What is wrong.
        problem: String,
    },

    /// The training run went wrong, such as a loss that is no longer finite.
    #[error("training stopped at step {step}: {problem}")]
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// The path of the layer whose values went bad first, where that is known.
        layer: Option<String>,
        /// What was seen and what to try.
        problem: String,
    },

    /// A graph or plan was used against its rules; a mistake in the calling program.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// A [`Error::Shape`] for `op` from the shapes of `inputs`.
    pub fn shape<'a>(
        op: &'static str,
        inputs: impl IntoIterator<Item = &'a Shape>,
        problem: impl Into<String>,
    ) -> Self {
        Error::Shape { op, inputs: inputs.into_iter().cloned().collect(), problem: problem.into() }
    }

    /// A [`Error::Setting`].
    pub fn setting(setting: &'static str, value: impl ToString, remedy: impl Into<String>) -> Self {
        Error::Setting { setting, value: value.to_string(), remedy: remedy.into() }
    }

    /// A [`Error::Unknown`].
    pub fn unknown<S: Into<String>>(
        kind: &'static str,
        name: impl Into<String>,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let known = known.into_iter().map(Into::into).collect();
        Error::Unknown { kind, name: name.into(), known }
    }

    /// A [`Error::Io`].
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error, remedy: impl Into<String>) -> Self {
        Error::Io { path: path.into(), source, remedy: remedy.into() }
    }

    /// A [`Error::Data`].
    pub fn data(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Error::Data { path: path.into(), problem: problem.into() }
    }

    /// Puts the layer's path in front of this error.
    pub fn in_layer(self, layer: &str) -> Self {
        if layer.is_empty() {
            return self;
        }
        Error::Layer { layer: layer.to_owned(), source: Box::new(self) }
    }
}

fn list(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}
