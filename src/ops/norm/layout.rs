//! Over which elements statistics are taken, and which parameters an element has.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernel::Adapter;
use crate::ops::reduce::parts::{aligned, fitting};
use crate::tensor::{Shape, TensorType};

/// The sets of elements that are brought to mean 0 and variance 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Over {
    /// The whole batch, each channel (axis 1) by itself: batch normalisation. A set needs more than one
    /// element, or the output would not depend on the input.
    Batch,
    /// Each sample by itself, its channels in this many groups: group normalisation, and instance
    /// normalisation where there are as many groups as channels.
    Groups(usize),
    /// Each index of the leading axes by itself, over this many last axes: layer normalisation.
    Last(usize),
}

/// A tensor as `[samples, groups, depth, plane]`, in which every normalisation is the same: there are
/// statistics for each (sample, group), or, `across` the batch, for each group, and parameters for
/// each (group, depth).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Layout {
    pub samples: usize,
    pub groups: usize,
    pub depth: usize,
    pub plane: usize,
    pub across: bool,
}

impl Over {
    /// How `dims` is seen.
    ///
    /// Errors where the axes are not there, or the groups do not divide the channels.
    pub(super) fn layout(self, op: &'static str, shape: &Shape) -> Result<Layout> {
        let dims = shape.dims();
        let fault = |problem: String| Err(Error::shape(op, [shape], problem));
        match self {
            Over::Last(axes) => {
                if axes == 0 || axes > dims.len() {
                    return fault(format!("cannot normalise over the last {axes} axes"));
                }
                let (samples, depth) = dims.split_at(dims.len() - axes);
                let (samples, depth) = (samples.iter().product(), depth.iter().product());
                Ok(Layout { samples, groups: 1, depth, plane: 1, across: false })
            }
            Over::Batch | Over::Groups(_) => {
                let &[samples, channels, ref inner @ ..] = dims else {
                    return fault(
                        "needs a tensor of at least two axes, [batch, channels, ...]".into(),
                    );
                };
                let plane = inner.iter().product();
                let Over::Groups(groups) = self else {
                    return Ok(Layout { samples, groups: channels, depth: 1, plane, across: true });
                };
                if groups == 0 || !channels.is_multiple_of(groups) {
                    return fault(format!("{groups} groups do not divide {channels} channels"));
                }
                Ok(Layout { samples, groups, depth: channels / groups, plane, across: false })
            }
        }
    }

    /// The type of weight and bias for such an input.
    pub(super) fn parameter_type(self, input: &TensorType) -> TensorType {
        match self {
            Over::Last(axes) => TensorType::f32(input.dims()[input.dims().len() - axes..].to_vec()),
            Over::Batch | Over::Groups(_) => TensorType::f32([input.dims()[1]]),
        }
    }
}

impl Layout {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.samples * self.parameters() * self.plane
    }

    /// The number of sets with statistics of their own.
    pub fn sets(&self) -> usize {
        if self.across { self.groups } else { self.samples * self.groups }
    }

    /// The number of elements of a set.
    pub fn set_size(&self) -> usize {
        self.elements() / self.sets()
    }

    /// The number of elements of each parameter.
    pub fn parameters(&self) -> usize {
        self.groups * self.depth
    }

    /// The sets as sums: which elements each adds up.
    pub fn by_set(&self) -> Sums {
        let block = self.depth * self.plane;
        match self.across {
            true => Sums { outer: self.samples, count: self.groups, inner: block },
            false => Sums { outer: 1, count: self.sets(), inner: block },
        }
    }

    /// The parameters as sums.
    pub fn by_parameter(&self) -> Sums {
        Sums { outer: self.samples, count: self.parameters(), inner: self.plane }
    }
}

/// A tensor seen as `[outer, count, inner]` of which outer and inner are summed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub outer: usize,
    pub count: usize,
    pub inner: usize,
}

/// A share of [`Sums`] that fits the bindings.
pub(super) struct Share {
    /// The share's own sums.
    pub sums: Sums,
    /// Which of all sums they are part of.
    pub keys: Range<usize>,
    /// Its elements.
    pub elements: Range<usize>,
    /// The terms of those sums in shares before this one.
    pub before: usize,
}

impl Share {
    /// The elements as a binding, and where they start within it.
    pub fn bound(&self) -> (Range<usize>, usize) {
        aligned(self.elements.clone())
    }
}

impl Sums {
    /// The terms of one sum.
    pub fn terms(self) -> usize {
        self.outer * self.inner
    }

    /// Cuts along the outermost axis that there is.
    ///
    /// Errors where one row (a sample; a set) is larger than a binding.
    pub fn shares(self, op: &'static str, adapter: &Adapter) -> Result<Vec<Share>> {
        let Sums { outer, count, inner } = self;
        let (row, rows) = if outer == 1 { (inner, count) } else { (count * inner, outer) };
        let fitting = fitting(adapter, row, rows);
        if fitting == 0 || count > adapter.max_binding_elements() {
            return Err(Error::Memory {
                what: format!("one set of {op}"),
                needed: 4 * row.max(count) as u64,
                device: adapter.name.clone(),
                available: adapter.max_binding_bytes,
                remedy: "use smaller images, or an adapter with larger storage bindings".into(),
            });
        }
        let share = |first: usize| {
            let rows = first..(first + fitting).min(rows);
            let elements = rows.start * row..rows.end * row;
            match outer {
                1 => Share {
                    sums: Sums { count: rows.len(), ..self },
                    keys: rows,
                    elements,
                    before: 0,
                },
                _ => Share {
                    sums: Sums { outer: rows.len(), ..self },
                    keys: 0..count,
                    elements,
                    before: first * inner,
                },
            }
        };
        Ok((0..rows).step_by(fitting).map(share).collect())
    }
}
