//! Kernels of locally connected layers. One dispatch for as many images and output channels as fit.

use std::ops::Range;

use super::{Params, Share, bind, bind_bias, shares};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::reduce::parts::aligned;

/// Outputs, channels and images that an invocation takes together.
const QUAD: usize = 4;

fn local_shares(op: &'static str, g: &Geometry, adapter: &Adapter) -> Result<Vec<Share>> {
    shares(op, g, adapter, g.depth() * g.output_pixels())
}

fn weights(g: &Geometry, share: &Share) -> Range<usize> {
    let range = share.weights(g);
    range.start * g.output_pixels()..range.end * g.output_pixels()
}

fn biases(g: &Geometry, share: &Share) -> Range<usize> {
    let first = share.first_channel(g);
    first * g.output_pixels()..(first + share.channels()) * g.output_pixels()
}

fn params(g: &Geometry, share: &Share, accumulate: bool) -> Params {
    Params {
        weight_start: aligned(weights(g, share)).1 as u32,
        bias_start: aligned(biases(g, share)).1 as u32,
        accumulate: accumulate.into(),
        ..share.params(g)
    }
}

fn variant(dispatches: impl Iterator<Item = Dispatch>) -> Vec<Variant> {
    vec![Variant::new("quads", dispatches.collect())]
}

pub(in crate::ops::conv) fn forward(
    op: &'static str,
    g: &Geometry,
    has_bias: bool,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let shares = local_shares(op, g, adapter)?;
    Ok(variant(shares.iter().map(|share| {
        let dispatch = Dispatch::new(shader!("conv/local.wgsl")).constant("BIAS", has_bias);
        let dispatch = bind(dispatch, "input", Operand::Input(0), share.input(g));
        let dispatch = bind(dispatch, "weight", Operand::Input(1), weights(g, share));
        let dispatch = bind(dispatch, "output", Operand::Output(0), share.output(g));
        let dispatch = match has_bias {
            true => bind(dispatch, "bias", Operand::Input(2), biases(g, share)),
            false => bind_bias(dispatch, false, Operand::Input(1), weights(g, share)),
        };
        let quads = share.outputs.len().div_ceil(QUAD) * share.images.len().div_ceil(QUAD);
        let threads = quads * share.groups.len() * g.output_pixels();
        dispatch.params(&params(g, share, false)).threads(threads)
    })))
}

pub(in crate::ops::conv) fn grad_input(
    op: &'static str,
    g: &Geometry,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let shares = local_shares(op, g, adapter)?;
    Ok(variant(shares.iter().map(|share| {
        let dispatch = Dispatch::new(shader!("conv/local_grad_input.wgsl"));
        let dispatch = bind(dispatch, "grad_output", Operand::Input(0), share.output(g));
        let dispatch = bind(dispatch, "weight", Operand::Input(1), weights(g, share));
        let dispatch = bind(dispatch, "grad_input", Operand::Output(0), share.input(g));
        let quads = g.group_inputs.div_ceil(QUAD) * share.images.len().div_ceil(QUAD);
        let threads = quads * share.groups.len() * g.input_pixels();
        dispatch.params(&params(g, share, share.outputs.start > 0)).threads(threads)
    })))
}

pub(in crate::ops::conv) fn grad_weight(
    op: &'static str,
    g: &Geometry,
    adapter: &Adapter,
) -> Result<Vec<Variant>> {
    let shares = local_shares(op, g, adapter)?;
    Ok(variant(shares.iter().map(|share| {
        let dispatch = Dispatch::new(shader!("conv/local_grad_weight.wgsl"));
        let dispatch = bind(dispatch, "input", Operand::Input(0), share.input(g));
        let dispatch = bind(dispatch, "grad_output", Operand::Input(1), share.output(g));
        let dispatch = bind(dispatch, "grad_weight", Operand::Output(0), weights(g, share));
        let quads = share.outputs.len().div_ceil(QUAD) * g.group_inputs.div_ceil(QUAD);
        let threads = quads * share.groups.len() * g.taps() * g.output_pixels();
        dispatch.params(&params(g, share, share.images.start > 0)).threads(threads)
    })))
}
