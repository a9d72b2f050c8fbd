//! A plan on a GPU: its buffers, and the list of commands that a step encodes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::recorder::Recorder;
use super::shader::Pipeline;
use super::texels::TexelCopy;
use super::transfer::{Staging, device_bytes, offsets};
use super::{GpuEngine, GpuStates};
use crate::cpu::{check_type, find_input};
use crate::error::{Error, Result};
use crate::graph::{Home, Plan};
use crate::tensor::{Tensor, TensorType};

/// How many steps may be under way before their outputs are read.
const IN_FLIGHT: usize = 3;

/// What a step does, in order.
#[derive(Debug)]
pub(super) enum Command {
    Dispatch {
        pipeline: Arc<Pipeline>,
        bind_group: wgpu::BindGroup,
        grid: [u32; 3],
    },
    /// From and to these bytes of these buffers.
    Copy {
        from: (wgpu::Buffer, u64),
        to: (wgpu::Buffer, u64),
        bytes: u64,
    },
    CopyTexels(TexelCopy),
    /// Hands over what has been encoded so far, so that no submission outlasts a watchdog.
    Submit,
}

/// A plan's step, and which of its dispatches.
pub(super) type Origin = (usize, usize);

impl Command {
    /// Encodes a copy; nothing for any other command.
    pub(super) fn encode_copy(&self, encoder: &mut wgpu::CommandEncoder) {
        match self {
            Command::Copy { from: (from, from_start), to: (to, to_start), bytes } => {
                encoder.copy_buffer_to_buffer(from, *from_start, to, *to_start, *bytes);
            }
            Command::CopyTexels(copy) => copy.encode(encoder),
            Command::Dispatch { .. } | Command::Submit => {}
        }
    }
}

/// A plan with its buffers, pipelines and bind groups.
#[derive(Debug)]
pub(crate) struct GpuProgram {
    pub(super) engine: GpuEngine,
    plan: Plan,
    pub(super) commands: Vec<Command>,
    /// What each command is there for.
    pub(super) origins: Vec<Origin>,
    /// All inputs, one after another as in the buffers that they are uploaded through.
    inputs: wgpu::Buffer,
    is_written: Vec<bool>,
    /// Where each output is, and from which byte on.
    outputs: Vec<(wgpu::Buffer, u64)>,
    input_offsets: Vec<u64>,
    output_offsets: Vec<u64>,
    uploads: VecDeque<Staging>,
    readbacks: Arc<Mutex<VecDeque<Staging>>>,
}

/// Outputs on their way back.
#[derive(Debug)]
pub(crate) struct GpuPending {
    engine: GpuEngine,
    staging: Option<Staging>,
    ring: Arc<Mutex<VecDeque<Staging>>>,
    values: Vec<(String, TensorType, u64)>,
}

impl GpuProgram {
    /// Creates everything that the plan needs.
    pub(crate) fn new(engine: &GpuEngine, plan: Plan, states: &mut GpuStates) -> Result<Self> {
        let storage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let buffers = plan.buffers.iter().enumerate();
        let buffers: Vec<_> = buffers
            .map(|(i, &bytes)| engine.buffer(&format!("slots {i}"), bytes, storage, false))
            .collect();
        // Each slot's buffer; where in it the slot starts, the plan knows.
        let slots: Vec<_> = plan.slots.iter().map(|slot| buffers[slot.buffer].clone()).collect();
        let (input_offsets, input_bytes) = offsets(plan.inputs.iter().map(|v| &v.ty));
        let inputs = engine.buffer("inputs", input_bytes, storage, false);
        let states: Result<Vec<_>> = plan
            .states
            .iter()
            .map(|(value, initial)| states.adopt(engine, &value.name, initial))
            .collect();
        let states = states?;
        engine.check()?;
        let place = |home: Home| match home {
            Home::Slot(i) => (&slots[i], plan.slots[i].offset),
            Home::Input(i) => (&inputs, input_offsets[i]),
            Home::State(i) => (&states[i], 0),
        };
        let (commands, origins) = Recorder::new(engine, &plan, &place)?.record()?;
        let outputs = plan.outputs.iter().map(|v| place(v.home));
        let outputs = outputs.map(|(buffer, start)| (buffer.clone(), start)).collect();
        let (output_offsets, output_bytes) = offsets(plan.outputs.iter().map(|v| &v.ty));
        let uploads = (0..2).map(|_| Staging::upload(engine, input_bytes)).collect();
        let readbacks = (0..IN_FLIGHT).map(|_| Staging::readback(engine, output_bytes)).collect();
        engine.check()?;
        Ok(GpuProgram {
            engine: engine.clone(),
            is_written: vec![false; plan.inputs.len()],
            commands,
            origins,
            inputs,
            outputs,
            input_offsets,
            output_offsets,
            uploads,
            readbacks: Arc::new(Mutex::new(readbacks)),
            plan,
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The copies of a run.
    pub(crate) fn copies(&self) -> usize {
        let is_copy = |c: &&Command| matches!(c, Command::Copy { .. } | Command::CopyTexels(_));
        self.commands.iter().filter(is_copy).count()
    }

    /// Records the step as a run does, and drops what it recorded.
    pub(crate) fn rehearse(&self) {
        let mut encoder = self.engine.device().create_command_encoder(&Default::default());
        self.encode(&mut encoder, drop);
        drop(encoder.finish());
    }

    /// Writes the inputs, submits the step, and returns without waiting for it.
    pub(crate) async fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<GpuPending> {
        let mut encoder = self.engine.device().create_command_encoder(&Default::default());
        let upload = self.upload(inputs, &mut encoder).await?;
        self.encode(&mut encoder, |done| {
            self.engine.submit(done);
        });
        self.submit(encoder, upload).await
    }

    /// Adds the way back of the outputs to what has been encoded, and hands it over.
    pub(super) async fn submit(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        upload: Option<Staging>,
    ) -> Result<GpuPending> {
        let mut staging = self.free_readback().await?;
        let values = self.plan.outputs.iter().zip(&self.output_offsets);
        for ((buffer, start), (value, &offset)) in self.outputs.iter().zip(values) {
            let bytes = value.ty.bytes();
            encoder.copy_buffer_to_buffer(buffer, *start, staging.buffer(), offset, bytes);
        }
        let submission = self.engine.submit(encoder.finish());
        staging.map(submission.clone());
        if let Some(mut upload) = upload {
            upload.map(submission);
            self.uploads.push_back(upload);
        }
        self.engine.check()?;
        let values = self.plan.outputs.iter().zip(&self.output_offsets);
        Ok(GpuPending {
            engine: self.engine.clone(),
            staging: Some(staging),
            ring: self.readbacks.clone(),
            values: values.map(|(v, &o)| (v.name.clone(), v.ty.clone(), o)).collect(),
        })
    }

    pub(super) async fn upload(
        &mut self,
        inputs: &[(&str, &Tensor)],
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Option<Staging>> {
        let mut indices = Vec::with_capacity(inputs.len());
        for &(name, tensor) in inputs {
            let index = find_input(&self.plan, name)?;
            check_type("input", name, &self.plan.inputs[index].ty, tensor)?;
            indices.push(index);
        }
        for &index in &indices {
            self.is_written[index] = true;
        }
        if let Some(index) = self.is_written.iter().position(|written| !written) {
            let name = &self.plan.inputs[index].name;
            return Err(Error::Usage(format!("input `{name}` was never given")));
        }
        if inputs.is_empty() {
            return Ok(None);
        }
        let Some(mut staging) = self.uploads.pop_front() else {
            return Err(Error::Usage("a run that failed took the upload buffers with it".into()));
        };
        staging.mapped(&self.engine).await?;
        for (&index, (_, tensor)) in indices.iter().zip(inputs) {
            let dtype = self.plan.inputs[index].ty.dtype;
            let (offset, bytes) = (self.input_offsets[index], device_bytes(tensor, dtype));
            staging.write(&self.engine, offset, &bytes)?;
        }
        staging.unmap();
        for range in self.runs(indices) {
            let bytes = range.end - range.start;
            let (from, start) = (staging.buffer(), range.start);
            encoder.copy_buffer_to_buffer(from, start, &self.inputs, start, bytes);
        }
        Ok(Some(staging))
    }

    /// Where these inputs are: the ranges of bytes, as few as they make.
    fn runs(&self, mut indices: Vec<usize>) -> Vec<Range<u64>> {
        indices.sort_unstable();
        let mut runs: Vec<Range<u64>> = Vec::with_capacity(1);
        for index in indices {
            let start = self.input_offsets[index];
            let end = self.input_offsets.get(index + 1).copied().unwrap_or(self.inputs.size());
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => runs.push(start..end),
            }
        }
        runs
    }

    /// Encodes the commands; `hand_over` takes what has been encoded where a submission is to end.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder, hand_over: impl Fn(wgpu::CommandBuffer)) {
        let mut rest = &self.commands[..];
        while let Some(command) = rest.first() {
            match command {
                Command::Copy { .. } | Command::CopyTexels(_) => {
                    command.encode_copy(encoder);
                    rest = &rest[1..];
                }
                Command::Submit => {
                    let next = self.engine.device().create_command_encoder(&Default::default());
                    let done = std::mem::replace(encoder, next);
                    hand_over(done.finish());
                    rest = &rest[1..];
                }
                Command::Dispatch { .. } => {
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    let mut bound: Option<&Arc<Pipeline>> = None;
                    while let Some(Command::Dispatch { pipeline, bind_group, grid: [x, y, z] }) =
                        rest.first()
                    {
                        if !bound.is_some_and(|bound| Arc::ptr_eq(bound, pipeline)) {
                            pass.set_pipeline(&pipeline.pipeline);
                            bound = Some(pipeline);
                        }
                        pass.set_bind_group(0, bind_group, &[]);
                        pass.dispatch_workgroups(*x, *y, *z);
                        rest = &rest[1..];
                    }
                }
            }
        }
    }

    /// A read-back buffer that nobody waits for: the oldest, once the device is done with it.
    async fn free_readback(&self) -> Result<Staging> {
        let free = self.readbacks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(mut staging) = free else {
            return Err(Error::Usage(format!(
                "{IN_FLIGHT} runs are under way; wait for the first before starting another"
            )));
        };
        if staging.is_mapping() {
            // Its outputs were dropped unread.
            staging.mapped(&self.engine).await?;
            staging.unmap();
        }
        Ok(staging)
    }
}

impl GpuPending {
    /// The outputs, once the device is done. An error anywhere on the device is an error here.
    pub(crate) async fn finish(mut self) -> Result<Vec<(String, Tensor)>> {
        let Some(staging) = self.staging.as_mut() else { return Ok(vec![]) };
        staging.mapped(&self.engine).await?;
        let outputs = self
            .values
            .iter()
            .map(|(name, ty, offset)| Ok((name.clone(), staging.read(&self.engine, *offset, ty)?)))
            .collect();
        staging.unmap();
        outputs
    }
}

impl Drop for GpuPending {
    fn drop(&mut self) {
        if let Some(staging) = self.staging.take() {
            self.ring.lock().unwrap_or_else(PoisonError::into_inner).push_back(staging);
        }
    }
}
