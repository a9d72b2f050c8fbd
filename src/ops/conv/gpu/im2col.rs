//! Convolution as matrix products: patches of the images are written out as columns of a matrix in a
//! workspace, for as many images at a time as fit it, and the kernels of `ops::gemm` do the rest.
//! The input of a convolution with 1x1 kernel and stride 1 is that matrix already.

use std::ops::Range;

use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::gemm::Kernel;
use crate::ops::gemm::gpu::{Bias, BiasAxis, Problem, Stored};
use crate::ops::reduce::parts::{aligned, fitting};
use crate::tensor::TensorType;

/// `Params` of `unfold.wgsl` and `fold.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    groups: u32,
    group_inputs: u32,
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
    image_stride: u32,
    group_stride: u32,
    row_stride: u32,
}

/// Products of so many groups are too small each to be worth a dispatch.
const MOST_GROUPS: usize = 16;

/// The workspace holds at most so many elements (64 MiB), if that is enough for one image.
const WORKSPACE: usize = 16 << 20;

/// How the columns of some images lie in their workspace.
#[derive(Clone, Copy)]
struct Columns {
    image_stride: usize,
    group_stride: usize,
    row_stride: usize,
    len: usize,
}

/// The pixels of an image, in whole vectors of four.
fn padded_pixels(g: &Geometry) -> usize {
    g.output_pixels().next_multiple_of(4)
}

impl Columns {
    /// `[images, groups, depth, pixels]`: one matrix for each image.
    fn by_image(g: &Geometry, images: usize) -> Self {
        let row_stride = padded_pixels(g);
        let group_stride = g.depth() * row_stride;
        let image_stride = g.groups * group_stride;
        Columns { image_stride, group_stride, row_stride, len: images * image_stride }
    }

    /// `[groups, depth, images, pixels]`: one matrix for all images.
    fn by_group(g: &Geometry, images: usize) -> Self {
        let image_stride = padded_pixels(g);
        let row_stride = images * image_stride;
        let group_stride = g.depth() * row_stride;
        Columns { image_stride, group_stride, row_stride, len: g.groups * group_stride }
    }

    fn params(&self, g: &Geometry, images: &Range<usize>) -> Params {
        Params {
            batch: images.len() as u32,
            groups: g.groups as u32,
            group_inputs: g.group_inputs as u32,
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
            input_start: aligned(image_range(g, images)).1 as u32,
            image_stride: self.image_stride as u32,
            group_stride: self.group_stride as u32,
            row_stride: self.row_stride as u32,
        }
    }

    /// Writes the columns of `images`, which are `input`'s.
    fn unfold(
        &self,
        g: &Geometry,
        images: &Range<usize>,
        input: Operand,
        columns: Operand,
    ) -> Dispatch {
        Dispatch::new(shader!("conv/unfold.wgsl"))
            .bind_range("input", input, aligned(image_range(g, images)).0)
            .bind_range("columns", columns, 0..self.len)
            .params(&self.params(g, images))
            .threads(images.len() * g.groups * g.depth() * padded_pixels(g) / 4)
    }

    /// Adds the columns up into `images` of `output`.
    fn fold(
        &self,
        g: &Geometry,
        images: &Range<usize>,
        columns: Operand,
        output: Operand,
    ) -> Dispatch {
        Dispatch::new(shader!("conv/fold.wgsl"))
            .bind_range("columns", columns, 0..self.len)
            .bind_range("image", output, aligned(image_range(g, images)).0)
            .params(&self.params(g, images))
            .threads(images.len() * g.input_image())
    }
}

fn image_range(g: &Geometry, images: &Range<usize>) -> Range<usize> {
    images.start * g.input_image()..images.end * g.input_image()
}

/// The batch in parts whose columns (`image_columns` elements an image) fit the workspace, or nothing
/// where not even one image's do, or where the groups are too many.
fn parts(g: &Geometry, adapter: &Adapter, image_columns: usize) -> Vec<Range<usize>> {
    let most = adapter.max_binding_elements();
    let wanted = (most.min(WORKSPACE) / image_columns).max(usize::from(image_columns <= most));
    let images = wanted.min(fitting(adapter, g.input_image(), g.batch));
    if images == 0 || g.groups > MOST_GROUPS {
        return vec![];
    }
    let parts = g.batch.div_ceil(images);
    let images = g.batch.div_ceil(parts);
    (0..g.batch).step_by(images).map(|first| first..(first + images).min(g.batch)).collect()
}

/// A variant under construction.
struct Builder<'a> {
    adapter: &'a Adapter,
    dispatches: Vec<Dispatch>,
    /// The elements of each workspace; the first is the products' own.
    workspace: Vec<usize>,
}

/// The products' own workspace, for sums in parts.
const PARTIAL: usize = 0;

impl<'a> Builder<'a> {
    fn new(adapter: &'a Adapter, workspaces: usize) -> Self {
        Builder { adapter, dispatches: vec![], workspace: vec![0; workspaces] }
    }

    fn reserve(&mut self, workspace: usize, elements: usize) {
        self.workspace[workspace] = self.workspace[workspace].max(elements);
    }

    /// Adds the best kernel's dispatches.
    fn product(&mut self, problem: &Problem) -> Result<()> {
        let Some(kernel): Option<Kernel> = problem.kernels(self.adapter).into_iter().next() else {
            return Ok(());
        };
        if let Some(ty) = problem.workspace(kernel) {
            self.reserve(PARTIAL, ty.elements());
        }
        let partial = Operand::Workspace(PARTIAL);
        self.dispatches.extend(problem.dispatches(kernel, self.adapter, partial)?);
        Ok(())
    }

    fn finish(self) -> Variant {
        let workspace = self.workspace.iter().map(|&n| TensorType::f32([n.max(1)])).collect();
        Variant { name: "im2col", dispatches: self.dispatches, workspace }
    }
}

/// The weight of a group: `[group outputs, depth]`.
fn weight(g: &Geometry, group: usize) -> Stored {
    Stored::rows(Operand::Input(1), g.depth()).at(group * g.group_outputs * g.depth())
}

/// The output's side of a group of some images: `[group outputs, pixels]` each.
fn output(g: &Geometry, operand: Operand, images: &Range<usize>, group: usize) -> Stored {
    let first = images.start * g.output_image() + group * g.group_outputs * g.output_pixels();
    Stored::rows(operand, g.output_pixels()).batched(g.output_image()).at(first)
}

/// The columns of a group of some images, one `[depth, pixels]` matrix each: in the workspace, or the
/// `image` itself.
fn columns(g: &Geometry, image: Operand, images: &Range<usize>, group: usize) -> Stored {
    if g.is_pointwise() {
        let first = images.start * g.input_image() + group * g.group_inputs * g.input_pixels();
        return Stored::rows(image, g.input_pixels()).batched(g.input_image()).at(first);
    }
    let columns = Columns::by_image(g, images.len());
    Stored::rows(Operand::Workspace(1), columns.row_stride)
        .batched(columns.image_stride)
        .at(group * columns.group_stride)
}

/// `output = weight * columns`.
pub(super) fn forward(g: &Geometry, has_bias: bool, adapter: &Adapter) -> Result<Option<Variant>> {
    let mut builder = Builder::new(adapter, 2);
    let parts = parts(g, adapter, Columns::by_image(g, 1).len);
    if parts.is_empty() {
        return Ok(None);
    }
    for images in parts {
        if !g.is_pointwise() {
            let layout = Columns::by_image(g, images.len());
            builder.reserve(1, layout.len);
            let unfold = layout.unfold(g, &images, Operand::Input(0), Operand::Workspace(1));
            builder.dispatches.push(unfold);
        }
        for group in 0..g.groups {
            let bias = has_bias.then_some(Bias {
                operand: Operand::Input(2),
                offset: group * g.group_outputs,
                axis: BiasAxis::Row,
            });
            let shape = [g.group_outputs, g.output_pixels(), g.depth()];
            let output = output(g, Operand::Output(0), &images, group);
            let columns = columns(g, Operand::Input(0), &images, group);
            let problem = Problem::new(shape, weight(g, group), columns, output);
            builder.product(&problem.batch(images.len()).bias(bias))?;
        }
    }
    Ok(Some(builder.finish()))
}

/// `columns = weight' * grad_output`, added up into the images.
pub(super) fn grad_input(g: &Geometry, adapter: &Adapter) -> Result<Option<Variant>> {
    let mut builder = Builder::new(adapter, 2);
    let parts = parts(g, adapter, Columns::by_image(g, 1).len);
    if parts.is_empty() {
        return Ok(None);
    }
    for images in parts {
        for group in 0..g.groups {
            let shape = [g.depth(), g.output_pixels(), g.group_outputs];
            let weight = weight(g, group).transposed_if(true);
            let grad = output(g, Operand::Input(0), &images, group);
            let columns = columns(g, Operand::Output(0), &images, group);
            builder.product(&Problem::new(shape, weight, grad, columns).batch(images.len()))?;
        }
        if !g.is_pointwise() {
            let layout = Columns::by_image(g, images.len());
            builder.reserve(1, layout.len);
            let fold = layout.fold(g, &images, Operand::Workspace(1), Operand::Output(0));
            builder.dispatches.push(fold);
        }
    }
    Ok(Some(builder.finish()))
}

/// `grad_weight = grad_output * columns'`, over the pixels of all images at once. For that the
/// output's gradient is laid out by channel, which is an unfolding of its own.
pub(super) fn grad_weight(g: &Geometry, adapter: &Adapter) -> Result<Option<Variant>> {
    let by_channel = Geometry {
        group_inputs: g.group_outputs,
        input: g.output,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        ..*g
    };
    let mut builder = Builder::new(adapter, 3);
    let largest = Columns::by_group(g, 1).len.max(Columns::by_group(&by_channel, 1).len);
    let fits = fitting(adapter, g.output_image(), g.batch);
    let parts = parts(g, adapter, largest);
    if parts.iter().any(|images| images.len() > fits) || parts.is_empty() {
        return Ok(None);
    }
    for images in parts {
        let layouts =
            [Columns::by_group(g, images.len()), Columns::by_group(&by_channel, images.len())];
        let [columns, grads] = &layouts;
        builder.reserve(1, columns.len);
        builder.reserve(2, grads.len);
        let (input, grad) = (Operand::Input(0), Operand::Input(1));
        builder.dispatches.push(columns.unfold(g, &images, input, Operand::Workspace(1)));
        builder.dispatches.push(grads.unfold(&by_channel, &images, grad, Operand::Workspace(2)));
        for group in 0..g.groups {
            let shape = [g.group_outputs, g.depth(), columns.row_stride];
            let grad = Stored::rows(Operand::Workspace(2), grads.row_stride)
                .at(group * grads.group_stride);
            let columns = Stored::rows(Operand::Workspace(1), columns.row_stride)
                .at(group * columns.group_stride)
                .transposed_if(true);
            let sum =
                Stored::rows(Operand::Output(0), g.depth()).at(group * g.group_outputs * g.depth());
            let accumulate = images.start > 0;
            let problem = Problem { accumulate, ..Problem::new(shape, grad, columns, sum) };
            builder.product(&problem)?;
        }
    }
    Ok(Some(builder.finish()))
}
