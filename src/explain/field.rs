//! Receptive fields: which pixels of the picture a place in a layer sees, from the windows of the operations
//! between the two.

use std::collections::HashMap;
use std::ops::Range;

use crate::graph::{Graph, Node};
use crate::ops::arith::Binary;
use crate::ops::conv::{Conv2d, LocallyConnected2d, effective_kernel};
use crate::ops::elementwise::{Add, AddScaled, PRelu, Unary};
use crate::ops::lrn::{Lrn, LrnWithinChannel};
use crate::ops::norm::Normalise;
use crate::ops::pool::{AdaptiveAvgPool2d, AvgPool2d, MaxPool2d};
use crate::ops::shape::Concat;
use crate::ops::{Op, Value};

/// The pixels behind the places of a feature map. Each array is `[vertical, horizontal]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// How many pixels a place sees along each axis.
    pub size: [usize; 2],
    /// Pixels between the fields of neighbouring places.
    pub stride: [usize; 2],
    /// The first pixel that the first place sees; negative where it is in the padding.
    pub start: [isize; 2],
}

/// A window that slides over a map.
struct Window {
    reach: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Field {
    /// A pixel that sees itself.
    const PIXEL: Field = Field { size: [1; 2], stride: [1; 2], start: [0; 2] };

    /// The rows and columns that the place `at` sees of a picture of these extents.
    pub fn pixels(&self, at: [usize; 2], picture: [usize; 2]) -> [Range<usize>; 2] {
        [0, 1].map(|axis| {
            let first = self.start[axis] + (at[axis] * self.stride[axis]) as isize;
            let inside = |pixel: isize| pixel.clamp(0, picture[axis] as isize) as usize;
            inside(first)..inside(first + self.size[axis] as isize)
        })
    }

    /// What a window on maps with this field sees.
    fn through(&self, window: &Window) -> Field {
        let each = |f: &dyn Fn(usize) -> usize| [f(0), f(1)];
        Field {
            size: each(&|a| self.size[a] + (window.reach[a] - 1) * self.stride[a]),
            stride: each(&|a| self.stride[a] * window.stride[a]),
            start: [0, 1].map(|a| self.start[a] - (window.padding[a] * self.stride[a]) as isize),
        }
    }

    /// What either sees, where both move alike.
    fn and(&self, other: &Field) -> Option<Field> {
        let start = [0, 1].map(|a| self.start[a].min(other.start[a]));
        let end = |field: &Field, a: usize| field.start[a] + field.size[a] as isize;
        let size = [0, 1].map(|a| (end(self, a).max(end(other, a)) - start[a]) as usize);
        (self.stride == other.stride).then_some(Field { size, stride: self.stride, start })
    }
}

/// The field of every value that depends on `images`; `None` for one whose places see the whole picture, or of
/// which it is not known.
pub(super) fn fields(graph: &Graph, images: Value) -> HashMap<Value, Option<Field>> {
    let mut fields = HashMap::from([(images, Some(Field::PIXEL))]);
    for node in graph.nodes() {
        let seen: Vec<_> = node.inputs.iter().filter_map(|v| fields.get(v).copied()).collect();
        let Some((first, rest)) = seen.split_first() else { continue };
        let joined = rest.iter().fold(*first, |a, b| a.as_ref()?.and(b.as_ref()?));
        let field = joined.and_then(|field| Some(field.through(&window(node)?)));
        fields.extend(node.outputs.iter().map(|&output| (output, field)));
    }
    fields
}

/// The window of a node's operation; `None` where it sees everything, or is not known here.
fn window(node: &Node) -> Option<Window> {
    let (op, types) = (node.op.as_ref(), &node.types);
    let place = Window { reach: [1; 2], stride: [1; 2], padding: [0; 2] };
    let conv = op.downcast_ref::<Conv2d>();
    if let Some(conv) = conv.or(op.downcast_ref::<LocallyConnected2d>().map(|local| &local.0)) {
        let kernel = types.input(1);
        let reach = |axis: usize| effective_kernel(kernel[2 + axis], conv.dilation[axis]);
        let reach = [reach(0)?, reach(1)?];
        return Some(Window { reach, stride: conv.stride, padding: upper_left(conv.padding) });
    }
    if let Some(pool) = op.downcast_ref::<MaxPool2d>() {
        let reach = |axis: usize| effective_kernel(pool.window[axis], pool.dilation[axis]);
        let reach = [reach(0)?, reach(1)?];
        return Some(Window { reach, stride: pool.stride, padding: upper_left(pool.padding) });
    }
    if let Some(pool) = op.downcast_ref::<AvgPool2d>() {
        let padding = upper_left(pool.padding);
        return Some(Window { reach: pool.window, stride: pool.stride, padding });
    }
    if let Some(lrn) = op.downcast_ref::<LrnWithinChannel>() {
        let size = lrn.0.size;
        return Some(Window { reach: [size; 2], padding: [size / 2; 2], ..place });
    }
    let is_same = || types.inputs.iter().all(|ty| ty == &types.outputs[0]);
    let keeps_places = is::<Unary>(op)
        || is::<PRelu>(op)
        || is::<Add>(op)
        || is::<AddScaled>(op)
        || is::<Lrn>(op)
        || is::<Normalise>(op)
        || op.downcast_ref::<Concat>().is_some_and(|concat| concat.axis == 1)
        || (is::<Binary>(op) || is::<AdaptiveAvgPool2d>(op)) && is_same();
    keeps_places.then_some(place)
}

fn is<T: Op>(op: &dyn Op) -> bool {
    op.downcast_ref::<T>().is_some()
}

/// Of `[top, bottom, left, right]`.
fn upper_left([top, _, left, _]: [usize; 4]) -> [usize; 2] {
    [top, left]
}
