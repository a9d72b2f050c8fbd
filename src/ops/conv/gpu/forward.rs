//! Kernels of the forward pass.

use super::{Choices, LEAST_ROWS, Share, bind, bind_bias, im2col, ranked, shares, texels, tiles};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;

pub(in crate::ops::conv) fn variants(
    op: &'static str,
    g: &Geometry,
    has_bias: bool,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let shares = shares(op, g, adapter, g.depth())?;
    let im2col = im2col::forward(g, has_bias, adapter)?;
    let choices = Choices {
        direct: direct(g, has_bias, &shares),
        tiled: tiled(g, has_bias, &shares),
        im2col,
        texels: texels::forward(g, has_bias, adapter),
        depthwise: g.is_depthwise().then(|| depthwise(g, has_bias, &shares)),
    };
    Ok(ranked(g, adapter, g.group_outputs >= LEAST_ROWS, choices))
}

fn depthwise(g: &Geometry, has_bias: bool, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/depthwise.wgsl"))
            .constant("KERNEL_HEIGHT", g.kernel[0] as u32)
            .constant("KERNEL_WIDTH", g.kernel[1] as u32);
        let quads = g.output[0] * g.output[1].div_ceil(4);
        operands(dispatch, g, has_bias, share)
            .threads(share.images.len() * share.channels() * quads)
    };
    Variant::new("depthwise", shares.iter().map(dispatch).collect())
}

fn operands(dispatch: Dispatch, g: &Geometry, has_bias: bool, share: &Share) -> Dispatch {
    let dispatch = bind(dispatch, "input", Operand::Input(0), share.input(g));
    let dispatch = bind(dispatch, "weight", Operand::Input(1), share.weights(g));
    let dispatch = bind(dispatch, "output", Operand::Output(0), share.output(g));
    let dispatch = dispatch.constant("BIAS", has_bias).params(&share.params(g));
    bind_bias(dispatch, has_bias, Operand::Input(1), share.weights(g))
}

fn direct(g: &Geometry, has_bias: bool, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/forward_direct.wgsl"));
        operands(dispatch, g, has_bias, share)
            .threads(share.images.len() * share.channels() * g.output_pixels())
    };
    Variant::new("direct", shares.iter().map(dispatch).collect())
}

fn tiled(g: &Geometry, has_bias: bool, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/forward_tiled.wgsl"));
        let pixels = share.images.len() * g.output_pixels();
        operands(dispatch, g, has_bias, share)
            .groups(share.groups.len() * tiles(share.outputs.len(), pixels))
    };
    Variant::new("tiled", shares.iter().map(dispatch).collect())
}
