//! What is timed: a graph whose data stays on the device.

use std::collections::HashSet;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Graph, Plan};
use crate::kernel::Variant;
use crate::nn::Model;
use crate::ops::case::{Case, Draw};
use crate::ops::{Cost, Emit, Op};
use crate::optim::Optimizer;
use crate::session::Session;
use crate::tensor::{Tensor, TensorType};
use crate::train::{Names, Options, Precision, training_step_with};

/// A graph to be timed, with what it is given in each run.
#[derive(Clone, Debug)]
pub struct Workload {
    graph: Graph,
    /// Written in the first run only, as a data set that is on the device would be.
    first: Vec<(String, Tensor)>,
    /// Written in each run.
    each: Vec<(String, Tensor)>,
    kernel: Option<String>,
    /// Whether outputs are left on the device, so that runs may also follow each other without
    /// the host.
    is_resident: bool,
}

/// The state that is read back where nothing else is, so that the host knows when a run is over.
const TICK: &str = "tick";

impl Workload {
    /// One op on its case's inputs, which lie on the device as states.
    ///
    /// An op that works in place does so on the state, without the copy that would keep the old
    /// value: from run to run it reads what it wrote last.
    ///
    /// Errors where the op refuses the inputs.
    pub fn op(case: &Case) -> Result<Self> {
        let mut graph = Graph::new();
        let inputs = case.inputs.iter().enumerate();
        let inputs: Result<Vec<_>> =
            inputs.map(|(i, tensor)| graph.state(format!("in{i}"), tensor.clone())).collect();
        let inputs = inputs?;
        let outputs = graph.emit(case.op.clone(), &inputs)?;
        for (o, &output) in outputs.iter().enumerate() {
            match case.op.in_place().iter().find(|&&(_, out)| out == o) {
                Some(&(i, _)) => graph.update(inputs[i], output)?,
                None => graph.output(format!("out{o}"), output)?,
            }
        }
        Workload::resident(graph)
    }

    /// A graph without inputs, whose outputs are computed but left on the device.
    ///
    /// Errors where the graph has a state or an output `tick`.
    pub fn resident(mut graph: Graph) -> Result<Self> {
        let tick = graph.state(TICK, Tensor::scalar(0.0))?;
        graph.output(TICK, tick)?;
        Ok(Workload { graph, first: vec![], each: vec![], kernel: None, is_resident: true })
    }

    /// A whole training step on one random batch: forward, loss, backward and update. Loss and top-1
    /// are read back and the learning rate and the counter of random numbers written in each run, as
    /// in training; the images stay on the device.
    ///
    /// Errors where the network cannot be built for this batch.
    pub fn training_step(
        model: &Model,
        optimizer: &dyn Optimizer,
        batch: usize,
        precision: Precision,
    ) -> Result<Self> {
        let options = Options { seed: 1, precision, ..Options::default() };
        let graph = training_step_with(model, optimizer, &options, batch)?;
        let mut given = random_batch(model, batch)?;
        given.push((Names::LEARNING_RATE.into(), Tensor::scalar(optimizer.learning_rate())));
        // Networks without dropout have no counter.
        given.retain(|(name, _)| graph.find(name).is_some());
        let is_data =
            |(name, _): &(String, Tensor)| matches!(name.as_str(), Names::IMAGES | Names::LABELS);
        let (first, each) = given.into_iter().partition(is_data);
        Ok(Workload { graph, first, each, kernel: None, is_resident: false })
    }

    /// With the kernel of this name, on a GPU, in place of the one that would be picked.
    pub fn kernel(mut self, name: impl Into<String>) -> Self {
        self.kernel = Some(name.into());
        self
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether runs may follow each other without the host.
    pub fn is_resident(&self) -> bool {
        self.is_resident
    }

    /// What is given in the first run, and in those after it.
    pub(super) fn inputs(&self, is_first: bool) -> Vec<(&str, &Tensor)> {
        let first = self.first.iter().filter(|_| is_first);
        first.chain(&self.each).map(|(name, tensor)| (name.as_str(), tensor)).collect()
    }

    /// The plan of `repeats` runs in a row.
    ///
    /// What is to stay on the device is named as an output, so that it is computed, and then taken
    /// off the list of what is read back. The timed work is the op's and nothing else.
    pub(super) fn plan(&self, device: &Device, repeats: usize) -> Result<Plan> {
        let mut plan = plan(&self.graph, device, self.kernel.as_deref())?;
        if self.is_resident {
            plan.outputs.retain(|output| output.name == TICK);
            plan.steps = vec![plan.steps; repeats].concat();
        }
        Ok(plan)
    }

    /// The arithmetic and traffic of one run.
    ///
    /// Errors where the graph cannot be planned.
    pub fn cost(&self) -> Result<Cost> {
        Ok(plan(&self.graph, &Device::Cpu, None)?.cost())
    }
}

/// Random images, labels and counter for a network, under their names as graph inputs.
///
/// Errors where the network cannot be built.
pub(super) fn random_batch(model: &Model, batch: usize) -> Result<Vec<(String, Tensor)>> {
    let mut draw = Draw::new(1);
    Ok(vec![
        (Names::IMAGES.into(), draw.uniform(model.input_type(batch)?.shape, -1.0, 1.0)),
        (Names::LABELS.into(), draw.labels(batch, model.classes()?)),
        (Names::COUNTER.into(), Tensor::u32([4], vec![1, 0, 1, 0])?),
    ])
}

/// The outputs of one op on a device; on a GPU with the kernel of this name, or the one that is
/// picked.
///
/// Errors where the op refuses the inputs or the device fails.
pub fn compute(device: &Device, case: &Case, kernel: Option<&str>) -> Result<Vec<Tensor>> {
    let mut graph = Graph::new();
    let names: Vec<_> = (0..case.inputs.len()).map(|i| format!("in{i}")).collect();
    let inputs: Result<Vec<_>> =
        names.iter().zip(&case.inputs).map(|(n, t)| graph.input(n.clone(), t.ty())).collect();
    let outputs = graph.emit(case.op.clone(), &inputs?)?;
    for (o, &output) in outputs.iter().enumerate() {
        graph.output(format!("out{o}"), output)?;
    }
    let mut session = Session::new(device);
    let mut program = session.load(plan(&graph, device, kernel)?)?;
    let inputs: Vec<_> = names.iter().map(String::as_str).zip(&case.inputs).collect();
    let outputs = session.run(&mut program, &inputs)?;
    Ok(outputs.iter().map(|(_, tensor)| tensor.clone()).collect())
}

fn plan(graph: &Graph, device: &Device, kernel: Option<&str>) -> Result<Plan> {
    let Some(kernel) = kernel else { return device.plan(graph) };
    Plan::choosing(graph, &device.target(), &|op: &dyn Op, _, variants: Vec<Variant>| {
        let known: HashSet<_> = variants.iter().map(|v| v.name).collect();
        let found = variants.into_iter().find(|v| v.name == kernel);
        found.ok_or_else(|| Error::unknown("kernel", format!("{kernel} of {}", op.name()), known))
    })
}

/// A type's extents, as `64x32x28x28`, and those of several, parted by blanks.
pub(super) fn shapes(types: &[TensorType]) -> String {
    let one =
        |ty: &TensorType| ty.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    types.iter().map(one).collect::<Vec<_>>().join(" ")
}
