//! Sums over everything but the channels: the gradient of a bias.

use rayon::prelude::*;

use super::parts::{add_parts, aligned, fitting};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Grid, Operand, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// `y[c] = sum over n and all later axes of x[n, c, ...]`: the gradient of a bias from that of the
/// output it was added to. Input: `[batch, channels, ...]`; output: `[channels]`.
///
/// The sum is split into parts that depend on the shape alone and are added in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChannelSum;

/// An input seen as `[batch, channels, inner]`.
#[derive(Clone, Copy)]
struct Extents {
    batch: usize,
    channels: usize,
    inner: usize,
}

impl Extents {
    fn of(dims: &[usize]) -> Self {
        Extents { batch: dims[0], channels: dims[1], inner: dims[2..].iter().product() }
    }

    /// The terms of one sum.
    fn terms(self) -> usize {
        self.batch * self.inner
    }
}

impl Op for ChannelSum {
    fn name(&self) -> &'static str {
        "channel_sum"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        match inputs[0].dims() {
            &[_, channels, ..] => Ok(vec![TensorType::f32([channels])]),
            _ => Err(Error::shape(
                self.name(),
                [&inputs[0].shape],
                "needs a tensor of at least two axes, [batch, channels, ...]",
            )),
        }
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        Extents::of(types.input(0)).terms()
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let Extents { channels, inner, .. } = Extents::of(io.inputs[0].dims());
        for (i, x) in io.inputs[0].data.iter().enumerate() {
            io.outputs[0].data[i / inner % channels] += x;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Extents { batch, channels, inner } = Extents::of(io.types.input(0));
        let input = io.inputs[0];
        if inner == 1 {
            const COLUMNS: usize = 64;
            io.outputs[0].par_chunks_mut(COLUMNS).enumerate().for_each(|(part, sums)| {
                let mut wide = [0.0f64; COLUMNS];
                for row in input.chunks(channels) {
                    let row = &row[part * COLUMNS..][..sums.len()];
                    wide.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
                }
                sums.iter_mut().zip(wide).for_each(|(sum, w)| *sum = w as f32);
            });
            return;
        }
        io.outputs[0].par_iter_mut().enumerate().for_each(|(c, sum)| {
            let plane = |n: usize| &input[(n * channels + c) * inner..][..inner];
            *sum = (0..batch).map(|n| f64::from(plane_sum(plane(n)))).sum::<f64>() as f32;
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let extents = Extents::of(types.input(0));
        let mut variants = vec![variant(extents, adapter, false)?];
        let grouped = variant(extents, adapter, true)?;
        let most = adapter.max_groups as usize * adapter.max_groups as usize;
        let fits =
            |grid| matches!(grid, Grid::Threads(_)) || matches!(grid, Grid::Flat(n) if n <= most);
        if grouped.dispatches.iter().all(|d| fits(d.grid)) {
            let first = !adapter.is_software() && extents.inner > 1;
            variants.insert(usize::from(!first), grouped);
        }
        Ok(variants)
    }
}

/// The sum of a plane, in lanes that a vector unit can hold.
pub(crate) fn plane_sum(plane: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = plane.as_chunks::<LANES>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
    }
    lanes.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x);
    lanes.iter().sum()
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    channels: u32,
    inner: u32,
    part: u32,
    input_start: u32,
}

/// Both stages, for as many images at a time as fit a binding.
fn variant(extents: Extents, adapter: &Adapter, grouped: bool) -> Result<Variant> {
    let Extents { batch, channels, inner } = extents;
    let image = channels * inner;
    let images = fitting(adapter, image, batch);
    if images == 0 {
        return Err(Error::Memory {
            what: "one image of channel_sum".into(),
            needed: image as u64 * 4,
            device: adapter.name.clone(),
            available: adapter.max_binding_bytes,
            remedy: "use smaller images, or an adapter with larger storage bindings".into(),
        });
    }
    // Parts long enough to be worth a thread (a workgroup), and few enough for the workspace.
    let shortest = if grouped { 2048 } else { 256 };
    let most = (adapter.max_binding_elements() / channels).clamp(1, 256);
    let mut dispatches = vec![];
    let mut largest = 0;
    for first in (0..batch).step_by(images) {
        let images = images.min(batch - first);
        let terms = images * inner;
        let part = terms.div_ceil(most).max(shortest);
        let parts = terms.div_ceil(part);
        largest = largest.max(parts);
        let (bound, start) = aligned(first * image..(first + images) * image);
        let params = Params {
            batch: images as u32,
            channels: channels as u32,
            inner: inner as u32,
            part: part as u32,
            input_start: start as u32,
        };
        let dispatch = if grouped {
            Dispatch::new(crate::kernel::shader!("reduce/channel_sum_group.wgsl"))
                .groups(parts * channels)
        } else {
            Dispatch::new(crate::kernel::shader!("reduce/channel_sum.wgsl"))
                .threads(parts * channels)
        };
        let sums = dispatch.bind_range("input", Operand::Input(0), bound).params(&params);
        dispatches.push(sums.bind("sums", Operand::Workspace(0)));
        dispatches.push(add_parts(0, parts, &(0..channels), first > 0));
    }
    let workspace = vec![TensorType::f32([largest, channels])];
    let name = if grouped { "workgroup" } else { "thread" };
    Ok(Variant { name, dispatches, workspace })
}
