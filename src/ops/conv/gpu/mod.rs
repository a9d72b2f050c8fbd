//! The GPU's convolution: how a dispatch is cut to the adapter's limits, and the kernels.

pub(super) mod forward;
pub(super) mod grad_input;
pub(super) mod grad_weight;
mod im2col;
pub(super) mod local;
mod product;
mod texels;
mod winograd;

use std::ops::Range;

use product::Tiled;

use super::geometry::Geometry;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::cooperative::Matrices;
use crate::ops::reduce::parts::{aligned, fitting};

/// `Params` of `shaders/lib/conv.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    first_group: u32,
    group_count: u32,
    first_output: u32,
    outputs: u32,
    group_inputs: u32,
    group_outputs: u32,
    inputs: u32,
    height: u32,
    width: u32,
    kernel_height: u32,
    kernel_width: u32,
    rows: u32,
    columns: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    dilation_height: u32,
    dilation_width: u32,
    input_start: u32,
    weight_start: u32,
    output_start: u32,
    output_image: u32,
    accumulate: u32,
    part: u32,
    column_image: u32,
    column_group: u32,
    column_row: u32,
    bias_start: u32,
}

/// The share of one dispatch: some images and some output channels. Several groups are taken only
/// with all of their outputs.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Share {
    images: Range<usize>,
    groups: Range<usize>,
    /// Output channels within each of the groups.
    outputs: Range<usize>,
}

impl Share {
    /// Output channels of the dispatch.
    fn channels(&self) -> usize {
        self.groups.len() * self.outputs.len()
    }

    /// The first output channel among all.
    fn first_channel(&self, g: &Geometry) -> usize {
        self.groups.start * g.group_outputs + self.outputs.start
    }

    fn weights(&self, g: &Geometry) -> Range<usize> {
        let first = self.first_channel(g) * g.depth();
        first..first + self.channels() * g.depth()
    }

    fn input(&self, g: &Geometry) -> Range<usize> {
        self.images.start * g.input_image()..self.images.end * g.input_image()
    }

    /// The share's channels of its images; between images also those that are not its own.
    fn output(&self, g: &Geometry) -> Range<usize> {
        let pixels = g.output_pixels();
        let first = self.images.start * g.output_image() + self.first_channel(g) * pixels;
        first..first + (self.images.len() - 1) * g.output_image() + self.channels() * pixels
    }

    fn params(&self, g: &Geometry) -> Params {
        Params {
            batch: self.images.len() as u32,
            first_group: self.groups.start as u32,
            group_count: self.groups.len() as u32,
            first_output: self.outputs.start as u32,
            outputs: self.outputs.len() as u32,
            group_inputs: g.group_inputs as u32,
            group_outputs: g.group_outputs as u32,
            inputs: g.inputs() as u32,
            height: g.input[0] as u32,
            width: g.input[1] as u32,
            kernel_height: g.kernel[0] as u32,
            kernel_width: g.kernel[1] as u32,
            rows: g.output[0] as u32,
            columns: g.output[1] as u32,
            stride_height: g.stride[0] as u32,
            stride_width: g.stride[1] as u32,
            top: g.padding[0] as u32,
            left: g.padding[1] as u32,
            dilation_height: g.dilation[0] as u32,
            dilation_width: g.dilation[1] as u32,
            input_start: aligned(self.input(g)).1 as u32,
            weight_start: aligned(self.weights(g)).1 as u32,
            output_start: aligned(self.output(g)).1 as u32,
            output_image: g.output_image() as u32,
            ..Params::default()
        }
    }
}

/// Cuts a convolution into dispatches whose tensors fit the adapter's bindings: by images, and by
/// output channels where the weight or a single image does not fit. `output_weights` is how many
/// elements an output channel takes in the largest tensor that is laid out like the weight.
///
/// Errors where a single input image, or a single output channel, is larger than a binding.
fn shares(
    op: &'static str,
    g: &Geometry,
    adapter: &Adapter,
    output_weights: usize,
) -> Result<Vec<Share>> {
    let images = fitting(adapter, g.input_image(), g.batch)
        .min(fitting(adapter, g.output_image(), g.batch).max(1));
    let mut outputs = fitting(adapter, output_weights, g.outputs());
    if fitting(adapter, g.output_image(), 1) == 0 {
        outputs = outputs.min(fitting(adapter, g.output_pixels(), g.outputs()));
    }
    if images == 0 || outputs == 0 {
        let largest = g.input_image().max(g.output_pixels()).max(output_weights);
        return Err(Error::Memory {
            what: format!("one image of {op}"),
            needed: largest as u64 * 4,
            device: adapter.name.clone(),
            available: adapter.max_binding_bytes,
            remedy: "use smaller images, or an adapter with larger storage bindings".into(),
        });
    }
    let mut shares = vec![];
    for first in (0..g.batch).step_by(images) {
        let images = first..(first + images).min(g.batch);
        if outputs >= g.group_outputs {
            let groups = outputs / g.group_outputs;
            for first in (0..g.groups).step_by(groups) {
                let groups = first..(first + groups).min(g.groups);
                shares.push(Share { images: images.clone(), groups, outputs: 0..g.group_outputs });
            }
        } else {
            for group in 0..g.groups {
                for first in (0..g.group_outputs).step_by(outputs) {
                    let outputs = first..(first + outputs).min(g.group_outputs);
                    shares.push(Share {
                        images: images.clone(),
                        groups: group..group + 1,
                        outputs,
                    });
                }
            }
        }
    }
    Ok(shares)
}

/// Binds a range of any start; the kernel is told where it starts by [`Share::params`].
fn bind(dispatch: Dispatch, name: &'static str, operand: Operand, range: Range<usize>) -> Dispatch {
    dispatch.bind_range(name, operand, aligned(range).0)
}

/// Binds input 2 as the bias; without one, something that the kernel reads anyway.
fn bind_bias(dispatch: Dispatch, has_bias: bool, other: Operand, range: Range<usize>) -> Dispatch {
    match has_bias {
        true => dispatch.bind("bias", Operand::Input(2)),
        false => bind(dispatch, "bias", other, range),
    }
}

/// What is done to the sums of a convolution before they are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Epilogue {
    /// Whether input 2 is added.
    pub(super) bias: bool,
    /// Whether negative results become zero.
    pub(super) relu: bool,
}

/// The kernels that a convolution is offered.
struct Choices {
    direct: Variant,
    tiled: Tiled,
    /// Where the adapter can hold the columns; pointwise convolutions need none.
    im2col: Option<Variant>,
    /// On software adapters.
    texels: Option<Variant>,
    /// Where each channel is convolved by itself.
    depthwise: Option<Variant>,
    /// Of kernels of 3 x 3 at stride 1.
    winograd: Vec<Variant>,
}

/// The variants, best guess first. `meets_windows` says whether all columns of the tiled ones are of use.
fn ranked(g: &Geometry, adapter: &Adapter, meets_windows: bool, choices: Choices) -> Vec<Variant> {
    let Choices { direct, tiled, im2col, texels, depthwise, winograd } = choices;
    let Tiled { registers, cooperative, fills } = tiled;
    let [fills_tiles, fills_matrices] = fills.map(|fills| fills && meets_windows);
    let (direct, im2col) = (vec![direct], im2col.into_iter().collect());
    // With few channels a group, most of a product's block would be past the edge.
    let is_thin = g.groups > 1 && g.group_outputs.min(g.group_inputs) < 8;
    let others = if is_thin {
        [direct, im2col, registers]
    } else if !fills_tiles || g.is_pointwise() {
        [im2col, direct, registers]
    } else if adapter.is_software() {
        // Workgroup memory is slow there.
        [im2col, registers, direct]
    } else {
        [registers, im2col, direct]
    };
    let [half, single] = cooperative;
    let (first, last) = if is_thin || !fills_matrices { (vec![], half) } else { (half, vec![]) };
    let others = depthwise.into_iter().chain(texels).chain(others.into_iter().flatten()).collect();
    let mut ranked = Matrices::ranked(adapter, [first, single], others);
    ranked.extend(last.into_iter().chain(winograd));
    ranked
}
