//! What training steps need in memory. Plans are made and not run.

use gabor::graph::{Footprint, Graph, Kind, Plan, PlanStep, Target};
use gabor::kernel::Adapter;
use gabor::optim::Sgd;
use gabor::train::training_step;
use gabor::zoo;

fn graph(model: &str, batch: usize) -> Graph {
    let (input, classes) = zoo::find(model).unwrap().home;
    let model = zoo::build(model, input, classes).unwrap();
    training_step(&model, &Sgd::new(0.01).momentum(0.9), batch, 1).unwrap()
}

/// The CPU, and a GPU without limits to the size of its buffers.
fn targets() -> [Target; 2] {
    let adapter = Adapter { max_buffer_bytes: u64::MAX, ..Adapter::webgpu_default() };
    [Target::Cpu, Target::Gpu(adapter)]
}

fn plans(model: &str, batch: usize) -> impl Iterator<Item = Plan> {
    let graph = graph(model, batch);
    targets().into_iter().map(move |target| Plan::new(&graph, &target).unwrap())
}

#[test]
fn alexnet_takes_little_more_than_what_is_alive_at_one_time() {
    for model in ["alexnet", "alexnet-2014"] {
        for batch in [4, 32, 128] {
            for plan in plans(model, batch) {
                let footprint = plan.footprint();
                let ratio = footprint.slot_ratio();
                assert!(ratio <= 1.15, "{model}, batch {batch}: {ratio}");
                assert!(footprint.ratio() <= ratio, "states and inputs are no more than needed");
            }
        }
    }
}

#[test]
fn the_parts_of_a_footprint_add_up() {
    for plan in plans("resnet-18", 2) {
        let footprint = plan.footprint();
        let Footprint { parameters, optimizer, inputs, slots, peak, .. } = footprint;
        assert_eq!(parameters + optimizer + inputs + slots, peak);
        let alive: u64 = Kind::ALL.into_iter().map(|kind| footprint.of(kind)).sum();
        assert_eq!(alive, plan.slots_lower_bound);
        assert_eq!(footprint.lower_bound, peak - slots + alive);
        // Momenta, and two running statistics for each of 4,800 channels.
        assert_eq!(parameters, 4 * 11_689_512);
        assert_eq!(optimizer, parameters + 2 * 4 * 4_800);
    }
}

/// A parameter is updated as soon as its gradient is there and nothing reads its old value any more: of
/// the largest gradients only one is there at a time.
#[test]
fn gradients_of_parameters_die_young() {
    for plan in plans("alexnet-2014", 4) {
        let gradients = plan.temporaries.iter().filter(|t| t.kind == Kind::ParameterGradient);
        let mut alive = vec![0; plan.steps.len()];
        for t in gradients.clone() {
            alive[t.first..=t.last].iter_mut().for_each(|bytes| *bytes += t.bytes);
        }
        let (most, largest) = (alive.iter().max().unwrap(), gradients.map(|t| t.bytes).max());
        assert!(*most <= largest.unwrap() + (1 << 20), "{most} bytes of gradients at one time");
        let last_backward = plan
            .steps
            .iter()
            .rposition(|s| matches!(s, PlanStep::Run { is_backward: true, .. }));
        let updates = plan.steps.iter().take(last_backward.unwrap());
        let updates = updates.filter(|s| s.label().starts_with("update."));
        assert!(updates.count() >= 12, "updates wait for the end");
    }
}
