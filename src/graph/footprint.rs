//! What a plan's memory is spent on, at the step where it needs most.

use super::{Kind, Plan, PlanStep, Slot};

/// The memory of a plan, in bytes. [`Plan::footprint`] makes it.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// All buffers: states, inputs and slots.
    pub peak: u64,
    /// The least that this order of steps can do with: states, inputs and what is alive at one time.
    /// Values in place of others are counted once.
    pub lower_bound: u64,
    /// States that the network reads: parameters, and running statistics in evaluation.
    pub parameters: u64,
    /// States that only their updates read: momenta, and running statistics in training.
    pub optimizer: u64,
    /// Values written before each run.
    pub inputs: u64,
    /// The bytes of the slots' buffers, of which at the worst step some lie idle.
    pub slots: u64,
    /// The step at which most is alive.
    pub step: usize,
    /// The op of that step, with its layer.
    pub op: String,
    /// What is alive there, largest first.
    pub alive: Vec<Slot>,
}

impl Footprint {
    /// The peak over the lower bound; 1 is perfect.
    pub fn ratio(&self) -> f64 {
        self.peak as f64 / self.lower_bound as f64
    }

    /// The bytes of the slots' buffers over what is alive at the worst step: the ratio without what is always there.
    pub fn slot_ratio(&self) -> f64 {
        self.slots as f64 / self.alive.iter().map(|t| t.bytes).sum::<u64>() as f64
    }

    /// The bytes of one kind that are alive at the worst step.
    pub fn of(&self, kind: Kind) -> u64 {
        self.alive.iter().filter(|t| t.kind == kind).map(|t| t.bytes).sum()
    }
}

impl Plan {
    /// What the memory is spent on.
    pub fn footprint(&self) -> Footprint {
        let mut alive = vec![0; self.steps.len().max(1)];
        for t in &self.slots {
            alive[t.first..=t.last].iter_mut().for_each(|bytes| *bytes += t.bytes);
        }
        let most = alive.iter().copied().max().unwrap_or(0);
        let step = alive.iter().position(|&bytes| bytes == most).unwrap_or(0);
        let there = |t: &&Slot| (t.first..=t.last).contains(&step);
        let mut alive: Vec<_> = self.slots.iter().filter(there).cloned().collect();
        alive.sort_by_key(|t| std::cmp::Reverse(t.bytes));
        let parameters = self.states.iter().zip(self.states_read());
        let parameters = parameters.filter(|(_, read)| *read).map(|((v, _), _)| v.ty.bytes()).sum();
        let slots = self.buffers.iter().sum();
        Footprint {
            peak: self.memory(),
            lower_bound: self.memory() - slots + self.slots_lower_bound,
            parameters,
            optimizer: self.state_memory() - parameters,
            inputs: self.inputs.iter().map(|v| v.ty.bytes()).sum(),
            slots,
            step,
            op: self.steps.get(step).map(PlanStep::label).unwrap_or_default(),
            alive,
        }
    }

    /// For each state, whether a step reads it that does not write it.
    fn states_read(&self) -> Vec<bool> {
        let mut read = vec![false; self.states.len()];
        for step in &self.steps {
            let PlanStep::Run { inputs, outputs, .. } = step else { continue };
            for home in inputs.iter().filter(|home| !outputs.contains(home)) {
                if let super::Home::State(i) = *home {
                    read[i] = true;
                }
            }
        }
        read
    }
}
