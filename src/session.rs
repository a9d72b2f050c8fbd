//! Programs at work: plans loaded onto a device, and the states that they share.

use crate::cpu::{CpuProgram, CpuStates};
use crate::device::Device;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu::{GpuEngine, GpuPending, GpuProgram, GpuStates};
use crate::graph::{Graph, Plan, Timeline};
use crate::tensor::Tensor;

/// A device with states that last from run to run: parameters, momenta, running statistics.
///
/// Several programs may share them by name: one that trains and one that evaluates, or one for each
/// batch size.
#[derive(Debug)]
pub struct Session(Inner);

#[derive(Debug)]
enum Inner {
    Cpu(CpuStates),
    #[cfg(feature = "gpu")]
    Gpu(GpuEngine, GpuStates),
}

/// A plan loaded onto a device: everything that its runs need has been created.
#[derive(Debug)]
pub struct Program(ProgramInner);

#[derive(Debug)]
enum ProgramInner {
    Cpu(CpuProgram),
    #[cfg(feature = "gpu")]
    Gpu(GpuProgram),
}

/// The outputs of a run that may still be under way. Dropping it does not stop the run.
#[derive(Debug)]
pub struct Pending(PendingInner);

#[derive(Debug)]
enum PendingInner {
    Done(Vec<(String, Tensor)>),
    #[cfg(feature = "gpu")]
    Gpu(GpuPending),
}

/// The outputs of a run, by name.
#[derive(Clone, Debug)]
pub struct Outputs(Vec<(String, Tensor)>);

impl Session {
    /// A session without states.
    pub fn new(device: &Device) -> Self {
        Session(match device {
            Device::Cpu => Inner::Cpu(CpuStates::default()),
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => Inner::Gpu(engine.clone(), GpuStates::default()),
        })
    }

    /// The device.
    pub fn device(&self) -> Device {
        match &self.0 {
            Inner::Cpu(_) => Device::Cpu,
            #[cfg(feature = "gpu")]
            Inner::Gpu(engine, _) => Device::Gpu(engine.clone()),
        }
    }

    /// Compiles a graph and loads it. States that are new start from their initial values. On a
    /// device that is [tuned](Device::tuned) by measuring, kernels are measured first.
    ///
    /// Errors where the graph does not fit the device; nothing has run then.
    pub fn compile(&mut self, graph: &Graph) -> Result<Program> {
        let device = self.device();
        device.tune(graph);
        self.load(device.plan(graph)?)
    }

    /// Loads a plan that was compiled for this device's target.
    ///
    /// Errors where memory or the driver gives out.
    pub fn load(&mut self, plan: Plan) -> Result<Program> {
        Ok(Program(match &mut self.0 {
            Inner::Cpu(states) => ProgramInner::Cpu(CpuProgram::new(plan, states)?),
            #[cfg(feature = "gpu")]
            Inner::Gpu(engine, states) => ProgramInner::Gpu(GpuProgram::new(engine, plan, states)?),
        }))
    }

    /// Writes the inputs and starts a run. Inputs that are not given keep their last values. On a
    /// GPU it returns before the run is over; at most three runs may be under way.
    ///
    /// Errors where an input is unknown, of the wrong type or was never given, and where the device
    /// has failed.
    pub async fn start(
        &mut self,
        program: &mut Program,
        inputs: &[(&str, &Tensor)],
    ) -> Result<Pending> {
        Ok(Pending(match (&mut self.0, &mut program.0) {
            (Inner::Cpu(states), ProgramInner::Cpu(program)) => {
                PendingInner::Done(program.run(states, inputs)?)
            }
            #[cfg(feature = "gpu")]
            (Inner::Gpu(..), ProgramInner::Gpu(program)) => {
                PendingInner::Gpu(program.run(inputs).await?)
            }
            #[cfg(feature = "gpu")]
            _ => return Err(other_device()),
        }))
    }

    /// [`Session::start`], blocking where it must wait for the device to take the inputs.
    pub fn start_blocking(
        &mut self,
        program: &mut Program,
        inputs: &[(&str, &Tensor)],
    ) -> Result<Pending> {
        block_on(self.start(program, inputs))
    }

    /// Runs a program to its end and returns its outputs.
    ///
    /// Errors as [`Session::start`].
    pub fn run(&mut self, program: &mut Program, inputs: &[(&str, &Tensor)]) -> Result<Outputs> {
        block_on(async { self.start(program, inputs).await?.finish().await })
    }

    /// [`Session::run`], timed step by step. On a GPU each dispatch is then a pass of its own, so that
    /// the run as a whole takes longer than it would.
    ///
    /// Errors as [`Session::start`].
    pub fn run_timed(
        &mut self,
        program: &mut Program,
        inputs: &[(&str, &Tensor)],
    ) -> Result<(Outputs, Timeline)> {
        let (outputs, timeline) = match (&mut self.0, &mut program.0) {
            (Inner::Cpu(states), ProgramInner::Cpu(program)) => {
                program.run_timed(states, inputs)?
            }
            #[cfg(feature = "gpu")]
            (Inner::Gpu(..), ProgramInner::Gpu(program)) => block_on(program.run_timed(inputs))?,
            #[cfg(feature = "gpu")]
            _ => return Err(other_device()),
        };
        Ok((Outputs(outputs), timeline))
    }

    /// The names of all states, in the order in which programs brought them.
    pub fn state_names(&self) -> Vec<String> {
        match &self.0 {
            Inner::Cpu(states) => states.names(),
            #[cfg(feature = "gpu")]
            Inner::Gpu(_, states) => states.names(),
        }
    }

    /// The present value of a state.
    ///
    /// Errors where there is none of that name.
    pub async fn read_state(&self, name: &str) -> Result<Tensor> {
        match &self.0 {
            Inner::Cpu(states) => states.read(name),
            #[cfg(feature = "gpu")]
            Inner::Gpu(engine, states) => states.read(engine, name).await,
        }
    }

    /// [`Session::read_state`], blocking.
    pub fn state(&self, name: &str) -> Result<Tensor> {
        block_on(self.read_state(name))
    }

    /// Gives a state a value.
    ///
    /// Errors where there is none of that name, or it has another shape.
    pub fn set_state(&mut self, name: &str, value: &Tensor) -> Result<()> {
        match &mut self.0 {
            Inner::Cpu(states) => states.write(name, value),
            #[cfg(feature = "gpu")]
            Inner::Gpu(engine, states) => states.write(engine, name, value),
        }
    }
}

#[cfg(feature = "gpu")]
fn other_device() -> Error {
    Error::Usage("the program was loaded onto another device".into())
}

impl Program {
    /// The plan that was loaded.
    pub fn plan(&self) -> &Plan {
        match &self.0 {
            ProgramInner::Cpu(program) => program.plan(),
            #[cfg(feature = "gpu")]
            ProgramInner::Gpu(program) => program.plan(),
        }
    }

    /// Records a run for a GPU and drops what was recorded: the next run then finds in the processor's
    /// caches what it records. Does nothing on the CPU.
    pub(crate) fn rehearse(&self) {
        match &self.0 {
            ProgramInner::Cpu(_) => {}
            #[cfg(feature = "gpu")]
            ProgramInner::Gpu(program) => program.rehearse(),
        }
    }

    /// The copies that a GPU makes in a run: of what kernels load from textures, and of values that are kept
    /// from what is written over them. None on the CPU.
    pub fn copies(&self) -> usize {
        match &self.0 {
            ProgramInner::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            ProgramInner::Gpu(program) => program.copies(),
        }
    }
}

impl Pending {
    /// Outputs that are there already.
    pub(crate) fn ready(outputs: Vec<(String, Tensor)>) -> Self {
        Pending(PendingInner::Done(outputs))
    }

    /// The outputs, once the run is over.
    ///
    /// Errors where anything went wrong on the device.
    pub async fn finish(self) -> Result<Outputs> {
        match self.0 {
            PendingInner::Done(outputs) => Ok(Outputs(outputs)),
            #[cfg(feature = "gpu")]
            PendingInner::Gpu(pending) => Ok(Outputs(pending.finish().await?)),
        }
    }

    /// [`Pending::finish`], blocking.
    pub fn wait(self) -> Result<Outputs> {
        block_on(self.finish())
    }
}

impl Outputs {
    /// The output of this name.
    ///
    /// Errors where there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor);
        found.ok_or_else(|| Error::unknown("output", name, self.0.iter().map(|(n, _)| n.as_str())))
    }

    /// The first element of the `f32` output of this name: its value, where it is single.
    ///
    /// Errors where there is none, or it is not `f32`.
    pub fn scalar(&self, name: &str) -> Result<f32> {
        let values = self.get(name)?.as_f32()?;
        values.first().copied().ok_or_else(|| Error::Usage(format!("output `{name}` is empty")))
    }

    /// The outputs in the order in which the graph named them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

#[cfg(feature = "gpu")]
fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Without a GPU nothing ever has to be waited for.
#[cfg(not(feature = "gpu"))]
fn block_on<T>(future: impl Future<Output = T>) -> T {
    use std::task::{Context, Poll, Waker};
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
