//! A plan on a GPU: its buffers, and the list of commands that a step encodes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::shader::Use;
use super::shader::{self, Pipeline};
use super::texels::{TexelCopy, Texels};
use super::transfer::{Staging, device_bytes, offsets};
use super::{GpuEngine, GpuStates};
use crate::cpu::{check_type, find_input};
use crate::error::{Error, Result};
use crate::graph::{Home, Plan, PlanStep};
use crate::kernel::{Adapter, Dispatch, Grid, Operand, Variant};
use crate::ops::Types;
use crate::tensor::{DType, Tensor, TensorType};

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
    inputs: Vec<wgpu::Buffer>,
    is_written: Vec<bool>,
    outputs: Vec<wgpu::Buffer>,
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

/// A submission is cut after this much arithmetic on adapters that may have a watchdog: well under a
/// second at the 500 GFLOP/s of a small integrated GPU.
const FLOPS_PER_SUBMIT: u64 = 200_000_000_000;

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
        let inputs: Vec<_> = plan
            .inputs
            .iter()
            .map(|v| engine.buffer(&v.name, v.ty.bytes(), storage, false))
            .collect();
        let states: Result<Vec<_>> = plan
            .states
            .iter()
            .map(|(value, initial)| states.adopt(engine, &value.name, initial))
            .collect();
        let states = states?;
        engine.check()?;
        let buffer = |home: Home| match home {
            Home::Slot(i) => &slots[i],
            Home::Input(i) => &inputs[i],
            Home::State(i) => &states[i],
        };
        let (commands, origins) = Recorder::new(engine, &plan, &buffer)?.record()?;
        let outputs = plan.outputs.iter().map(|v| buffer(v.home).clone()).collect();
        let (input_offsets, input_bytes) = offsets(plan.inputs.iter().map(|v| &v.ty));
        let (output_offsets, output_bytes) = offsets(plan.outputs.iter().map(|v| &v.ty));
        let uploads = (0..2).map(|_| Staging::upload(engine, input_bytes)).collect();
        let readbacks = (0..IN_FLIGHT).map(|_| Staging::readback(engine, output_bytes)).collect();
        engine.check()?;
        Ok(GpuProgram {
            engine: engine.clone(),
            is_written: vec![false; inputs.len()],
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

    /// Writes the inputs, submits the step, and returns without waiting for it.
    pub(crate) async fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<GpuPending> {
        let mut encoder = self.engine.device().create_command_encoder(&Default::default());
        let upload = self.upload(inputs, &mut encoder).await?;
        self.encode(&mut encoder);
        self.submit(encoder, upload).await
    }

    /// Adds the way back of the outputs to what has been encoded, and hands it over.
    pub(super) async fn submit(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        upload: Option<Staging>,
    ) -> Result<GpuPending> {
        let mut staging = self.free_readback().await?;
        for ((buffer, value), &offset) in
            self.outputs.iter().zip(&self.plan.outputs).zip(&self.output_offsets)
        {
            let bytes = value.ty.bytes();
            let start = self.plan.start(value.home);
            encoder.copy_buffer_to_buffer(buffer, start, staging.buffer(), offset, bytes);
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
        for &index in &indices {
            let (offset, bytes) = (self.input_offsets[index], self.plan.inputs[index].ty.bytes());
            encoder.copy_buffer_to_buffer(staging.buffer(), offset, &self.inputs[index], 0, bytes);
        }
        Ok(Some(staging))
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
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
                    self.engine.submit(done.finish());
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

/// Turns a plan's steps into commands.
struct Recorder<'a, F> {
    engine: &'a GpuEngine,
    plan: &'a Plan,
    buffer: &'a F,
    params: wgpu::Buffer,
    params_bytes: Vec<u8>,
    texels: Texels,
    dispatches: usize,
}

impl<'a, F: Fn(Home) -> &'a wgpu::Buffer> Recorder<'a, F> {
    fn new(engine: &'a GpuEngine, plan: &'a Plan, buffer: &'a F) -> Result<Self> {
        let variants = plan.steps.iter().filter_map(|step| match step {
            PlanStep::Run { variant, .. } => variant.as_ref(),
            PlanStep::Copy { .. } => None,
        });
        let stride = |d: &Dispatch| d.params.len().next_multiple_of(PARAMS_ALIGNMENT) as u64;
        let bytes = variants.flat_map(|v| &v.dispatches).map(stride).sum();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params = engine.buffer("params", bytes, usage, false);
        engine.check()?;
        let params_bytes = Vec::with_capacity(bytes as usize);
        let texels = Texels::default();
        let mut recorder =
            Recorder { engine, plan, buffer, params, params_bytes, texels, dispatches: 0 };
        recorder.reserve_texels()?;
        Ok(recorder)
    }

    /// Textures are shared by dispatches, so the largest copies must be known before the first.
    fn reserve_texels(&mut self) -> Result<()> {
        for step in &self.plan.steps {
            let PlanStep::Run { variant: Some(variant), layer, .. } = step else { continue };
            for dispatch in &variant.dispatches {
                for (binding, place) in dispatch.texels() {
                    let bytes = binding.range.as_ref().map_or(0, |r| r.len() as u64 * 4);
                    self.texels.reserve(place, bytes).map_err(|problem| {
                        let problem = format!("{}: {problem}", variant.name);
                        shader::fault(dispatch.shader, problem).in_layer(layer)
                    })?;
                }
            }
        }
        Ok(())
    }

    fn record(mut self) -> Result<(Vec<Command>, Vec<Origin>)> {
        let (mut commands, mut origins) = (Vec::new(), Vec::new());
        let mut flops = 0;
        for (index, step) in self.plan.steps.iter().enumerate() {
            match step {
                PlanStep::Copy { from, to, bytes } => commands.push(Command::Copy {
                    from: ((self.buffer)(*from).clone(), self.plan.start(*from)),
                    to: ((self.buffer)(*to).clone(), self.plan.start(*to)),
                    bytes: bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT),
                }),
                PlanStep::Run { op, types, inputs, outputs, variant, workspace, layer, .. } => {
                    let Some(variant) = variant else {
                        return Err(Error::Usage("the plan was compiled for the CPU".into()));
                    };
                    let operands = Operands { types, inputs, outputs, workspace };
                    for (d, dispatch) in variant.dispatches.iter().enumerate() {
                        self.dispatch(variant, dispatch, &operands, &mut commands)
                            .map_err(|e| e.in_layer(layer))?;
                        origins.resize(commands.len(), (index, d));
                    }
                    flops += op.cost(types).flops;
                    if flops > FLOPS_PER_SUBMIT && !self.engine.adapter().is_software() {
                        commands.push(Command::Submit);
                        flops = 0;
                    }
                }
            }
            origins.resize(commands.len(), (index, 0));
        }
        self.engine.queue().write_buffer(&self.params, 0, &self.params_bytes);
        self.engine.check()?;
        Ok((commands, origins))
    }

    fn dispatch(
        &mut self,
        variant: &Variant,
        dispatch: &Dispatch,
        operands: &Operands<'_>,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        self.dispatches += 1;
        let shader = dispatch.shader;
        let fault = |problem: String| shader::fault(shader, format!("{}: {problem}", variant.name));
        let is_half = |operand| operands.types.dtype(operand) == Some(DType::F16);
        let halves = dispatch.bindings.iter().filter(|b| is_half(b.operand)).map(|b| b.name);
        let halves: Vec<_> = halves.collect();
        let pipeline = self.engine.pipeline(shader, &dispatch.constants, &halves)?;
        let reflection = &pipeline.reflection;
        let grid = grid(self.engine.adapter(), dispatch.grid, reflection.workgroup);
        if grid.iter().any(|&g| g > self.engine.adapter().max_groups) {
            return Err(fault(format!("a grid of {grid:?} is larger than the adapter allows")));
        }
        let mut entries = Vec::new();
        let mut views = Vec::new();
        let known = |name: &str| reflection.bindings.iter().any(|(n, _, _)| n == name);
        if let Some(stray) = dispatch.bindings.iter().find(|b| !known(b.name)) {
            return Err(fault(format!("it has no binding `{}`", stray.name)));
        }
        for (name, index, usage) in &reflection.bindings {
            let binding = dispatch.bindings.iter().find(|b| b.name == name);
            let binding = binding.ok_or_else(|| fault(format!("`{name}` was not bound")))?;
            let types = operands.types;
            let found = match binding.operand {
                Operand::Workspace(i) => {
                    let home = operands.workspace.get(i).map(|&slot| Home::Slot(slot));
                    home.zip(variant.workspace.get(i))
                }
                Operand::Input(i) => operands.inputs.get(i).copied().zip(types.inputs.get(i)),
                Operand::Output(i) => operands.outputs.get(i).copied().zip(types.outputs.get(i)),
            };
            let (home, ty) = found.ok_or_else(|| {
                fault(format!("`{name}` is bound to {:?}, which there is not", binding.operand))
            })?;
            let range = binding.range.clone().unwrap_or(0..ty.elements());
            let element = ty.dtype.size() as u64;
            let offset = range.start as u64 * element;
            // Whole vectors of four: the buffer is padded.
            let size = (range.end as u64 * element).next_multiple_of(16) - offset;
            let limit = self.engine.adapter().max_binding_bytes;
            if size > limit {
                return Err(fault(format!("`{name}` binds {size} bytes, the adapter {limit}")));
            }
            let texels = dispatch.texels().find(|(b, _)| b.name == binding.name);
            if texels.is_some() != (*usage == Use::Texels) {
                return Err(fault(format!("`{name}` is a texture, or bound as one, but not both")));
            }
            let (buffer, offset) = ((self.buffer)(home), self.plan.start(home) + offset);
            if let Some((_, place)) = texels {
                let (copy, view) = self.texels.copy(self.engine, place, buffer, offset, size);
                commands.push(Command::CopyTexels(copy));
                views.push((*index, view));
                continue;
            }
            entries.push(wgpu::BindGroupEntry {
                binding: *index,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: std::num::NonZeroU64::new(size),
                }),
            });
        }
        if let Some((index, size)) = reflection.params {
            if dispatch.params.len() != size as usize {
                let given = dispatch.params.len();
                return Err(fault(format!("`params` takes {size} bytes, {given} were given")));
            }
            let offset = self.params_bytes.len() as u64;
            self.params_bytes.extend_from_slice(&dispatch.params);
            let end = self.params_bytes.len().next_multiple_of(PARAMS_ALIGNMENT);
            self.params_bytes.resize(end, 0);
            entries.push(wgpu::BindGroupEntry {
                binding: index,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &self.params,
                    offset,
                    size: std::num::NonZeroU64::new(size.into()),
                }),
            });
        }
        entries.extend(views.iter().map(|(binding, view)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: wgpu::BindingResource::TextureView(view),
        }));
        let bind_group = self.engine.bind_group(&wgpu::BindGroupDescriptor {
            label: Some(shader.name),
            layout: &pipeline.layout,
            entries: &entries,
        });
        self.engine.check()?;
        if !grid.contains(&0) {
            commands.push(Command::Dispatch { pipeline, bind_group, grid });
        }
        Ok(())
    }
}

/// Uniform bindings start at multiples of this many bytes.
const PARAMS_ALIGNMENT: usize = 256;

/// Where a step's operands are.
struct Operands<'a> {
    types: &'a Types,
    inputs: &'a [Home],
    outputs: &'a [Home],
    workspace: &'a [usize],
}

fn grid(adapter: &Adapter, grid: Grid, workgroup: [u32; 3]) -> [u32; 3] {
    match grid {
        Grid::Groups(groups) => groups,
        Grid::Flat(groups) => adapter.flat_grid(groups),
        Grid::Threads(threads) => {
            let size: u32 = workgroup.iter().product();
            adapter.flat_grid(threads.div_ceil(size as usize))
        }
    }
}
