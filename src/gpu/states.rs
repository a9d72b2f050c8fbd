//! What a session keeps on the GPU from run to run.

use std::collections::HashMap;

use super::GpuEngine;
use super::transfer::{Reader, device_bytes};
use crate::cpu::{check_same, check_type};
use crate::error::{Error, Result};
use crate::graph::Initial;
use crate::tensor::{Tensor, TensorType};

/// The states of a session on a GPU, by name.
#[derive(Debug, Default)]
pub(crate) struct GpuStates {
    names: HashMap<String, usize>,
    states: Vec<(TensorType, wgpu::Buffer)>,
    reader: Reader,
}

impl GpuStates {
    /// The names, in the order in which they came.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|&(_, &index)| index);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) async fn read(&self, engine: &GpuEngine, name: &str) -> Result<Tensor> {
        let (ty, buffer) = self.find(name)?;
        self.reader.read(engine, ty, buffer).await
    }

    pub(crate) fn write(&self, engine: &GpuEngine, name: &str, tensor: &Tensor) -> Result<()> {
        let (ty, buffer) = self.find(name)?;
        check_type("state", name, ty, tensor)?;
        engine.queue().write_buffer(buffer, 0, &device_bytes(tensor, ty.dtype));
        engine.check()
    }

    fn find(&self, name: &str) -> Result<&(TensorType, wgpu::Buffer)> {
        let index = self.names.get(name);
        let index = index.ok_or_else(|| Error::unknown("state", name, self.names()))?;
        Ok(&self.states[*index])
    }

    /// The buffer of the state, which starts from `initial` if it is new.
    pub(super) fn adopt(
        &mut self,
        engine: &GpuEngine,
        name: &str,
        initial: &Initial,
    ) -> Result<wgpu::Buffer> {
        if self.names.contains_key(name) {
            let (ty, buffer) = self.find(name)?;
            check_same(name, ty, initial.ty())?;
            return Ok(buffer.clone());
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let ty = initial.ty().clone();
        let buffer = engine.buffer(name, ty.bytes(), usage, true);
        engine.check()?;
        let mut mapped = buffer.get_mapped_range_mut(..).map_err(|e| engine.error(&e))?;
        let tensor = initial.tensor();
        let bytes = device_bytes(&tensor, ty.dtype);
        mapped.slice(..bytes.len()).copy_from_slice(&bytes);
        drop(mapped);
        buffer.unmap();
        self.names.insert(name.to_owned(), self.states.len());
        self.states.push((ty, buffer.clone()));
        Ok(buffer)
    }
}
