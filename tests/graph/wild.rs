//! Plans of random graphs.

use super::*;

/// A random graph of values of one shape, with states that are updated while others still read them.
struct Wild {
    graph: Graph,
    inputs: Vec<(String, Tensor)>,
    /// Updated states with their new values.
    updates: HashMap<String, Value>,
    states: Vec<String>,
}

const SHAPE: [usize; 4] = [2, 3, 4, 5];

impl Wild {
    fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let mut graph = Graph::new();
        let mut inputs = vec![];
        let mut pool = vec![];
        let given = |graph: &mut Graph, inputs: &mut Vec<_>, name: String, tensor: Tensor| {
            let value = graph.input(name.clone(), tensor.ty()).unwrap();
            inputs.push((name, tensor));
            value
        };
        for i in 0..draw.size(1, 2) {
            let tensor = draw.normal(SHAPE);
            pool.push(given(&mut graph, &mut inputs, format!("x{i}"), tensor));
        }
        let rate = Tensor::scalar(0.3);
        let rate = given(&mut graph, &mut inputs, "rate".into(), rate);
        let counter = Tensor::u32([4], vec![seed as u32, 1, 2, 0]).unwrap();
        let counter = given(&mut graph, &mut inputs, "counter".into(), counter);
        let mut states = vec![];
        for i in 0..draw.size(2, 4) {
            states.push(parameter(&mut graph, &mut draw, &format!("s{i}"), SHAPE, 1.0));
        }
        pool.extend(&states);
        let mut fresh = states.clone();
        let mut updates = HashMap::new();
        for kernel in 0..draw.size(4, 18) as u32 {
            let (a, b) = (draw.pick(&pool), draw.pick(&pool));
            let unary = draw.pick(&[Unary::Relu, Unary::Sigmoid, Unary::Tanh]);
            let new = match draw.size(0, 10) {
                0 | 1 => graph.add(unary, &[a]).unwrap(),
                2 | 3 => graph.add(Add, &[a, b]).unwrap(),
                4 => graph.add(AddScaled, &[a, b, rate]).unwrap(),
                5 => graph.add_all(POOL, &[a]).unwrap()[0],
                6 => graph.add_all(LRN, &[a]).unwrap()[draw.size(0, 1)],
                7 => graph.add(Dropout { p: 0.4, layer: kernel }, &[a, counter]).unwrap(),
                8 => {
                    let name = format!("kernel{kernel}");
                    let weight = parameter(&mut graph, &mut draw, &name, [3, 3, 3, 3], 0.2);
                    graph.add(Conv2d::new(1, 1), &[a, weight]).unwrap()
                }
                9 => {
                    // Through another shape and back, in the same memory where nobody else reads it.
                    let flat = Shape::from([SHAPE.iter().product()]);
                    let flat = graph.add(Reshape { shape: flat }, &[a]).unwrap();
                    let flat = if draw.flip() { graph.add(unary, &[flat]).unwrap() } else { flat };
                    graph.add(Reshape { shape: SHAPE.into() }, &[flat]).unwrap()
                }
                _ if fresh.len() >= 2 => {
                    let form = draw.pick(&[SgdForm::Torch, SgdForm::CudaConvnet]);
                    let rule = Sgd { momentum: 0.7, weight_decay: 0.1, form, ..Sgd::default() };
                    let sgd = Update(rule);
                    let weight = fresh.remove(draw.size(0, fresh.len() - 1));
                    let velocity = fresh.remove(draw.size(0, fresh.len() - 1));
                    let new = graph.add_all(sgd, &[weight, velocity, a, rate]).unwrap();
                    for (state, new) in [(weight, new[0]), (velocity, new[1])] {
                        graph.update(state, new).unwrap();
                        updates.insert(graph.value(state).name.clone(), new);
                    }
                    pool.push(new[1]);
                    new[0]
                }
                _ => a,
            };
            pool.push(new);
            let is_computed = graph.nodes().iter().any(|n| n.outputs.contains(&new));
            if is_computed && !fresh.is_empty() && draw.size(0, 3) == 0 {
                let state = fresh.remove(draw.size(0, fresh.len() - 1));
                graph.update(state, new).unwrap();
                updates.insert(graph.value(state).name.clone(), new);
            }
        }
        for i in 0..draw.size(1, 4) {
            // Late values more often than not, so that most of the graph is needed.
            let first = if draw.flip() { pool.len() / 2 } else { 0 };
            let value = pool[draw.size(first, pool.len() - 1)];
            graph.output(format!("out{i}"), value).unwrap();
        }
        let states = graph.values().filter(|(_, info)| matches!(info.origin, Origin::State(_)));
        let states = states.map(|(_, info)| info.name.clone()).collect();
        Wild { graph, inputs, updates, states }
    }

    /// Runs two steps on the device; after each, outputs and states must be the oracle's, which
    /// starts from the states that the device had before.
    fn check(&self, device: &Device) -> Result<(), String> {
        let plan = Plan::new(&self.graph, &device.target()).map_err(|e| e.to_string())?;
        let mut session = Session::new(device);
        let mut program = session.load(plan).map_err(|e| e.to_string())?;
        let known = session.state_names();
        let tolerance = Tolerance::single(64).times(64.0);
        for step in 1..=2 {
            let mut bindings: Bindings =
                self.inputs.iter().map(|(n, t)| (n.clone(), Array::from(t))).collect();
            for name in &known {
                bindings.insert(name.clone(), Array::from(&session.state(name).unwrap()));
            }
            let expected = interpret(&self.graph, &bindings).unwrap();
            let used = |name: &str| program.plan().inputs.iter().any(|v| v.name == name);
            let inputs: Vec<_> =
                self.inputs.iter().filter(|(n, _)| used(n)).map(|(n, t)| (n.as_str(), t)).collect();
            let outputs = session.run(&mut program, &inputs).map_err(|e| e.to_string())?;
            let check = |what: &str, actual: &Tensor, expected: &Array| {
                let actual = Array::from(actual);
                let checked = tolerance.check(actual.data, &expected.data);
                checked.map_err(|e| format!("step {step}, {what}: {e}"))
            };
            for (name, value) in self.graph.outputs() {
                check(name, outputs.get(name).unwrap(), &expected[value])?;
            }
            for name in self.states.iter().filter(|n| known.contains(n)) {
                let now = session.state(name).unwrap();
                match self.updates.get(name) {
                    Some(value) => check(name, &now, &expected[value])?,
                    None => check(name, &now, &bindings[name])?,
                }
            }
        }
        Ok(())
    }
}

fn check_wild(device: &Device, seeds: std::ops::Range<u64>) {
    let (mut buffers, mut pieces, mut copies, mut nodes) = (0, 0, 0, 0);
    let mut failures = vec![];
    for seed in seeds.clone() {
        let wild = Wild::new(seed);
        if let Err(e) = std::panic::catch_unwind(AssertUnwindSafe(|| wild.check(device)))
            .unwrap_or_else(|_| Err("panicked".into()))
        {
            failures.push(format!("seed {seed}: {e}"));
            continue;
        }
        let plan = Plan::new(&wild.graph, &device.target()).unwrap();
        buffers += plan.buffers.len();
        copies += plan.steps.iter().filter(|s| matches!(s, PlanStep::Copy { .. })).count();
        nodes += plan.steps.len();
        // What needs memory: results, and the kernels' workspace.
        pieces += plan
            .steps
            .iter()
            .map(|s| match s {
                PlanStep::Run { outputs, workspace, .. } => outputs.len() + workspace.len(),
                PlanStep::Copy { .. } => 1,
            })
            .sum::<usize>();
    }
    println!("{nodes} steps, {copies} of them copies, in {buffers} buffers");
    let count = failures.len();
    failures.truncate(8);
    assert!(count == 0, "{count} of {seeds:?}:\n{}", failures.join("\n"));
    // The sample must exercise what it is for.
    assert!(buffers * 2 < pieces && copies > 0, "no memory is shared, or nothing is copied");
}

#[test]
fn plans_of_random_graphs_give_the_oracles_values_on_the_cpu() {
    check_wild(&Device::cpu(), 0..4000);
}

#[test]
fn plans_of_random_graphs_give_the_oracles_values_on_the_gpu() {
    if let Some(device) = common::gpu() {
        check_wild(&device, 0..60);
    }
}
