//! Host memory to device memory and back, without stalling either.
//!
//! Both ways go through a small ring of mappable buffers: the host writes into one while the device
//! still reads another, and reads metrics from one while the device works on the next step.

use std::borrow::Cow;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use half::f16;

use super::GpuEngine;
use crate::error::{Error, Result};
use crate::tensor::{DType, Data, Tensor, TensorType, to_half};

type Mapped = Result<(), wgpu::BufferAsyncError>;

/// A mappable buffer and the promise that it will be mapped.
#[derive(Debug)]
pub(super) struct Staging {
    buffer: wgpu::Buffer,
    mode: wgpu::MapMode,
    mapping: Option<(OneshotReceiver<Mapped>, wgpu::SubmissionIndex)>,
}

impl Staging {
    /// A buffer that the host writes. It starts out mapped.
    pub(super) fn upload(engine: &GpuEngine, bytes: u64) -> Self {
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let buffer = engine.buffer("upload", bytes, usage, true);
        Staging { buffer, mode: wgpu::MapMode::Write, mapping: None }
    }

    /// A buffer that the host reads. It starts out unmapped.
    pub(super) fn readback(engine: &GpuEngine, bytes: u64) -> Self {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = engine.buffer("read-back", bytes, usage, false);
        Staging { buffer, mode: wgpu::MapMode::Read, mapping: None }
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Asks to have the buffer mapped once the device is done with the submission that uses it.
    pub(super) fn map(&mut self, submission: wgpu::SubmissionIndex) {
        let (sender, receiver) = oneshot_channel();
        self.buffer.map_async(self.mode, .., move |outcome| {
            // Nobody listens any more where the ring has been dropped.
            let _ = sender.send(outcome);
        });
        self.mapping = Some((receiver, submission));
    }

    /// Whether a mapping was asked for and not yet waited for.
    pub(super) fn is_mapping(&self) -> bool {
        self.mapping.is_some()
    }

    /// Waits until a requested mapping is there. On native platforms this drives the device; in a
    /// browser the event loop does.
    pub(super) async fn mapped(&mut self, engine: &GpuEngine) -> Result<()> {
        let Some((receiver, submission)) = self.mapping.take() else { return Ok(()) };
        let mut arrival = pin!(receiver.receive());
        // Whoever waited for the step before has driven the device as far.
        let outcome = match poll_fn(|context| Poll::Ready(arrival.as_mut().poll(context))).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                engine.wait_for(submission)?;
                arrival.await
            }
        };
        match outcome {
            Some(Ok(())) => engine.check(),
            Some(Err(e)) => {
                engine.check()?;
                Err(engine.error(&e))
            }
            None => {
                engine.check()?;
                Err(Error::Usage("the device dropped a mapping".into()))
            }
        }
    }

    /// Copies `bytes` to `offset`. The buffer is mapped.
    pub(super) fn write(&self, engine: &GpuEngine, offset: u64, bytes: &[u8]) -> Result<()> {
        let range = offset..offset + bytes.len() as u64;
        let mut view = self.buffer.get_mapped_range_mut(range).map_err(|e| engine.error(&e))?;
        view.copy_from_slice(bytes);
        Ok(())
    }

    /// The tensor of this type at `offset`. The buffer is mapped.
    pub(super) fn read(&self, engine: &GpuEngine, offset: u64, ty: &TensorType) -> Result<Tensor> {
        let mut words = Vec::with_capacity((ty.bytes() / 4) as usize);
        self.append(engine, offset..offset + ty.bytes(), &mut words)?;
        tensor(ty, words)
    }

    /// Appends the words that lie in a range of bytes. The buffer is mapped.
    fn append(&self, engine: &GpuEngine, range: Range<u64>, words: &mut Vec<u32>) -> Result<()> {
        let view = self.buffer.get_mapped_range(range).map_err(|e| engine.error(&e))?;
        // The view may be less aligned than a word.
        words.extend(view.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        Ok(())
    }

    pub(super) fn unmap(&self) {
        self.buffer.unmap();
    }
}

/// The elements of a host tensor as the device holds those of this type, in whole words.
pub(super) fn device_bytes(tensor: &Tensor, dtype: DType) -> Cow<'_, [u8]> {
    match (tensor.data(), dtype) {
        (Data::F32(values), DType::F16) => {
            let mut bytes: Vec<u8> =
                values.iter().flat_map(|&x| to_half(x).to_le_bytes()).collect();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.into()
        }
        _ => tensor.bytes().into(),
    }
}

/// The tensor of this type with these bits.
fn tensor(ty: &TensorType, words: Vec<u32>) -> Result<Tensor> {
    match ty.dtype {
        DType::F32 => {
            Tensor::f32(ty.shape.clone(), words.into_iter().map(f32::from_bits).collect())
        }
        DType::F16 => {
            let halves = words.iter().flat_map(|word| [*word as u16, (word >> 16) as u16]);
            let values = halves.take(ty.elements()).map(|bits| f16::from_bits(bits).to_f32());
            Tensor::f32(ty.shape.clone(), values.collect())
        }
        DType::U32 => Tensor::u32(ty.shape.clone(), words),
    }
}

/// Offsets at which tensors lie one after another in a staging buffer, and the total size.
pub(super) fn offsets<'a>(types: impl Iterator<Item = &'a TensorType>) -> (Vec<u64>, u64) {
    let mut end = 0;
    let offsets = types.map(|ty| {
        let start = end;
        end += ty.bytes().next_multiple_of(256);
        start
    });
    (offsets.collect(), end)
}

/// What whole buffers are read back through, for checkpoints and not for steps: one staging buffer, made
/// when it is first needed, through which a large buffer comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Reader(Mutex<Option<Staging>>);

/// The largest piece in bytes.
const PIECE: u64 = 32 << 20;

impl Reader {
    /// The tensor that `buffer` holds.
    pub(super) async fn read(
        &self,
        engine: &GpuEngine,
        ty: &TensorType,
        buffer: &wgpu::Buffer,
    ) -> Result<Tensor> {
        // Whoever reads meanwhile has one of its own.
        let kept = self.kept().take();
        let size = ty.bytes().min(PIECE);
        let fitting = kept.filter(|staging| staging.buffer.size() >= size);
        let mut staging = fitting.unwrap_or_else(|| Staging::readback(engine, size));
        let count = (ty.bytes() / 4) as usize;
        let mut words = Vec::with_capacity(count);
        while words.len() < count {
            let first = 4 * words.len() as u64;
            let bytes = (ty.bytes() - first).min(staging.buffer.size());
            let mut encoder = engine.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, first, &staging.buffer, 0, bytes);
            let submission = engine.submit(encoder.finish());
            staging.map(submission);
            staging.mapped(engine).await?;
            staging.append(engine, 0..bytes, &mut words)?;
            staging.unmap();
        }
        *self.kept() = Some(staging);
        tensor(ty, words)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Staging>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
