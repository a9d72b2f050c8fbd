//! Pairs of ops that are computed in one pass, such as a convolution and its ReLU: one pass less over
//! memory, and one value less to keep.

use std::collections::HashMap;

use super::{Graph, Node, Origin};
use crate::ops::Value;

/// `graph`, with each pair of ops fused for which there is an op that does both
/// ([`Op::followed_by`](crate::ops::Op::followed_by)), where nobody else reads the value in between.
/// Results are the same to the bit.
///
/// Plans are made of fused graphs. What looks at layers works on the graph as it was written.
pub fn fuse(graph: &Graph) -> Graph {
    let readers = readers(graph);
    let mut nodes: Vec<Option<Node>> = graph.nodes.iter().cloned().map(Some).collect();
    for second in 0..nodes.len() {
        let Some(fused) = nodes[second].as_ref().and_then(|node| {
            let [input] = node.inputs[..] else { return None };
            let Origin::Node { node: first, .. } = graph.value(input).origin else { return None };
            let before = nodes[first].as_ref()?;
            let is_pair = before.outputs.len() == 1
                && readers[&input] == 1
                && before.is_backward == node.is_backward;
            let op = before.op.followed_by(node.op.as_ref()).filter(|_| is_pair)?;
            let mut types = before.types.clone();
            types.outputs.clone_from(&node.types.outputs);
            let outputs = node.outputs.clone();
            Some((first, Node { op, types, outputs, ..before.clone() }))
        }) else {
            continue;
        };
        let (first, node) = fused;
        nodes[first] = None;
        nodes[second] = Some(node);
    }
    let mut new = graph.clone();
    new.nodes.clear();
    nodes.into_iter().flatten().for_each(|node| new.place(node));
    new
}

/// How often each value is read, by nodes, as an output and as a new state.
fn readers(graph: &Graph) -> HashMap<Value, usize> {
    let by_nodes = graph.nodes.iter().flat_map(|node| &node.inputs).copied();
    let outputs = graph.outputs.iter().map(|&(_, value)| value);
    let updates = graph.updates.iter().map(|&(_, value)| value);
    let mut readers = HashMap::new();
    for value in by_nodes.chain(outputs).chain(updates) {
        *readers.entry(value).or_default() += 1;
    }
    readers
}
