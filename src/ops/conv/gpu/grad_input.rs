//! Kernels of the input's gradient.

use super::product::{Extents, Product, Tiled};
use super::{Choices, Params, Share, bind, bind_bias, im2col, ranked, shares, texels, winograd};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;

/// With a bias, input 2 is added to the channels: then this is the transposed convolution.
pub(in crate::ops::conv) fn variants(
    op: &'static str,
    g: &Geometry,
    has_bias: bool,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let shares = shares(op, g, adapter, g.depth())?;
    let im2col = im2col::grad_input(g, has_bias, adapter)?;
    let columns = g.batch * g.input_pixels();
    let e = Extents { rows: g.group_inputs, columns, count: g.groups };
    let choices = Choices {
        direct: direct(g, has_bias, &shares),
        tiled: Tiled::new(e, adapter, |product| Ok(tiled(g, has_bias, &shares, product)))?,
        im2col,
        texels: texels::grad_input(g, has_bias, adapter),
        depthwise: g.is_depthwise().then(|| depthwise(g, has_bias, &shares)),
        winograd: winograd::grad_input(g, has_bias, adapter)?,
    };
    // Of the windows that a tile looks at, all but one in stride_height * stride_width do not exist.
    Ok(ranked(g, adapter, g.stride == [1, 1], choices))
}

fn depthwise(g: &Geometry, has_bias: bool, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/depthwise_grad_input.wgsl"))
            .constant("KERNEL_HEIGHT", g.kernel[0] as u32)
            .constant("KERNEL_WIDTH", g.kernel[1] as u32)
            .constant("STRIDE_HEIGHT", g.stride[0] as u32)
            .constant("STRIDE_WIDTH", g.stride[1] as u32);
        let quads = g.input[0] * g.input[1].div_ceil(4);
        operands(dispatch, g, has_bias, share)
            .threads(share.images.len() * share.groups.len() * quads)
    };
    Variant::new("depthwise", shares.iter().map(dispatch).collect())
}

fn operands(dispatch: Dispatch, g: &Geometry, has_bias: bool, share: &Share) -> Dispatch {
    let dispatch = bind(dispatch, "grad_output", Operand::Input(0), share.output(g));
    let dispatch = bind(dispatch, "weight", Operand::Input(1), share.weights(g));
    let dispatch = bind(dispatch, "grad_input", Operand::Output(0), share.input(g));
    let accumulate = (share.outputs.start > 0).into();
    let dispatch =
        dispatch.constant("BIAS", has_bias).params(&Params { accumulate, ..share.params(g) });
    bind_bias(dispatch, has_bias, Operand::Input(1), share.weights(g))
}

fn direct(g: &Geometry, has_bias: bool, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/grad_input_direct.wgsl"));
        let channels = share.groups.len() * g.group_inputs;
        operands(dispatch, g, has_bias, share)
            .threads(share.images.len() * channels * g.input_pixels())
    };
    Variant::new("direct", shares.iter().map(dispatch).collect())
}

fn tiled(g: &Geometry, has_bias: bool, shares: &[Share], product: Product) -> Variant {
    let dispatch = |share: &Share| {
        let shader = shader!("conv/grad_input_tiled.wgsl");
        let dispatch = product
            .dispatch(shader, &["grad_output", "weight"])
            .constant("STRIDED", g.stride != [1, 1]);
        let pixels = share.images.len() * g.input_pixels();
        operands(dispatch, g, has_bias, share)
            .groups(share.groups.len() * product.tiles(g.group_inputs, pixels))
    };
    Variant::new(product.name(), shares.iter().map(dispatch).collect())
}
