//! A graph compiled for a device: steps in order, each value with a home in memory.

use std::sync::Arc;

use super::planner::Planner;
use super::{Graph, Initial, fuse};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::{Cost, Op, Types};
use crate::tensor::TensorType;

/// What a plan is compiled for.
#[derive(Clone, Debug)]
pub enum Target {
    /// The CPU engine.
    Cpu,
    /// A GPU with these properties.
    Gpu(Adapter),
}

/// Where a value lives while the plan runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Home {
    /// The plan's state of this index.
    State(usize),
    /// The plan's input of this index.
    Input(usize),
    /// The plan's slot of this index.
    Slot(usize),
}

/// A value of a plan.
#[derive(Clone, Debug)]
pub struct PlanValue {
    /// Shape and element type.
    pub ty: TensorType,
    /// The name it has in the graph.
    pub name: String,
    /// Where it lives.
    pub home: Home,
}

/// A step of a plan.
#[derive(Clone, Debug)]
pub enum PlanStep {
    /// Runs an op.
    Run {
        /// The operation.
        op: Arc<dyn Op>,
        /// Its shapes.
        types: Types,
        /// Where its inputs are. An input that is overwritten is where the output is.
        inputs: Vec<Home>,
        /// Where its outputs go.
        outputs: Vec<Home>,
        /// The kernels, on a GPU.
        variant: Option<Variant>,
        /// The slots of the kernels' workspace, or of the CPU's scratch.
        workspace: Vec<usize>,
        /// The path of its layer.
        layer: String,
        /// Whether it belongs to the backward pass.
        is_backward: bool,
    },
    /// Copies a value whose memory is about to be overwritten, or a new state into its home.
    Copy {
        /// From here,
        from: Home,
        /// to there,
        to: Home,
        /// this many bytes.
        bytes: u64,
    },
}

impl PlanStep {
    /// The op with its layer, such as `conv1.conv2d`, and whether it is a part of the backward pass.
    pub fn label(&self) -> String {
        match self {
            PlanStep::Copy { bytes, .. } => format!("copy of {bytes} bytes"),
            PlanStep::Run { op, layer, is_backward, .. } => {
                let pass = if *is_backward { ", backward" } else { "" };
                let dot = if layer.is_empty() { "" } else { "." };
                format!("{layer}{dot}{}{pass}", op.name())
            }
        }
    }
}

/// Picks one of the variants that an op offers.
pub type Choose<'a> = dyn Fn(&dyn Op, &Types, Vec<Variant>) -> Result<Variant> + 'a;

/// A graph compiled for a [`Target`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<PlanStep>,
    /// The bytes of each buffer that slots lie in.
    pub buffers: Vec<u64>,
    /// The places of what is computed on the way.
    pub slots: Vec<Slot>,
    /// Values written before each run.
    pub inputs: Vec<PlanValue>,
    /// Values kept between runs, with what they start from.
    pub states: Vec<(PlanValue, Initial)>,
    /// Values to read after a run, by the outputs' names.
    pub outputs: Vec<PlanValue>,
    /// The least bytes that any placement of the slots could do with.
    pub slots_lower_bound: u64,
}

/// Memory for a part of a run: that of a value, with those written over it, or of a workspace. Others
/// are there at other times. What one step uses lies in different buffers.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The buffer that it lies in,
    pub buffer: usize,
    /// after this many bytes, a multiple of 256.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The index of the step that writes it,
    pub first: usize,
    /// and that of the last step that reads it.
    pub last: usize,
    /// The name of the value, or of what works in the workspace.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A value of the forward pass, kept for the next layer or the backward pass.
    Activation,
    /// A value of the backward pass.
    Gradient,
    /// A value that the backward pass is for: it reads it no more.
    ParameterGradient,
    /// What a kernel needs for itself.
    Workspace,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] =
        [Kind::Activation, Kind::Gradient, Kind::ParameterGradient, Kind::Workspace];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Activation => "activations",
            Kind::Gradient => "gradients of activations",
            Kind::ParameterGradient => "gradients of parameters",
            Kind::Workspace => "workspace",
        }
    }
}

impl Plan {
    /// Compiles `graph` for `target`, choosing for each op the variant that it puts first.
    ///
    /// Errors where an op has no kernel for the target, or a value does not fit a buffer.
    pub fn new(graph: &Graph, target: &Target) -> Result<Self> {
        Plan::choosing(graph, target, &|_, _, variants| {
            variants.into_iter().next().ok_or_else(|| Error::Usage("no kernel".into()))
        })
    }

    /// Compiles `graph`, with ops [fused](fuse) where they can be, for `target`; `choose` picks among an op's variants.
    ///
    /// Errors as [`Plan::new`].
    pub fn choosing(graph: &Graph, target: &Target, choose: &Choose) -> Result<Self> {
        Planner::new(&fuse(graph), target).plan(choose)
    }

    /// The bytes of everything: buffers of slots, inputs and states.
    pub fn memory(&self) -> u64 {
        let inputs: u64 = self.inputs.iter().map(|v| v.ty.bytes()).sum();
        self.buffers.iter().sum::<u64>() + inputs + self.state_memory()
    }

    /// Where in its buffer a value starts, in bytes.
    pub fn start(&self, home: Home) -> u64 {
        match home {
            Home::Slot(i) => self.slots[i].offset,
            Home::State(_) | Home::Input(_) => 0,
        }
    }

    /// The bytes of the states.
    pub fn state_memory(&self) -> u64 {
        self.states.iter().map(|(v, _)| v.ty.bytes()).sum()
    }

    /// The arithmetic and traffic of one run.
    pub fn cost(&self) -> Cost {
        let costs = self.steps.iter().map(|step| match step {
            PlanStep::Run { op, types, .. } => op.cost(types),
            PlanStep::Copy { bytes, .. } => {
                Cost { flops: 0, bytes_read: *bytes, bytes_written: *bytes }
            }
        });
        costs.fold(Cost::default(), |sum, cost| sum + cost)
    }
}

impl Plan {
    /// Errors where a single buffer is larger than the target allows.
    pub(super) fn check_buffers(&self, target: &Target) -> Result<()> {
        let Target::Gpu(adapter) = target else { return Ok(()) };
        let values = self.inputs.iter().chain(self.states.iter().map(|(v, _)| v));
        let named = values.map(|v| (v.name.as_str(), v.ty.bytes()));
        let slots = self.buffers.iter().map(|&bytes| ("the largest activation", bytes));
        match named.chain(slots).find(|&(_, bytes)| bytes > adapter.max_buffer_bytes) {
            None => Ok(()),
            Some((name, needed)) => Err(Error::Memory {
                what: format!("one buffer, for {name},"),
                needed,
                device: adapter.name.clone(),
                available: adapter.max_buffer_bytes,
                remedy: "use a smaller batch".into(),
            }),
        }
    }
}
