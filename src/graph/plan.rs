//! A graph compiled for a device: steps in order, each value with a home in memory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::liveness::{self, Lifetime, Place};
use super::{Graph, Initial, Origin, fuse, schedule};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::{Cost, Op, Types, Value};
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
        Planner::new(&fuse(graph)).plan(target, choose)
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

/// A memory under construction: a fixed home, or a lifetime that still needs a slot.
#[derive(Clone, Copy)]
enum Memory {
    Fixed(Home),
    Temporary(usize),
}

struct Planner<'a> {
    graph: &'a Graph,
    order: Vec<usize>,
    /// The last position at which a value is read; `usize::MAX` for outputs and late updates.
    last_use: HashMap<Value, usize>,
    updates: HashMap<Value, Value>,
    memory: HashMap<Value, Memory>,
    /// Where outputs find the values that updated states had before.
    old_states: HashMap<Value, Memory>,
    lifetimes: Vec<Lifetime>,
    /// Name and kind of each lifetime.
    named: Vec<(String, Kind)>,
    /// For each node, whether it computes the gradients of parameters.
    ends_backward: Vec<bool>,
    inputs: Vec<PlanValue>,
    states: Vec<(PlanValue, Initial)>,
    drafts: Vec<Draft>,
}

/// A step whose temporaries have no slots yet.
enum Draft {
    Run {
        node: usize,
        inputs: Vec<Memory>,
        outputs: Vec<Memory>,
        variant: Option<Variant>,
        workspace: Vec<usize>,
    },
    Copy {
        from: Memory,
        to: Memory,
        bytes: u64,
    },
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph) -> Self {
        let order = schedule::order(graph);
        let mut planner = Planner {
            graph,
            order,
            last_use: HashMap::new(),
            updates: graph.updates().iter().copied().collect(),
            memory: HashMap::new(),
            old_states: HashMap::new(),
            lifetimes: vec![],
            named: vec![],
            ends_backward: schedule::ends_backward(graph),
            inputs: vec![],
            states: vec![],
            drafts: vec![],
        };
        planner.find_last_uses();
        planner.place_inputs_and_states();
        planner
    }

    fn find_last_uses(&mut self) {
        for (position, &n) in self.order.iter().enumerate() {
            for &v in &self.graph.nodes()[n].inputs {
                self.last_use.insert(v, position);
            }
        }
        for &(_, v) in self.graph.outputs() {
            self.last_use.insert(v, usize::MAX);
        }
        // An update that is not made in place is copied home after the last step.
        for (&state, &new) in &self.updates {
            if !self.is_made_in_place(state, new) {
                self.last_use.insert(new, usize::MAX);
            }
        }
    }

    fn is_made_in_place(&self, state: Value, new: Value) -> bool {
        let Origin::Node { node, output } = self.graph.value(new).origin else { return false };
        let node = &self.graph.nodes()[node];
        node.op.in_place().iter().any(|&(i, o)| o == output && node.inputs[i] == state)
    }

    fn place_inputs_and_states(&mut self) {
        let read: HashSet<Value> = self
            .order
            .iter()
            .flat_map(|&n| self.graph.nodes()[n].inputs.iter().copied())
            .chain(self.graph.outputs().iter().map(|&(_, v)| v))
            .chain(self.updates.iter().flat_map(|(&s, &n)| [s, n]))
            .collect();
        for (value, info) in self.graph.values().filter(|(v, _)| read.contains(v)) {
            let (ty, name) = (info.ty.clone(), info.name.clone());
            let home = match &info.origin {
                Origin::Input => {
                    let home = Home::Input(self.inputs.len());
                    self.inputs.push(PlanValue { ty, name, home });
                    home
                }
                Origin::State(initial) => {
                    let home = Home::State(self.states.len());
                    self.states.push((PlanValue { ty, name, home }, initial.clone()));
                    home
                }
                Origin::Node { .. } => continue,
            };
            self.memory.insert(value, Memory::Fixed(home));
        }
    }

    fn plan(mut self, target: &Target, choose: &Choose) -> Result<Plan> {
        for position in 0..self.order.len() {
            self.draft(position, target, choose)?;
        }
        self.copy_updates_home();
        let (places, buffers) = liveness::assign(&self.lifetimes);
        let home = |memory: &Memory| match *memory {
            Memory::Fixed(home) => home,
            Memory::Temporary(lifetime) => Home::Slot(lifetime),
        };
        let outputs = self.graph.outputs().iter().map(|(name, v)| PlanValue {
            ty: self.graph.value(*v).ty.clone(),
            name: name.clone(),
            home: home(self.old_states.get(v).unwrap_or(&self.memory[v])),
        });
        let outputs = outputs.collect();
        let steps = self.drafts.iter().map(|draft| match draft {
            Draft::Copy { from, to, bytes } => {
                PlanStep::Copy { from: home(from), to: home(to), bytes: *bytes }
            }
            Draft::Run { node, inputs, outputs, variant, workspace } => {
                let node = &self.graph.nodes()[*node];
                PlanStep::Run {
                    op: node.op.clone(),
                    types: node.types.clone(),
                    inputs: inputs.iter().map(home).collect(),
                    outputs: outputs.iter().map(home).collect(),
                    variant: variant.clone(),
                    workspace: workspace.clone(),
                    layer: node.layer.clone(),
                    is_backward: node.is_backward,
                }
            }
        });
        let steps: Vec<_> = steps.collect();
        let plan = Plan {
            steps,
            slots: self.slots(&places),
            buffers,
            inputs: self.inputs,
            states: self.states,
            outputs,
            slots_lower_bound: liveness::lower_bound(&self.lifetimes),
        };
        plan.check_buffers(target)?;
        Ok(plan)
    }

    fn draft(&mut self, position: usize, target: &Target, choose: &Choose) -> Result<()> {
        let graph = self.graph;
        let index = self.order[position];
        let node = &graph.nodes()[index];
        let mut inputs: Vec<_> = node.inputs.iter().map(|v| self.memory[v]).collect();
        for memory in &inputs {
            self.is_used(*memory, position);
        }
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for (o, &value) in node.outputs.iter().enumerate() {
            let overwritten = node.op.in_place().iter().find(|&&(_, out)| out == o).map(|p| p.0);
            let memory = match overwritten {
                Some(i) if self.may_overwrite(position, i, value) => {
                    let memory = inputs[i];
                    self.extend(memory, value, position);
                    memory
                }
                Some(i) => {
                    // A new state that could not take the old one's place is copied there at the end.
                    if self.updates.values().any(|&new| new == value) {
                        self.last_use.insert(value, usize::MAX);
                    }
                    let memory = self.temporary(value, position);
                    let bytes = graph.value(value).ty.bytes();
                    self.drafts.push(Draft::Copy { from: inputs[i], to: memory, bytes });
                    inputs[i] = memory;
                    memory
                }
                None => self.temporary(value, position),
            };
            self.memory.insert(value, memory);
            outputs.push(memory);
        }
        let (variant, workspace) = match target {
            Target::Cpu => (None, vec![4 * node.op.cpu_scratch(&node.types) as u64]),
            Target::Gpu(adapter) => {
                let variant = node
                    .op
                    .gpu(&node.types, adapter)
                    .and_then(|variants| choose(node.op.as_ref(), &node.types, variants))
                    .map_err(|e| e.in_layer(&node.layer))?;
                let sizes = variant.workspace.iter().map(TensorType::bytes).collect();
                (Some(variant), sizes)
            }
        };
        let name = || match node.layer.as_str() {
            "" => node.op.name().to_owned(),
            layer => format!("{layer}.{}", node.op.name()),
        };
        let workspace = workspace
            .into_iter()
            .filter(|&bytes| bytes > 0)
            .map(|bytes| self.lifetime(bytes, position, position, (name(), Kind::Workspace)))
            .collect();
        self.drafts.push(Draft::Run { node: index, inputs, outputs, variant, workspace });
        Ok(())
    }

    /// Whether input `i` of the node at `position` dies there, so that `output` may take its place.
    fn may_overwrite(&self, position: usize, i: usize, output: Value) -> bool {
        let node = &self.graph.nodes()[self.order[position]];
        let input = node.inputs[i];
        let read_once = node.inputs.iter().filter(|&&v| v == input).count() == 1;
        let dies = self.last_use.get(&input) == Some(&position);
        let owned = match self.memory[&input] {
            Memory::Temporary(_) => true,
            Memory::Fixed(Home::State(_)) => self.updates.get(&input) == Some(&output),
            Memory::Fixed(_) => false,
        };
        // The new state of one parameter may be computed from another's memory only by copying.
        read_once && dies && owned
    }

    fn last_use(&self, value: Value, position: usize) -> usize {
        match self.last_use.get(&value) {
            Some(&usize::MAX) => self.order.len(),
            Some(&last) => last,
            None => position,
        }
    }

    fn temporary(&mut self, value: Value, position: usize) -> Memory {
        let info = self.graph.value(value);
        let kind = match info.origin {
            Origin::Node { node, .. } if self.ends_backward[node] => Kind::ParameterGradient,
            Origin::Node { node, .. } if self.graph.nodes()[node].is_backward => Kind::Gradient,
            _ => Kind::Activation,
        };
        let last = self.last_use(value, position);
        let named = (info.name.clone(), kind);
        Memory::Temporary(self.lifetime(info.ty.bytes(), position, last, named))
    }

    fn lifetime(&mut self, bytes: u64, first: usize, last: usize, named: (String, Kind)) -> usize {
        self.lifetimes.push(Lifetime { bytes, first, last, used: vec![first] });
        self.named.push(named);
        self.lifetimes.len() - 1
    }

    /// Notes that the step at this position uses the memory.
    fn is_used(&mut self, memory: Memory, position: usize) {
        if let Memory::Temporary(lifetime) = memory {
            let used = &mut self.lifetimes[lifetime].used;
            if used.last() != Some(&position) {
                used.push(position);
            }
        }
    }

    /// The lifetimes by their names and places, in steps of the plan.
    fn slots(&self, places: &[Place]) -> Vec<Slot> {
        let runs = self.drafts.iter().enumerate();
        let runs = runs.filter_map(|(i, d)| matches!(d, Draft::Run { .. }).then_some(i));
        let step_of: Vec<usize> = runs.chain([self.drafts.len().saturating_sub(1)]).collect();
        let step = |position: usize| step_of[position.min(step_of.len() - 1)];
        let all = self.lifetimes.iter().zip(&self.named).zip(places);
        let all = all.map(|((lifetime, (name, kind)), place)| Slot {
            buffer: place.buffer,
            offset: place.offset,
            bytes: lifetime.bytes,
            first: step(lifetime.first),
            last: step(lifetime.last),
            name: name.clone(),
            kind: *kind,
        });
        all.collect()
    }

    /// Lets the memory live as long as the value that took it over.
    fn extend(&mut self, memory: Memory, value: Value, position: usize) {
        if let Memory::Temporary(lifetime) = memory {
            let last = self.last_use(value, position);
            let lifetime = &mut self.lifetimes[lifetime];
            lifetime.last = lifetime.last.max(last);
        }
    }

    fn copy_updates_home(&mut self) {
        // An output that names a state tells its value before the update.
        let end = self.order.len();
        for (_, state) in self.graph.outputs() {
            if let (Memory::Fixed(Home::State(_)), true) =
                (self.memory[state], self.updates.contains_key(state))
            {
                let info = self.graph.value(*state);
                let (bytes, named) = (info.ty.bytes(), (info.name.clone(), Kind::Activation));
                let old = Memory::Temporary(self.lifetime(bytes, end, end, named));
                self.drafts.push(Draft::Copy { from: self.memory[state], to: old, bytes });
                self.old_states.insert(*state, old);
            }
        }
        for &(state, new) in self.graph.updates() {
            let (Memory::Fixed(to), from) = (self.memory[&state], self.memory[&new]) else {
                continue;
            };
            if !matches!(from, Memory::Fixed(home) if home == to) {
                let bytes = self.graph.value(state).ty.bytes();
                self.drafts.push(Draft::Copy { from, to: Memory::Fixed(to), bytes });
            }
        }
    }
}

impl Plan {
    /// Errors where a single buffer is larger than the target allows.
    fn check_buffers(&self, target: &Target) -> Result<()> {
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
