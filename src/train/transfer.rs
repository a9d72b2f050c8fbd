//! Transfer learning: a network that starts from another's weights.

use std::path::Path;

use super::{Network, Weights};
use crate::error::{Error, Result};
use crate::io::safetensors;

/// What became of the weights that a network was to start from.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Transfer {
    /// Parameters that were taken over.
    pub loaded: Vec<String>,
    /// Parameters of the last layer that start afresh: they have another shape, or it was asked for.
    pub replaced: Vec<String>,
    /// Parameters of the network that the file does not have; they start afresh.
    pub missing: Vec<String>,
    /// What the file has and the network does not.
    pub unused: Vec<String>,
}

impl Network {
    /// Takes over, by name, the parameters and running statistics of a `.safetensors` file or a run's
    /// folder (its result; see [`Weights`]). The last layer with parameters, the head, starts afresh
    /// where its shape differs, since other classes are told apart, and where `replace_head` asks.
    ///
    /// Errors where the file cannot be read, another layer's shape differs, or no name fits; nothing is
    /// changed then.
    pub fn init_from(&mut self, path: impl AsRef<Path>, replace_head: bool) -> Result<Transfer> {
        let mut path = path.as_ref().to_owned();
        if path.is_dir() {
            path = Weights::of_run(&path, None)?;
        }
        let file = safetensors::load(&path)?;
        let types = self.model.parameter_types()?;
        let layer = |name: &str| name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned();
        let head = types.last().map(|(name, _)| layer(name)).unwrap_or_default();
        let of_head: Vec<_> = types.iter().filter(|(name, _)| layer(name) == head).collect();
        let fits = of_head.iter().all(|(name, ty)| {
            file.tensors().get(name).is_none_or(|tensor| tensor.shape() == &ty.shape)
        });
        let mut transfer = Transfer::default();
        let mut taken = vec![];
        for (name, ty) in &types {
            let is_head = layer(name) == head;
            match file.tensors().contains_key(name) {
                false => transfer.missing.push(name.clone()),
                true if is_head && (replace_head || !fits) => transfer.replaced.push(name.clone()),
                true => {
                    taken.push((name.clone(), file.get_as(name, ty)?));
                    transfer.loaded.push(name.clone());
                }
            }
        }
        if taken.is_empty() {
            let model = self.model.name();
            let problem = format!("no parameter fits {model}; give the weights of a like network");
            return Err(Error::data(path, problem));
        }
        let known = |name: &&String| types.iter().all(|(known, _)| known != *name);
        transfer.unused = file.tensors().keys().filter(known).cloned().collect();
        self.set_parameters(&taken)?;
        Ok(transfer)
    }
}
