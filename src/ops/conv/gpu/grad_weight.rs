//! Kernels of the weight's gradient: sums over parts of the batch and the image, then the sum of the
//! parts, in order.

use super::product::{Extents, Product, Tiled};
use super::{Choices, Params, Share, bind, im2col, ranked, shares, texels};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::reduce::parts::add_parts;
use crate::tensor::TensorType;

pub(in crate::ops::conv) fn variants(
    op: &'static str,
    g: &Geometry,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let e = Extents { rows: g.group_outputs, columns: g.depth(), count: g.groups };
    let choices = Choices {
        direct: direct(op, g, adapter)?,
        tiled: Tiled::new(e, adapter, |product| tiled(op, g, adapter, product))?,
        im2col: im2col::grad_weight(g, adapter)?,
        texels: texels::grad_weight(g, adapter),
        depthwise: g.is_depthwise().then(|| depthwise(op, g, adapter)).transpose()?,
        winograd: vec![],
    };
    let mut variants = ranked(g, adapter, true, choices);
    if let Some(pointwise) = im2col::pointwise_grad_weight(g, adapter)? {
        // One product an image is more to write than the images where these are small.
        let is_small = g.output_pixels() * (g.group_outputs + g.group_inputs)
            < g.group_outputs * g.group_inputs;
        variants.insert(usize::from(is_small), pointwise);
    }
    Ok(variants)
}

/// One workgroup an output, block of taps and part; a part is some rows of the output.
fn depthwise(op: &'static str, g: &Geometry, adapter: &Adapter) -> Result<Variant> {
    const WORKGROUPS: usize = 1024;
    // Pixels, for 64 threads.
    const LEAST_PIXELS: usize = 512;
    let taps = g.taps().min(16);
    let blocks = g.taps().div_ceil(taps);
    let rows = g.batch * g.output[0];
    let least_rows = LEAST_PIXELS.div_ceil(g.output[1]);
    let wanted = parts(WORKGROUPS, g.outputs() * blocks, rows.div_ceil(least_rows));
    let dispatch = |share: &Share, parts: usize| {
        Dispatch::new(shader!("conv/depthwise_grad_weight.wgsl"))
            .constant("TAPS", taps as u32)
            .groups(parts * share.channels() * blocks)
    };
    in_parts(["depthwise", op], g, adapter, wanted, g.output[0], dispatch)
}

/// How many parts a sum of `terms` is cut into, so that at least about `wanted` workgroups or threads
/// have work, `each` in a part; a constant of the shape, for the same bits on every adapter.
fn parts(wanted: usize, each: usize, terms: usize) -> usize {
    wanted.div_ceil(each).min(terms).clamp(1, 64)
}

/// One invocation a weight and part; a part is some rows of the output.
fn direct(op: &'static str, g: &Geometry, adapter: &Adapter) -> Result<Variant> {
    const THREADS: usize = 1 << 16;
    let wanted = parts(THREADS, g.outputs() * g.depth(), g.batch * g.output[0]);
    let dispatch = |share: &Share, parts: usize| {
        Dispatch::new(shader!("conv/grad_weight_direct.wgsl"))
            .threads(parts * share.channels() * g.depth())
    };
    in_parts(["direct", op], g, adapter, wanted, g.output[0], dispatch)
}

/// One workgroup a tile of weights and part; a part is some pixels of the output.
fn tiled(op: &'static str, g: &Geometry, adapter: &Adapter, product: Product) -> Result<Variant> {
    const WORKGROUPS: usize = 512;
    // Shorter parts would spend their time on writing and reading the sums.
    const LEAST_PIXELS: usize = 128;
    let pixels = g.output_pixels();
    let each = g.groups * product.tiles(g.group_outputs, g.depth());
    let wanted = parts(WORKGROUPS, each, (g.batch * pixels).div_ceil(LEAST_PIXELS));
    let dispatch = |share: &Share, parts: usize| {
        product
            .dispatch(shader!("conv/grad_weight_tiled.wgsl"), &["input", "grad_output"])
            .groups(parts * share.groups.len() * product.tiles(share.outputs.len(), g.depth()))
    };
    in_parts([product.name(), op], g, adapter, wanted, pixels, dispatch)
}

/// Sums over `wanted` parts of the images, each of which has `image_terms` terms, and the sum of the
/// parts. `dispatch` says how a number of parts of a share are computed.
fn in_parts(
    [name, op]: [&'static str; 2],
    g: &Geometry,
    adapter: &Adapter,
    wanted: usize,
    image_terms: usize,
    dispatch: impl Fn(&Share, usize) -> Dispatch,
) -> Result<Variant> {
    // The workspace holds at least one output channel of every part.
    let most = (adapter.max_binding_elements() / 2 / g.depth()).max(1);
    let wanted = wanted.min(most);
    let shares = shares(op, g, adapter, g.depth() * wanted)?;
    let mut dispatches = vec![];
    let mut workspace = 0;
    for share in &shares {
        let terms = share.images.len() * image_terms;
        let part = terms.div_ceil(wanted);
        let parts = terms.div_ceil(part);
        let weights = share.weights(g);
        workspace = workspace.max(parts * weights.len());
        let dispatch = bind(dispatch(share, parts), "input", Operand::Input(0), share.input(g));
        let dispatch = bind(dispatch, "grad_output", Operand::Input(1), share.output(g));
        dispatches.push(
            dispatch
                .bind_range("sums", Operand::Workspace(0), 0..parts * weights.len())
                .params(&Params { part: part as u32, ..share.params(g) }),
        );
        dispatches.push(add_parts(0, parts, &weights, share.images.start > 0));
    }
    Ok(Variant { name, dispatches, workspace: vec![TensorType::f32([workspace])] })
}
