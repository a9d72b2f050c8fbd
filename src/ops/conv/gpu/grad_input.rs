//! Kernels of the input's gradient.

use super::{LEAST_ROWS, Params, Share, bind, im2col, ranked, shares, tiles};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;

pub(in crate::ops::conv) fn variants(g: &Geometry, adapter: &Adapter) -> Result<Vec<Variant>> {
    let shares = shares("conv2d_grad_input", g, adapter, g.depth())?;
    let im2col = im2col::grad_input(g, adapter)?;
    let plain = [direct(g, &shares), tiled(g, &shares)];
    // Of the windows that a tile looks at, all but one in stride_height * stride_width do not exist.
    let fills_tiles = g.stride == [1, 1] && g.group_inputs >= LEAST_ROWS;
    Ok(ranked(g, adapter, fills_tiles, im2col, plain))
}

fn operands(dispatch: Dispatch, g: &Geometry, share: &Share) -> Dispatch {
    let dispatch = bind(dispatch, "grad_output", Operand::Input(0), share.output(g));
    let dispatch = bind(dispatch, "weight", Operand::Input(1), share.weights(g));
    let dispatch = bind(dispatch, "grad_input", Operand::Output(0), share.input(g));
    let accumulate = (share.outputs.start > 0).into();
    dispatch.params(&Params { accumulate, ..share.params(g) })
}

fn direct(g: &Geometry, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/grad_input_direct.wgsl"));
        let channels = share.groups.len() * g.group_inputs;
        operands(dispatch, g, share).threads(share.images.len() * channels * g.input_pixels())
    };
    Variant::new("direct", shares.iter().map(dispatch).collect())
}

fn tiled(g: &Geometry, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/grad_input_tiled.wgsl"))
            .constant("STRIDED", g.stride != [1, 1]);
        let pixels = share.images.len() * g.input_pixels();
        operands(dispatch, g, share).groups(share.groups.len() * tiles(g.group_inputs, pixels))
    };
    Variant::new("tiled", shares.iter().map(dispatch).collect())
}
