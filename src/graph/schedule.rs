//! The order in which a graph's nodes run.

use std::collections::{HashMap, HashSet};

use super::{Graph, Origin};
use crate::ops::Value;

/// The nodes that outputs and updates need, in the graph's order, but for three kinds that run as soon
/// as they can, so that activations and gradients die young: gradients of parameters, what is made of
/// them that is no larger, such as their norms, and updates of states, which can run when nobody needs
/// the old state any more.
pub(super) fn order(graph: &Graph) -> Vec<usize> {
    let needed = needed(graph);
    let mut readers: HashMap<Value, usize> = HashMap::new();
    for &n in &needed {
        for &v in &unique_inputs(graph, n) {
            *readers.entry(v).or_default() += 1;
        }
    }
    let overwritten: HashMap<usize, Vec<Value>> = overwritten_states(graph, &needed);
    let ends_backward = ends_backward(graph);
    let condenses = condenses(graph, &ends_backward);

    let mut order = Vec::with_capacity(needed.len());
    let mut done = HashSet::new();
    let mut in_order: Vec<usize> = needed.into_iter().collect();
    in_order.sort_unstable();
    let (mut pending, in_order): (Vec<usize>, Vec<usize>) = in_order
        .into_iter()
        .partition(|n| overwritten.contains_key(n) || ends_backward[*n] || condenses[*n]);

    let mut emit = |n: usize, done: &mut HashSet<usize>, readers: &mut HashMap<Value, usize>| {
        order.push(n);
        done.insert(n);
        for v in unique_inputs(graph, n) {
            if let Some(count) = readers.get_mut(&v) {
                *count -= 1;
            }
        }
    };
    let can_run = |n: usize, done: &HashSet<usize>, readers: &HashMap<Value, usize>| {
        producers(graph, n).all(|p| done.contains(&p))
            && overwritten.get(&n).is_none_or(|old| old.iter().all(|state| readers[state] == 1))
    };
    for n in std::iter::once(None).chain(in_order.into_iter().map(Some)) {
        if let Some(n) = n {
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
        while let Some(i) = pending.iter().position(|&n| can_run(n, &done, &readers)) {
            emit(pending.remove(i), &mut done, &mut readers);
        }
    }
    // What is left has no order but the graph's, such as updates that need each other's old states.
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

/// For each node, whether it ends the backward pass: its results, gradients of parameters, are read by
/// no other node of it.
pub(super) fn ends_backward(graph: &Graph) -> Vec<bool> {
    let readers = graph.nodes().iter().filter(|node| node.is_backward);
    let read: HashSet<Value> = readers.flat_map(|node| node.inputs.iter().copied()).collect();
    let is_end = |outputs: &[Value]| !outputs.iter().any(|v| read.contains(v));
    graph.nodes().iter().map(|node| node.is_backward && is_end(&node.outputs)).collect()
}

/// For each node, whether it makes of the gradient of a parameter something that is no larger.
fn condenses(graph: &Graph, ends_backward: &[bool]) -> Vec<bool> {
    let bytes = |v: &Value| graph.value(*v).ty.bytes();
    let is_gradient = |v: &Value| match graph.value(*v).origin {
        Origin::Node { node, .. } => ends_backward[node],
        _ => false,
    };
    let nodes = graph.nodes().iter().map(|node| {
        let made: u64 = node.outputs.iter().map(bytes).sum();
        let gradients = node.inputs.iter().filter(|&v| is_gradient(v)).map(bytes);
        !node.is_backward && gradients.max().is_some_and(|taken| made <= taken)
    });
    nodes.collect()
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
