//! Pooling: each window of a plane becomes one number.

mod cases;
mod max;
mod windows;

pub use max::{MaxPool2d, MaxPool2dGrad};

use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Shader, Variant, scaled};
use crate::ops::registry::Entry;
use windows::Geometry;

/// The ops of this folder.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "max_pool2d",
        formula: "y[o] = max of x over window o, and where it is",
        source: "Krizhevsky et al. 2012, section 3.4 (overlapping pooling)",
        cases: cases::max,
        random: cases::random_max,
        errors: cases::max_errors,
    },
    Entry {
        name: "max_pool2d_grad",
        formula: "grad_x[i] = sum of grad_y[o] over the windows o whose maximum is at i",
        source: "derived by hand",
        cases: cases::max_grad,
        random: cases::random_max_grad,
        errors: cases::max_grad_errors,
    },
];

/// How many planes make a job that is worth waking a thread for.
fn planes_per_job(g: &Geometry) -> usize {
    (16 * 1024usize).div_ceil(g.input_plane().max(g.output_plane()))
}

/// A variant with one invocation for each of the `work` elements of a plane, in as many dispatches
/// as the bindings need. `operands` are names, what is bound, and the elements of a plane.
fn plane_dispatches<P: bytemuck::NoUninit>(
    op: &'static str,
    shader: Shader,
    adapter: &Adapter,
    planes: usize,
    operands: &[(&'static str, Operand, usize)],
    work: usize,
    params: impl Fn(usize) -> P,
) -> Result<Vec<Variant>> {
    let sizes: Vec<usize> = operands.iter().map(|&(_, _, size)| size).collect();
    let chunks = adapter.chunk_items(op, planes, &sizes)?;
    let dispatches = chunks.into_iter().map(|chunk| {
        let items = chunk.len() * work;
        operands
            .iter()
            .fold(Dispatch::new(shader), |dispatch, &(name, operand, size)| {
                dispatch.bind_range(name, operand, scaled(&chunk, size))
            })
            .params(&params(items))
            .threads(items)
    });
    Ok(vec![Variant::new("gather", dispatches.collect())])
}
