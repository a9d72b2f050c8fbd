//! Activations that are computed again in the backward pass rather than kept for it: less memory for
//! more time (Chen, Xu, Zhang & Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016).
//!
//! Results are the same to the bit. An op is a pure function: dropout draws the same numbers again, as
//! they depend on the counter alone, and running statistics are updated by a node of their own, which
//! is not repeated.

use std::collections::{HashMap, HashSet};

use super::{Graph, Node, Origin};
use crate::error::{Error, Result};
use crate::ops::Value;

/// Which activations are computed again in the backward pass.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// None: all that the backward pass reads are kept.
    #[default]
    None,
    /// Those that take little time: activations, normalisations and pools, from the results of
    /// convolutions and matrix products, which are kept.
    Cheap,
    /// All but those at the ends of segments. Segments are as many as need the least memory; their
    /// values come to life again one segment at a time, for at most one more forward pass.
    Full,
}

impl Recompute {
    /// All, by their names.
    pub const ALL: [(&str, Recompute); 3] =
        [("none", Recompute::None), ("cheap", Recompute::Cheap), ("full", Recompute::Full)];

    /// The one of this name.
    ///
    /// Errors where there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = Recompute::ALL.into_iter().find(|(n, _)| *n == name);
        let names = Recompute::ALL.map(|(name, _)| name);
        found.map(|(_, found)| found).ok_or_else(|| Error::unknown("recompute", name, names))
    }

    /// `graph`, a training step with its backward pass, with these activations computed again.
    pub fn apply(self, graph: Graph) -> Graph {
        let pass = ForwardPass::of(&graph);
        let kept = match self {
            Recompute::None => return graph,
            Recompute::Cheap => pass.all_but_cheap(),
            Recompute::Full => pass.ends_of_segments(),
        };
        recompute(&graph, &|v| kept.contains(&v))
    }
}

/// `graph`, with the forward values that its backward pass reads computed again where they are first
/// read, unless they are kept. Inputs and states always are.
pub fn recompute(graph: &Graph, is_kept: &dyn Fn(Value) -> bool) -> Graph {
    let mut new = graph.clone();
    new.nodes.clear();
    let mut again = HashMap::new();
    for node in &graph.nodes {
        let mut node = node.clone();
        if node.is_backward {
            for input in &mut node.inputs {
                *input = read_again(&mut new, graph, *input, is_kept, &mut again);
            }
        }
        new.place(node);
    }
    new
}

/// The value that the backward pass reads for `value`: itself, or its second computation.
fn read_again(
    new: &mut Graph,
    graph: &Graph,
    value: Value,
    is_kept: &dyn Fn(Value) -> bool,
    again: &mut HashMap<Value, Value>,
) -> Value {
    let Origin::Node { node, .. } = graph.value(value).origin else { return value };
    let mut node = graph.nodes[node].clone();
    if node.is_backward || is_kept(value) {
        return value;
    }
    if let Some(&second) = again.get(&value) {
        return second;
    }
    for input in &mut node.inputs {
        *input = read_again(new, graph, *input, is_kept, again);
    }
    for output in &mut node.outputs {
        let info = graph.value(*output);
        let second = new.push(info.ty.clone(), info.name.clone(), info.origin.clone());
        again.insert(std::mem::replace(output, second), second);
    }
    node.is_backward = true;
    new.place(node);
    again[&value]
}

/// What of the forward pass the backward pass reads.
struct ForwardPass<'a> {
    graph: &'a Graph,
    /// The nodes before the backward pass.
    nodes: &'a [Node],
    /// Values of the forward pass that the backward pass reads.
    saved: HashSet<Value>,
}

/// How many bytes may be moved for each byte that is not kept; so many operations count as a byte.
const CHEAP: u64 = 16;
const FLOPS_PER_BYTE: u64 = 10;

impl<'a> ForwardPass<'a> {
    fn of(graph: &'a Graph) -> Self {
        let end = graph.nodes.iter().position(|n| n.is_backward).unwrap_or(graph.nodes.len());
        let nodes = &graph.nodes[..end];
        let computed: HashSet<Value> = nodes.iter().flat_map(|n| n.outputs.clone()).collect();
        let read = graph.nodes.iter().filter(|n| n.is_backward).flat_map(|n| n.inputs.clone());
        ForwardPass { graph, nodes, saved: read.filter(|v| computed.contains(v)).collect() }
    }

    fn saved_of(&self, node: &'a Node) -> impl Iterator<Item = Value> + '_ {
        node.outputs.iter().copied().filter(|v| self.saved.contains(v))
    }

    fn saved_bytes(&self, node: &'a Node) -> u64 {
        self.saved_of(node).map(|v| self.graph.value(v).ty.bytes()).sum()
    }

    /// What the backward pass reads and what takes long to compute from it again.
    fn all_but_cheap(&self) -> HashSet<Value> {
        let mut kept = HashSet::new();
        // For each value that is not kept, what it takes to compute it from those that are.
        let mut price: HashMap<Value, u64> = HashMap::new();
        for node in self.nodes {
            let cost = node.op.cost(&node.types);
            let own = cost.bytes_read + cost.bytes_written + cost.flops / FLOPS_PER_BYTE;
            let before: u64 = node.inputs.iter().filter_map(|v| price.get(v)).sum();
            let saved = self.saved_bytes(node);
            let is_cheap = own + before <= CHEAP * saved;
            if saved > 0 && !is_cheap {
                kept.extend(self.saved_of(node));
            }
            let all = node.outputs.iter().filter(|&v| !kept.contains(v));
            price.extend(all.map(|&v| (v, own + before)));
        }
        kept
    }

    /// The values at which the pass can be cut, because nothing else crosses there, at as many places
    /// as need the least memory; and all of the last segment, which is read at once.
    fn ends_of_segments(&self) -> HashSet<Value> {
        let cuts = self.cuts();
        let choices = (1..=cuts.len() + 1).map(|parts| self.segments(&cuts, parts as u64));
        let ends = choices.min().map(|(_, ends)| ends).unwrap_or_default();
        let last = ends.last().map_or(0, |&n| n + 1);
        let ends = ends.iter().map(|&n| &self.nodes[n]).chain(&self.nodes[last..]);
        ends.flat_map(|node| self.saved_of(node)).collect()
    }

    /// The nodes that end all segments but the last, of about the same bytes each, and the bytes that
    /// are needed then: the ends, and the largest segment.
    fn segments(&self, cuts: &[usize], parts: u64) -> (u64, Vec<usize>) {
        let total: u64 = self.nodes.iter().map(|n| self.saved_bytes(n)).sum();
        let (mut ends, mut done, mut kept, mut segment, mut largest) = (vec![], 0, 0, 0, 0);
        for (n, node) in self.nodes.iter().enumerate() {
            let own = self.saved_bytes(node);
            done += own;
            let is_full = done * parts >= total * (ends.len() as u64 + 1);
            if is_full && cuts.contains(&n) {
                largest = u64::max(largest, segment);
                (segment, kept) = (0, kept + own);
                ends.push(n);
            } else {
                segment += own;
            }
        }
        (kept + largest.max(segment), ends)
    }

    /// The nodes after which the forward pass reads nothing from before but their own results, which
    /// the backward pass reads too.
    fn cuts(&self) -> Vec<usize> {
        let mut last_read: HashMap<Value, usize> = HashMap::new();
        for (n, node) in self.nodes.iter().enumerate() {
            last_read.extend(node.inputs.iter().map(|&v| (v, n)));
        }
        let (mut cuts, mut reach) = (vec![], 0);
        for (n, node) in self.nodes.iter().enumerate() {
            let read: Vec<_> = node.outputs.iter().filter(|v| last_read.contains_key(v)).collect();
            if reach <= n && !read.is_empty() && read.iter().all(|v| self.saved.contains(v)) {
                cuts.push(n);
            }
            reach = read.iter().map(|v| last_read[v]).fold(reach, usize::max);
        }
        cuts
    }
}
