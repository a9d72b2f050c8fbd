//! Kernels of the forward pass.

use super::product::{Extents, Product, Tiled};
use super::{Choices, Epilogue, Share, bind, bind_bias, im2col, ranked, shares, texels, winograd};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;

pub(in crate::ops::conv) fn variants(
    op: &'static str,
    g: &Geometry,
    epilogue: Epilogue,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let shares = shares(op, g, adapter, g.depth())?;
    let im2col = im2col::forward(g, epilogue, adapter)?;
    let columns = g.batch * g.output_pixels();
    let e = Extents { rows: g.group_outputs, columns, count: g.groups };
    let choices = Choices {
        direct: direct(g, epilogue, &shares),
        tiled: Tiled::new(e, adapter, |product| Ok(tiled(g, epilogue, &shares, product)))?,
        im2col,
        texels: texels::forward(g, epilogue, adapter),
        depthwise: g.is_depthwise().then(|| depthwise(g, epilogue, &shares)),
        winograd: winograd::forward(g, epilogue, adapter)?,
    };
    Ok(ranked(g, adapter, true, choices))
}

fn depthwise(g: &Geometry, epilogue: Epilogue, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/depthwise.wgsl"))
            .constant("KERNEL_HEIGHT", g.kernel[0] as u32)
            .constant("KERNEL_WIDTH", g.kernel[1] as u32);
        let quads = g.output[0] * g.output[1].div_ceil(4);
        operands(dispatch, g, epilogue, share)
            .threads(share.images.len() * share.channels() * quads)
    };
    Variant::new("depthwise", shares.iter().map(dispatch).collect())
}

fn operands(dispatch: Dispatch, g: &Geometry, epilogue: Epilogue, share: &Share) -> Dispatch {
    let dispatch = bind(dispatch, "input", Operand::Input(0), share.input(g));
    let dispatch = bind(dispatch, "weight", Operand::Input(1), share.weights(g));
    let dispatch = bind(dispatch, "output", Operand::Output(0), share.output(g));
    let dispatch = dispatch
        .constant("BIAS", epilogue.bias)
        .constant("RELU", epilogue.relu)
        .params(&share.params(g));
    bind_bias(dispatch, epilogue.bias, Operand::Input(1), share.weights(g))
}

fn direct(g: &Geometry, epilogue: Epilogue, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/forward_direct.wgsl"));
        operands(dispatch, g, epilogue, share)
            .threads(share.images.len() * share.channels() * g.output_pixels())
    };
    Variant::new("direct", shares.iter().map(dispatch).collect())
}

fn tiled(g: &Geometry, epilogue: Epilogue, shares: &[Share], product: Product) -> Variant {
    let dispatch = |share: &Share| {
        let shader = shader!("conv/forward_tiled.wgsl");
        let dispatch = product.dispatch(shader, &["input", "weight"]);
        let pixels = share.images.len() * g.output_pixels();
        operands(dispatch, g, epilogue, share)
            .groups(share.groups.len() * product.tiles(share.outputs.len(), pixels))
    };
    Variant::new(product.name(), shares.iter().map(dispatch).collect())
}
