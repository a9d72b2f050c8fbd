//! The order in which a graph's nodes run.

use std::collections::{HashMap, HashSet};

use super::{Graph, Origin};
use crate::ops::Value;

/// The nodes that outputs and updates need, in the graph's order, but for updates of states: they
/// run as soon as nobody needs the old state any more, so that gradients die young.
pub(super) fn order(graph: &Graph) -> Vec<usize> {
    let needed = needed(graph);
    let mut readers: HashMap<Value, usize> = HashMap::new();
    for &n in &needed {
        for &v in &unique_inputs(graph, n) {
            *readers.entry(v).or_default() += 1;
        }
    }
    let overwritten: HashMap<usize, Vec<Value>> = overwritten_states(graph, &needed);

    let mut order = Vec::with_capacity(needed.len());
    let mut done = HashSet::new();
    let mut pending: Vec<usize> = Vec::new();
    let mut in_order: Vec<usize> = needed.into_iter().collect();
    in_order.sort_unstable();

    let mut emit = |n: usize, done: &mut HashSet<usize>, readers: &mut HashMap<Value, usize>| {
        order.push(n);
        done.insert(n);
        for v in unique_inputs(graph, n) {
            if let Some(count) = readers.get_mut(&v) {
                *count -= 1;
            }
        }
    };
    for n in in_order {
        if overwritten.contains_key(&n) {
            pending.push(n);
        } else {
            // A reader of the new state must find it updated; and so must another update.
            let first_before =
                |pending: &[usize], n| pending.iter().position(|&u| feeds(graph, u, n));
            while let Some(mut i) = first_before(&pending, n) {
                while let Some(earlier) = first_before(&pending, pending[i]) {
                    i = earlier;
                }
                emit(pending.remove(i), &mut done, &mut readers);
            }
            emit(n, &mut done, &mut readers);
        }
        while let Some(i) = pending.iter().position(|u| {
            producers(graph, *u).all(|p| done.contains(&p))
                && overwritten[u].iter().all(|state| readers[state] == 1)
        }) {
            emit(pending.remove(i), &mut done, &mut readers);
        }
    }
    for n in pending {
        emit(n, &mut done, &mut readers);
    }
    order
}

/// The nodes on which an output or an update depends.
fn needed(graph: &Graph) -> HashSet<usize> {
    let mut needed = HashSet::new();
    let outputs = graph.outputs().iter().map(|&(_, v)| v);
    let mut open: Vec<Value> = outputs.chain(graph.updates().iter().map(|&(_, v)| v)).collect();
    while let Some(value) = open.pop() {
        if let Origin::Node { node, .. } = graph.value(value).origin
            && needed.insert(node)
        {
            open.extend(&graph.nodes()[node].inputs);
        }
    }
    needed
}

/// For each node that updates states in place, those states.
fn overwritten_states(graph: &Graph, needed: &HashSet<usize>) -> HashMap<usize, Vec<Value>> {
    let updates: HashMap<Value, Value> = graph.updates().iter().copied().collect();
    let mut overwritten: HashMap<usize, Vec<Value>> = HashMap::new();
    for &n in needed {
        let node = &graph.nodes()[n];
        for &(input, output) in node.op.in_place() {
            if updates.get(&node.inputs[input]) == Some(&node.outputs[output]) {
                overwritten.entry(n).or_default().push(node.inputs[input]);
            }
        }
    }
    overwritten
}

fn unique_inputs(graph: &Graph, node: usize) -> HashSet<Value> {
    graph.nodes()[node].inputs.iter().copied().collect()
}

fn producers(graph: &Graph, node: usize) -> impl Iterator<Item = usize> {
    graph.nodes()[node].inputs.iter().filter_map(|&v| match graph.value(v).origin {
        Origin::Node { node, .. } => Some(node),
        _ => None,
    })
}

fn feeds(graph: &Graph, from: usize, to: usize) -> bool {
    producers(graph, to).any(|p| p == from)
}
