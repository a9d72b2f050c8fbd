//! How a plan is made of a graph: order, kernels, which value is written over which, and copies.

use std::collections::{HashMap, HashSet};

use super::liveness::{self, Lifetime, Place};
use super::plan::{Choose, Home, Kind, Plan, PlanStep, PlanValue, Slot, Target};
use super::{Graph, Initial, Origin, schedule};
use crate::error::Result;
use crate::kernel::Variant;
use crate::ops::Value;
use crate::tensor::TensorType;

/// A memory under construction: a fixed home, or a lifetime that still needs a slot.
#[derive(Clone, Copy)]
enum Memory {
    Fixed(Home),
    Temporary(usize),
}

/// A plan under construction.
pub(super) struct Planner<'a> {
    graph: &'a Graph,
    target: &'a Target,
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
    pub(super) fn new(graph: &'a Graph, target: &'a Target) -> Self {
        let order = schedule::order(graph);
        let mut planner = Planner {
            graph,
            target,
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

    pub(super) fn plan(mut self, choose: &Choose) -> Result<Plan> {
        for position in 0..self.order.len() {
            self.draft(position, choose)?;
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
        plan.check_buffers(self.target)?;
        Ok(plan)
    }

    fn draft(&mut self, position: usize, choose: &Choose) -> Result<()> {
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
                    let bytes = self.bytes(value);
                    self.drafts.push(Draft::Copy { from: inputs[i], to: memory, bytes });
                    inputs[i] = memory;
                    memory
                }
                None => self.temporary(value, position),
            };
            self.memory.insert(value, memory);
            outputs.push(memory);
        }
        let (variant, workspace) = match self.target {
            Target::Cpu => (None, vec![4 * node.op.cpu_scratch(&node.types) as u64]),
            Target::Gpu(adapter) => {
                let variant = node
                    .op
                    .variants(&node.types, adapter)
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
        Memory::Temporary(self.lifetime(self.bytes(value), position, last, named))
    }

    /// The memory of a value. On the CPU every element has four bytes.
    fn bytes(&self, value: Value) -> u64 {
        let ty = &self.graph.value(value).ty;
        match self.target {
            Target::Cpu => 4 * ty.elements() as u64,
            Target::Gpu(_) => ty.bytes(),
        }
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
                let (bytes, named) = (self.bytes(*state), (info.name.clone(), Kind::Activation));
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
                let bytes = self.bytes(state);
                self.drafts.push(Draft::Copy { from, to: Memory::Fixed(to), bytes });
            }
        }
    }
}
