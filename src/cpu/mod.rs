//! The CPU engine: runs a plan on all cores, one step after another.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::graph::{Clock, Home, HostSpan, Initial, Plan, PlanStep, Slot, Span, Timeline};
use crate::ops::{CpuTensors, as_u32, as_u32_mut, parallel};
use crate::tensor::{DType, Data, Tensor, TensorType, to_half};

/// The states of a session on the CPU, by name.
#[derive(Debug, Default)]
pub(crate) struct CpuStates {
    names: HashMap<String, usize>,
    types: Vec<TensorType>,
    buffers: Vec<Vec<f32>>,
}

impl CpuStates {
    /// The names, in the order in which they came.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|&(_, &index)| index);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn read(&self, name: &str) -> Result<Tensor> {
        let index = self.find(name)?;
        tensor(&self.types[index], &self.buffers[index])
    }

    pub(crate) fn write(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let index = self.find(name)?;
        check_type("state", name, &self.types[index], tensor)?;
        write(&mut self.buffers[index], &self.types[index], tensor);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.names.get(name).copied().ok_or_else(|| Error::unknown("state", name, self.names()))
    }

    /// The index of the state, which starts from `initial` if it is new.
    fn adopt(&mut self, name: &str, initial: &Initial) -> Result<usize> {
        if let Some(&index) = self.names.get(name) {
            check_same(name, &self.types[index], initial.ty())?;
            return Ok(index);
        }
        let tensor = initial.tensor();
        let buffer = match tensor.dtype() {
            // Without a copy, and zeros take no memory until they are touched.
            DType::F32 if initial.ty().dtype == DType::F32 => tensor.into_f32(),
            _ => {
                let mut buffer = vec![0.0; initial.ty().elements()];
                write(&mut buffer, initial.ty(), &tensor);
                buffer
            }
        };
        self.names.insert(name.to_owned(), self.buffers.len());
        self.types.push(initial.ty().clone());
        self.buffers.push(buffer);
        Ok(self.buffers.len() - 1)
    }
}

/// A plan with its memory.
#[derive(Debug)]
pub(crate) struct CpuProgram {
    plan: Plan,
    /// Those that the plan's slots lie in.
    buffers: Vec<Vec<f32>>,
    inputs: Vec<Vec<f32>>,
    is_written: Vec<bool>,
    /// For each of the plan's states, its index in the session.
    states: Vec<usize>,
}

impl CpuProgram {
    /// Allocates everything that the plan needs.
    pub(crate) fn new(plan: Plan, states: &mut CpuStates) -> Result<Self> {
        let indices: Result<Vec<_>> =
            plan.states.iter().map(|(value, initial)| states.adopt(&value.name, initial)).collect();
        Ok(CpuProgram {
            buffers: plan.buffers.iter().map(|&b| vec![0.0; b.div_ceil(4) as usize]).collect(),
            inputs: plan.inputs.iter().map(|v| vec![0.0; v.ty.elements()]).collect(),
            is_written: vec![false; plan.inputs.len()],
            states: indices?,
            plan,
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Writes the inputs, runs the steps, and returns the outputs.
    pub(crate) fn run(
        &mut self,
        states: &mut CpuStates,
        inputs: &[(&str, &Tensor)],
    ) -> Result<Vec<(String, Tensor)>> {
        self.run_each(states, inputs, |memory, step| memory.step(step))
    }

    /// [`CpuProgram::run`], with the time that each step took.
    pub(crate) fn run_timed(
        &mut self,
        states: &mut CpuStates,
        inputs: &[(&str, &Tensor)],
    ) -> Result<(Vec<(String, Tensor)>, Timeline)> {
        let began = Instant::now();
        let now = || began.elapsed().as_secs_f64();
        let mut device = Vec::with_capacity(self.plan.steps.len());
        let outputs = self.run_each(states, inputs, |memory, step| {
            let start = now();
            memory.step(step);
            device.push(Span { step: device.len(), dispatch: 0, start, end: now() });
        })?;
        let host = vec![HostSpan { name: "run", start: 0.0, end: now() }];
        Ok((outputs, Timeline { clock: Clock::Host, device, host }))
    }

    fn run_each(
        &mut self,
        states: &mut CpuStates,
        inputs: &[(&str, &Tensor)],
        mut run: impl FnMut(&mut Memory<'_>, &PlanStep) + Send,
    ) -> Result<Vec<(String, Tensor)>> {
        for &(name, tensor) in inputs {
            let index = find_input(&self.plan, name)?;
            let ty = &self.plan.inputs[index].ty;
            check_type("input", name, ty, tensor)?;
            write(&mut self.inputs[index], ty, tensor);
            self.is_written[index] = true;
        }
        if let Some(index) = self.is_written.iter().position(|written| !written) {
            let name = &self.plan.inputs[index].name;
            return Err(Error::Usage(format!("input `{name}` was never given")));
        }
        let mut memory = Memory {
            slots: &self.plan.slots,
            buffers: &mut self.buffers,
            inputs: &mut self.inputs,
            states: &mut states.buffers,
            state_of: &self.states,
        };
        // From within the thread pool, so that it is called once and not by every op.
        rayon::scope(|_| self.plan.steps.iter().for_each(|step| run(&mut memory, step)));
        let outputs = self
            .plan
            .outputs
            .iter()
            .map(|value| Ok((value.name.clone(), tensor(&value.ty, memory.get(value.home))?)));
        outputs.collect()
    }
}

/// The index of a plan's input.
pub(crate) fn find_input(plan: &Plan, name: &str) -> Result<usize> {
    plan.inputs
        .iter()
        .position(|v| v.name == name)
        .ok_or_else(|| Error::unknown("input", name, plan.inputs.iter().map(|v| v.name.as_str())))
}

/// Errors unless `tensor` is of the type that `name` has.
pub(crate) fn check_type(kind: &str, name: &str, ty: &TensorType, tensor: &Tensor) -> Result<()> {
    if tensor.shape() == &ty.shape && tensor.dtype() == ty.dtype.on_host() {
        return Ok(());
    }
    Err(Error::Usage(format!("{kind} `{name}` is {ty}, was given {}", tensor.ty())))
}

/// Errors unless a graph's state is of the type that the session has under that name.
pub(crate) fn check_same(name: &str, kept: &TensorType, wanted: &TensorType) -> Result<()> {
    if kept == wanted {
        return Ok(());
    }
    Err(Error::Usage(format!("state `{name}` is {kept} in this session, {wanted} in the graph")))
}

/// Everything that steps read and write.
struct Memory<'a> {
    slots: &'a [Slot],
    buffers: &'a mut [Vec<f32>],
    inputs: &'a mut [Vec<f32>],
    states: &'a mut [Vec<f32>],
    state_of: &'a [usize],
}

/// As many tensors as most ops read or write.
const MANY: usize = 16;

/// `count` empty places: those of `few` where they are enough, else of `many`, which then takes memory.
fn places<'a, T: Default>(
    count: usize,
    few: &'a mut [T; MANY],
    many: &'a mut Vec<T>,
) -> &'a mut [T] {
    if count <= MANY {
        return &mut few[..count];
    }
    many.resize_with(count, T::default);
    many
}

impl Memory<'_> {
    /// What lies at `home`, and what follows it.
    fn get(&self, home: Home) -> &[f32] {
        match home {
            Home::Slot(i) => &self.buffers[self.slots[i].buffer][self.start(home)..],
            Home::Input(i) => &self.inputs[i],
            Home::State(i) => &self.states[self.state_of[i]],
        }
    }

    /// The element of its buffer at which `home` starts.
    fn start(&self, home: Home) -> usize {
        match home {
            Home::Slot(i) => (self.slots[i].offset / 4) as usize,
            Home::Input(_) | Home::State(_) => 0,
        }
    }

    /// The elements of its buffer that are a slot's.
    fn elements(&self, slot: usize) -> Range<usize> {
        let Slot { offset, bytes, .. } = self.slots[slot];
        (offset / 4) as usize..((offset + bytes) / 4) as usize
    }

    /// Takes the buffer of `home` out, so that the others can be read while it is written. It comes back
    /// with [`Memory::put`]. Nothing else in it is needed meanwhile: no two slots of a step share one.
    fn take(&mut self, home: Home) -> Vec<f32> {
        std::mem::take(self.place(home))
    }

    fn put(&mut self, home: Home, buffer: Vec<f32>) {
        *self.place(home) = buffer;
    }

    fn place(&mut self, home: Home) -> &mut Vec<f32> {
        match home {
            Home::Slot(i) => &mut self.buffers[self.slots[i].buffer],
            Home::Input(i) => &mut self.inputs[i],
            Home::State(i) => &mut self.states[self.state_of[i]],
        }
    }

    fn step(&mut self, step: &PlanStep) {
        match step {
            PlanStep::Copy { from, to, bytes } => {
                let elements = (bytes / 4) as usize;
                let (mut target, start) = (self.take(*to), self.start(*to));
                target[start..][..elements].copy_from_slice(&self.get(*from)[..elements]);
                self.put(*to, target);
            }
            PlanStep::Run { op, types, inputs, outputs, workspace, .. } => {
                let (mut few, mut many) = Default::default();
                let taken = places::<Vec<f32>>(outputs.len(), &mut few, &mut many);
                for (buffer, &home) in taken.iter_mut().zip(outputs) {
                    *buffer = self.take(home);
                }
                let scratch_home = workspace.first().map(|&slot| Home::Slot(slot));
                let mut scratch = scratch_home.map(|home| self.take(home)).unwrap_or_default();
                let scratch_range = match workspace.first() {
                    Some(&slot) => self.elements(slot),
                    None => 0..0,
                };
                let (mut few, mut many) = Default::default();
                let reads = places::<&[f32]>(inputs.len(), &mut few, &mut many);
                for ((read, home), ty) in reads.iter_mut().zip(inputs).zip(&types.inputs) {
                    if !outputs.contains(home) {
                        *read = &self.get(*home)[..ty.elements()];
                    }
                }
                let (mut few, mut many) = Default::default();
                let writes = places::<&mut [f32]>(outputs.len(), &mut few, &mut many);
                let places = taken.iter_mut().zip(outputs).zip(&types.outputs);
                for (write, ((buffer, &home), ty)) in writes.iter_mut().zip(places) {
                    *write = &mut buffer[self.start(home)..][..ty.elements()];
                }
                op.cpu(&mut CpuTensors {
                    types,
                    inputs: reads,
                    outputs: writes,
                    scratch: &mut scratch[scratch_range],
                });
                for ((buffer, &home), ty) in taken.iter_mut().zip(outputs).zip(&types.outputs) {
                    if ty.dtype == DType::F16 {
                        round_to_half(&mut buffer[self.start(home)..][..ty.elements()]);
                    }
                    self.put(home, std::mem::take(buffer));
                }
                if let Some(home) = scratch_home {
                    self.put(home, scratch);
                }
            }
        }
    }
}

fn write(buffer: &mut [f32], ty: &TensorType, tensor: &Tensor) {
    match tensor.data() {
        Data::F32(v) => buffer[..v.len()].copy_from_slice(v),
        Data::U32(v) => as_u32_mut(buffer)[..v.len()].copy_from_slice(v),
    }
    if ty.dtype == DType::F16 {
        round_to_half(&mut buffer[..ty.elements()]);
    }
}

/// Values in half precision have four bytes each here, of which the last are zeros.
fn round_to_half(values: &mut [f32]) {
    parallel::each(values, |part| part.iter_mut().for_each(|x| *x = to_half(*x).to_f32()));
}

fn tensor(ty: &TensorType, buffer: &[f32]) -> Result<Tensor> {
    let words = &buffer[..ty.elements()];
    match ty.dtype {
        DType::F32 | DType::F16 => Tensor::f32(ty.shape.clone(), words.to_vec()),
        DType::U32 => Tensor::u32(ty.shape.clone(), as_u32(words).to_vec()),
    }
}
