//! Kernels of the input's gradient.

use super::{Params, Share, bind, im2col, shares};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;

pub(in crate::ops::conv) fn variants(g: &Geometry, adapter: &Adapter) -> Result<Vec<Variant>> {
    let shares = shares("conv2d_grad_input", g, adapter, g.depth())?;
    let im2col = im2col::grad_input(g, adapter)?;
    Ok(im2col.into_iter().chain([direct(g, &shares)]).collect())
}

fn direct(g: &Geometry, shares: &[Share]) -> Variant {
    let dispatch = |share: &Share| {
        let dispatch = Dispatch::new(shader!("conv/grad_input_direct.wgsl"));
        let dispatch = bind(dispatch, "grad_output", Operand::Input(0), share.output(g));
        let dispatch = bind(dispatch, "weight", Operand::Input(1), share.weights(g));
        let dispatch = bind(dispatch, "grad_input", Operand::Output(0), share.input(g));
        let accumulate = (share.outputs.start > 0).into();
        let channels = share.groups.len() * g.group_inputs;
        dispatch
            .params(&Params { accumulate, ..share.params(g) })
            .threads(share.images.len() * channels * g.input_pixels())
    };
    Variant::new("direct", shares.iter().map(dispatch).collect())
}
