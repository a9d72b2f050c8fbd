//! From a plan's steps to the commands that run them.

use super::GpuEngine;
use super::access::without_comments;
use super::program::{Command, Origin};
use super::shader::{self, Use};
use super::texel_loads::{self, can_load};
use super::texels::{Place, Texels};
use crate::error::{Error, Result};
use crate::graph::{Home, Plan, PlanStep};
use crate::kernel::{Adapter, Binding, Dispatch, Grid, Operand, Variant};
use crate::ops::Types;
use crate::tensor::{DType, TensorType};

/// A submission is cut after this much arithmetic on adapters that may have a watchdog: well under a
/// second at the 500 GFLOP/s of a small integrated GPU.
const FLOPS_PER_SUBMIT: u64 = 200_000_000_000;

/// Turns a plan's steps into commands.
pub(super) struct Recorder<'a, F> {
    engine: &'a GpuEngine,
    plan: &'a Plan,
    place: &'a F,
    params: wgpu::Buffer,
    params_bytes: Vec<u8>,
    texels: Texels,
    dispatches: usize,
}

impl<'a, F: Fn(Home) -> (&'a wgpu::Buffer, u64)> Recorder<'a, F> {
    /// `place` is the buffer that a value is in, and where it starts there, in bytes.
    pub(super) fn new(engine: &'a GpuEngine, plan: &'a Plan, place: &'a F) -> Result<Self> {
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
            Recorder { engine, plan, place, params, params_bytes, texels, dispatches: 0 };
        recorder.reserve_texels()?;
        Ok(recorder)
    }

    /// Textures are shared by dispatches, so the largest copies must be known before the first.
    fn reserve_texels(&mut self) -> Result<()> {
        for step in &self.plan.steps {
            let PlanStep::Run { variant: Some(variant), types, layer, .. } = step else {
                continue;
            };
            for dispatch in &variant.dispatches {
                let copies = copies(self.engine, variant, dispatch, types);
                for Copied { binding, place } in copies.map_err(|e| e.in_layer(layer))? {
                    let bytes = bound(variant, binding, types).len() as u64 * 4;
                    self.texels.reserve(place, bytes).map_err(|problem| {
                        let problem = format!("{}: {problem}", variant.name);
                        shader::fault(dispatch.shader, problem).in_layer(layer)
                    })?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn record(mut self) -> Result<(Vec<Command>, Vec<Origin>)> {
        let (mut commands, mut origins) = (Vec::new(), Vec::new());
        let mut flops = 0;
        for (index, step) in self.plan.steps.iter().enumerate() {
            match step {
                PlanStep::Copy { from, to, bytes } => {
                    let [from, to] = [from, to].map(|&home| {
                        let (buffer, start) = (self.place)(home);
                        (buffer.clone(), start)
                    });
                    let bytes = bytes.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
                    commands.push(Command::Copy { from, to, bytes });
                }
                PlanStep::Run { op, types, inputs, outputs, variant, workspace, layer, .. } => {
                    let Some(variant) = variant else {
                        return Err(Error::Usage("the plan was compiled for the CPU".into()));
                    };
                    let operands = Operands { types, inputs, outputs, workspace };
                    for d in 0..variant.dispatches.len() {
                        self.dispatch(variant, d, &operands, &mut commands)
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
        index: usize,
        operands: &Operands<'_>,
        commands: &mut Vec<Command>,
    ) -> Result<()> {
        self.dispatches += 1;
        let dispatch = &variant.dispatches[index];
        let before = index.checked_sub(1).map(|index| &variant.dispatches[index]);
        let shader = dispatch.shader;
        let fault = |problem: String| shader::fault(shader, format!("{}: {problem}", variant.name));
        let is_half = |operand| operands.types.dtype(operand) == Some(DType::F16);
        let halves = dispatch.bindings.iter().filter(|b| is_half(b.operand)).map(|b| b.name);
        let halves: Vec<_> = halves.collect();
        let copies = copies(self.engine, variant, dispatch, operands.types)?;
        // What is bound as a texture already is one in the shader.
        let loads = copies.iter().map(|c| c.binding).filter(|b| b.columns.is_none());
        let loads: Vec<_> = loads.map(|b| b.name).collect();
        let pipeline = self.engine.pipeline(shader, &dispatch.constants, &halves, &loads)?;
        let reflection = &pipeline.reflection;
        let grid = grid(self.engine.adapter(), dispatch.grid, reflection.workgroup);
        if grid.iter().any(|&g| g > self.engine.adapter().max_groups) {
            return Err(fault(format!("a grid of {grid:?} is larger than the adapter allows")));
        }
        let mut entries = Vec::new();
        let mut views = Vec::new();
        let texture = |b: &Binding| match b.columns {
            Some(_) => b.name.to_owned(),
            None => texel_loads::texture_name(b.name),
        };
        let known = |name: &str| {
            loads.contains(&name) || reflection.bindings.iter().any(|(n, _, _)| n == name)
        };
        if let Some(stray) = dispatch.bindings.iter().find(|b| !known(b.name)) {
            return Err(fault(format!("it has no binding `{}`", stray.name)));
        }
        for (name, index, usage) in &reflection.bindings {
            let copied = copies.iter().find(|c| texture(c.binding) == *name);
            let binding = copied.map(|c| c.binding);
            let binding = binding.or_else(|| dispatch.bindings.iter().find(|b| b.name == name));
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
            let range = bound(variant, binding, types);
            let element = ty.dtype.size() as u64;
            let offset = range.start as u64 * element;
            // Whole vectors of four: the buffer is padded.
            let size = (range.end as u64 * element).next_multiple_of(16) - offset;
            let limit = self.engine.adapter().max_binding_bytes;
            if size > limit {
                return Err(fault(format!("`{name}` binds {size} bytes, the adapter {limit}")));
            }
            if copied.is_some() != (*usage == Use::Texels) {
                return Err(fault(format!("`{name}` is a texture, or bound as one, but not both")));
            }
            let (buffer, start) = (self.place)(home);
            let offset = start + offset;
            if let Some(copied) = copied {
                let (copy, view) =
                    self.texels.copy(self.engine, copied.place, buffer, offset, size);
                if !before.is_some_and(|before| copied.is_left_by(before)) {
                    commands.push(Command::CopyTexels(copy));
                }
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

/// A binding that is copied to a texture before the dispatch, and to which.
#[derive(Clone, Copy)]
struct Copied<'a> {
    binding: &'a Binding,
    place: Place,
}

impl Copied<'_> {
    /// Whether the dispatch before read the same copy and did not write what it is of. Only of a workspace: an input and
    /// an output may be one buffer.
    fn is_left_by(&self, before: &Dispatch) -> bool {
        let operand = self.binding.operand;
        let bound = before.bindings.iter().filter(|binding| binding.operand == operand).count();
        let is_same = |(binding, place)| binding == self.binding && place == self.place;
        matches!(operand, Operand::Workspace(_)) && bound == 1 && before.texels().any(is_same)
    }
}

/// The copies of a dispatch: those that it asks for, or else, on an adapter that loads faster from
/// textures, of the largest operands that are worth it.
fn copies<'a>(
    engine: &GpuEngine,
    variant: &Variant,
    dispatch: &'a Dispatch,
    types: &Types,
) -> Result<Vec<Copied<'a>>> {
    let asked: Vec<_> =
        dispatch.texels().map(|(binding, place)| Copied { binding, place }).collect();
    let Some(least) = engine.texels_from().filter(|_| asked.is_empty()) else {
        return Ok(asked);
    };
    let elements = |binding: &Binding| bound(variant, binding, types).len();
    let large = dispatch.bindings.iter().filter(|binding| {
        let is_single =
            operand(variant, binding.operand, types).map(|t| t.dtype) == Some(DType::F32);
        is_single && (least..=texel_loads::MOST_ELEMENTS).contains(&elements(binding))
    });
    let mut chosen: Vec<_> = large.collect();
    if !chosen.is_empty() {
        let text = without_comments(&shader::assemble(dispatch.shader, &dispatch.constants)?);
        let is_served =
            |b: &Binding| can_load(dispatch.shader, &text, b.name, dispatch.reads_ahead);
        let served: Result<Vec<_>> = chosen.iter().map(|b| is_served(b)).collect();
        let mut served = served?.into_iter();
        chosen.retain(|_| served.next() == Some(true));
    }
    chosen.sort_by_key(|binding| std::cmp::Reverse(elements(binding)));
    chosen.truncate(engine.most_textures());
    let places = chosen.into_iter().enumerate();
    Ok(places.map(|(i, binding)| Copied { binding, place: (i, texel_loads::COLUMNS) }).collect())
}

/// The type of an operand, if there is such an operand.
fn operand<'a>(variant: &'a Variant, operand: Operand, types: &'a Types) -> Option<&'a TensorType> {
    match operand {
        Operand::Workspace(i) => variant.workspace.get(i),
        Operand::Input(i) => types.inputs.get(i),
        Operand::Output(i) => types.outputs.get(i),
    }
}

/// The elements that are bound.
fn bound(variant: &Variant, binding: &Binding, types: &Types) -> std::ops::Range<usize> {
    let all = || 0..operand(variant, binding.operand, types).map_or(0, TensorType::elements);
    binding.range.clone().unwrap_or_else(all)
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
