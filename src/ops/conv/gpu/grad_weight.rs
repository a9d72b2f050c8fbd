//! Kernels of the weight's gradient: sums over parts of the batch and the image, then the sum of the
//! parts, in order.

use super::{Params, bind, im2col, shares};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::reduce::parts::add_parts;
use crate::tensor::TensorType;

pub(in crate::ops::conv) fn variants(g: &Geometry, adapter: &Adapter) -> Result<Vec<Variant>> {
    let im2col = im2col::grad_weight(g, adapter)?;
    Ok(im2col.into_iter().chain([direct(g, adapter)?]).collect())
}

/// How many parts a sum of `terms` is cut into, so that at least about `THREADS` threads have work;
/// a constant of the shape, for the same bits on every adapter.
fn parts(threads_a_part: usize, terms: usize) -> usize {
    const THREADS: usize = 1 << 16;
    THREADS.div_ceil(threads_a_part).min(terms).clamp(1, 64)
}

fn direct(g: &Geometry, adapter: &Adapter) -> Result<Variant> {
    // The workspace holds at least one output channel of every part.
    let most = (adapter.max_binding_elements() / 2 / g.depth()).max(1);
    let wanted = parts(g.outputs() * g.depth(), g.batch * g.output[0]).min(most);
    let shares = shares("conv2d_grad_weight", g, adapter, g.depth() * wanted)?;
    let mut dispatches = vec![];
    let mut workspace = 0;
    for share in &shares {
        let rows = share.images.len() * g.output[0];
        let part = rows.div_ceil(wanted);
        let parts = rows.div_ceil(part);
        let weights = share.weights(g);
        workspace = workspace.max(parts * weights.len());
        let dispatch = Dispatch::new(shader!("conv/grad_weight_direct.wgsl"));
        let dispatch = bind(dispatch, "input", Operand::Input(0), share.input(g));
        let dispatch = bind(dispatch, "grad_output", Operand::Input(1), share.output(g));
        dispatches.push(
            dispatch
                .bind_range("sums", Operand::Workspace(0), 0..parts * weights.len())
                .params(&Params { part: part as u32, ..share.params(g) })
                .threads(parts * weights.len()),
        );
        dispatches.push(add_parts(0, parts, &weights, share.images.start > 0));
    }
    Ok(Variant { name: "direct", dispatches, workspace: vec![TensorType::f32([workspace])] })
}
