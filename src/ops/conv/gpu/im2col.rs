//! Convolution as matrix products over unfolded images.
//!
//! The columns of as many images as fit a workspace are made at a time; the products are those of
//! [`crate::ops::gemm::gpu`], which knows the adapters.

use std::ops::Range;

use super::{Epilogue, Params, Share, bind, bind_bias};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::gemm::gpu::{Bias, BiasAxis, Problem, Stored};
use crate::ops::reduce::parts::{add_parts, fitting};
use crate::tensor::TensorType;

/// The workspaces: columns, gradients of the output in rows, partial products.
const COLUMNS: usize = 0;
const GRADS: usize = 1;
const PARTIAL: usize = 2;

/// Columns are made for this many elements at a time, unless one image alone has more: enough for
/// every core of a large GPU.
const COLUMN_ELEMENTS: usize = 16 << 20;

/// With more groups than this the products are many and thin, and the variant is not offered.
const MOST_GROUPS: usize = 16;

/// Where an unfolded tensor's elements lie: `(n, g, r, p)` at `n * image + g * group + r * row + p`.
#[derive(Clone, Copy)]
struct Layout {
    image: usize,
    group: usize,
    row: usize,
}

impl Layout {
    /// Each image by itself; rows start at whole vectors.
    fn by_image(g: &Geometry, groups: usize) -> Self {
        let row = g.output_pixels().next_multiple_of(4);
        let group = g.depth() * row;
        Layout { image: groups * group, group, row }
    }

    /// The pixels of all images side by side in one row.
    fn side_by_side(g: &Geometry, images: usize) -> Self {
        let row = (images * g.output_pixels()).next_multiple_of(4);
        Layout { image: g.output_pixels(), group: g.depth() * row, row }
    }

    fn params(self, params: Params) -> Params {
        Params {
            column_image: self.image as u32,
            column_group: self.group as u32,
            column_row: self.row as u32,
            ..params
        }
    }
}

/// Dispatches and the workspaces that they need.
#[derive(Default)]
struct Steps {
    dispatches: Vec<Dispatch>,
    workspace: [usize; 3],
}

impl Steps {
    fn needs(&mut self, workspace: usize, elements: usize) {
        let held = &mut self.workspace[workspace];
        *held = (*held).max(elements);
    }

    /// A product with the adapter's preferred kernel.
    fn product(&mut self, problem: &Problem, adapter: &Adapter) -> Result<()> {
        for kernel in problem.kernels(adapter).into_iter().take(1) {
            let partial = problem.workspace(kernel).map_or(0, |ty| ty.elements());
            self.needs(PARTIAL, partial);
            let dispatches = problem.dispatches(kernel, adapter, Operand::Workspace(PARTIAL))?;
            self.dispatches.extend(dispatches);
        }
        Ok(())
    }

    /// Unfolds the images and groups of a share of operand `input` into `workspace`.
    fn unfold(&mut self, g: &Geometry, share: &Share, input: Operand, to: usize, layout: Layout) {
        let elements = extent(layout, share);
        self.needs(to, elements);
        let threads = share.images.len() * share.groups.len() * g.group_inputs * g.output_pixels();
        let dispatch = Dispatch::new(shader!("conv/im2col.wgsl"));
        let dispatch = bind(dispatch, "input", input, share.input(g))
            .bind_range("columns", Operand::Workspace(to), 0..elements)
            .params(&layout.params(share.params(g)))
            .threads(threads);
        self.dispatches.push(dispatch);
    }

    /// Folds columns back into the images and groups of a share of output 0.
    fn fold(&mut self, g: &Geometry, share: &Share, layout: Layout, has_bias: bool) {
        let channels = share.groups.len() * g.group_inputs;
        let columns = 0..extent(layout, share);
        let dispatch = Dispatch::new(shader!("conv/col2im.wgsl"))
            .constant("BIAS", has_bias)
            .constant("DILATED", g.dilation != [1, 1])
            .bind_range("columns", Operand::Workspace(COLUMNS), columns.clone());
        let dispatch = bind_bias(dispatch, has_bias, Operand::Workspace(COLUMNS), columns);
        let dispatch = bind(dispatch, "grad_input", Operand::Output(0), share.input(g))
            .params(&layout.params(share.params(g)))
            .threads(share.images.len() * channels * g.input_pixels());
        self.dispatches.push(dispatch);
    }

    fn variant(self, name: &'static str) -> Variant {
        let workspace = self.workspace.map(|elements| TensorType::f32([elements.max(1)]));
        Variant { name, dispatches: self.dispatches, workspace: workspace.into() }
    }
}

/// The elements of the unfolded images and groups of a share: its groups lie within its images, or
/// its images within its groups.
fn extent(layout: Layout, share: &Share) -> usize {
    (share.images.len() * layout.image).max(share.groups.len() * layout.group)
}

/// The images and groups whose columns are made together, or none where those of one group of one
/// image do not fit a binding.
fn shares(g: &Geometry, adapter: &Adapter) -> Option<Vec<Share>> {
    let max = adapter.max_binding_elements();
    let one = g.depth().checked_mul(g.output_pixels().next_multiple_of(4))?;
    let all = one.checked_mul(g.groups)?;
    let images = fitting(adapter, g.input_image(), g.batch)
        .min(fitting(adapter, g.output_image(), g.batch))
        .min((COLUMN_ELEMENTS.min(max) / all).max(1));
    let groups = (max / one).min(g.groups);
    if images == 0 || groups == 0 || g.groups > MOST_GROUPS {
        return None;
    }
    let mut shares = vec![];
    for images in pieces(g.batch, images) {
        for groups in pieces(g.groups, groups) {
            shares.push(Share { images: images.clone(), groups, outputs: 0..g.group_outputs });
        }
    }
    Some(shares)
}

fn pieces(whole: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..whole).step_by(size).map(move |start| start..(start + size).min(whole))
}

/// Where the outputs of one group of a share lie: one matrix `[group_outputs, pixels]` an image.
fn outputs(g: &Geometry, share: &Share, group: usize, operand: Operand) -> Stored {
    let channel = group * g.group_outputs * g.output_pixels();
    Stored::rows(operand, g.output_pixels())
        .at(share.images.start * g.output_image() + channel)
        .batched(g.output_image())
}

/// The columns of one group: one matrix `[depth, pixels]` an image. Those of a pointwise convolution
/// are the images themselves.
fn columns(g: &Geometry, share: &Share, group: usize, layout: Layout, image: Operand) -> Stored {
    if g.is_pointwise() {
        return Stored::rows(image, g.output_pixels())
            .at(share.images.start * g.input_image() + group * g.depth() * g.input_pixels())
            .batched(g.input_image());
    }
    Stored::rows(Operand::Workspace(COLUMNS), layout.row)
        .at((group - share.groups.start) * layout.group)
        .batched(layout.image)
}

/// The weight of one group, `[group_outputs, depth]`.
fn weight(g: &Geometry, group: usize, operand: Operand) -> Stored {
    Stored::rows(operand, g.depth()).at(group * g.group_outputs * g.depth())
}

/// What products of images with weights are called, by whether the images must be unfolded.
fn name(g: &Geometry) -> &'static str {
    if g.is_pointwise() { "pointwise" } else { "im2col" }
}

/// `output = weight * columns + bias`, with ReLU where wanted, where the columns fit the adapter.
pub(super) fn forward(
    g: &Geometry,
    epilogue: Epilogue,
    adapter: &Adapter,
) -> Result<Option<Variant>> {
    let Some(shares) = shares(g, adapter) else { return Ok(None) };
    let mut steps = Steps::default();
    for share in &shares {
        let layout = Layout::by_image(g, share.groups.len());
        if !g.is_pointwise() {
            steps.unfold(g, share, Operand::Input(0), COLUMNS, layout);
        }
        for group in share.groups.clone() {
            let bias = epilogue.bias.then(|| Bias {
                operand: Operand::Input(2),
                offset: group * g.group_outputs,
                axis: BiasAxis::Row,
            });
            let problem = Problem::new(
                [g.group_outputs, g.output_pixels(), g.depth()],
                weight(g, group, Operand::Input(1)),
                columns(g, share, group, layout, Operand::Input(0)),
                outputs(g, share, group, Operand::Output(0)),
            );
            let problem = Problem { relu: epilogue.relu, ..problem };
            steps.product(&problem.batch(share.images.len()).bias(bias), adapter)?;
        }
    }
    Ok(Some(steps.variant(name(g))))
}

/// `columns = weight^T * grad_output`, folded, where the columns fit the adapter.
pub(super) fn grad_input(
    g: &Geometry,
    has_bias: bool,
    adapter: &Adapter,
) -> Result<Option<Variant>> {
    let Some(shares) = shares(g, adapter) else { return Ok(None) };
    let mut steps = Steps::default();
    for share in &shares {
        let layout = Layout::by_image(g, share.groups.len());
        for group in share.groups.clone() {
            let problem = Problem::new(
                [g.depth(), g.output_pixels(), g.group_outputs],
                weight(g, group, Operand::Input(1)).transposed_if(true),
                outputs(g, share, group, Operand::Input(0)),
                columns(g, share, group, layout, Operand::Output(0)),
            );
            let bias = (has_bias && g.is_pointwise()).then(|| Bias {
                operand: Operand::Input(2),
                offset: group * g.group_inputs,
                axis: BiasAxis::Row,
            });
            steps.product(&problem.batch(share.images.len()).bias(bias), adapter)?;
        }
        if !g.is_pointwise() {
            steps.needs(COLUMNS, extent(layout, share));
            steps.fold(g, share, layout, has_bias);
        }
    }
    Ok(Some(steps.variant(name(g))))
}

/// `grad_weight = grad_output * columns^T`, each with the pixels of several images side by side, where
/// the columns fit the adapter.
pub(super) fn grad_weight(g: &Geometry, adapter: &Adapter) -> Result<Option<Variant>> {
    let Some(shares) = shares(g, adapter) else { return Ok(None) };
    // The gradient of the output seen as the input of a pointwise convolution: its columns are its
    // channels in rows.
    let grads = Geometry {
        group_inputs: g.group_outputs,
        input: g.output,
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        ..*g
    };
    let fits = |share: &Share| {
        let layout = Layout::side_by_side(&grads, share.images.len());
        extent(layout, share) <= adapter.max_binding_elements()
    };
    if !shares.iter().all(fits) {
        return Ok(None);
    }
    let mut steps = Steps::default();
    for share in &shares {
        let images = share.images.len();
        let layout = Layout::side_by_side(g, images);
        steps.unfold(g, share, Operand::Input(0), COLUMNS, layout);
        let rows = Layout::side_by_side(&grads, images);
        steps.unfold(&grads, share, Operand::Input(1), GRADS, rows);
        let group = share.groups.start;
        let problem = Problem {
            accumulate: share.images.start > 0,
            ..Problem::new(
                [g.group_outputs, g.depth(), images * g.output_pixels()],
                Stored::rows(Operand::Workspace(GRADS), rows.row).batched(rows.group),
                Stored::rows(Operand::Workspace(COLUMNS), layout.row)
                    .batched(layout.group)
                    .transposed_if(true),
                weight(g, group, Operand::Output(0)).batched(g.group_outputs * g.depth()),
            )
        };
        steps.product(&problem.batch(share.groups.len()), adapter)?;
    }
    Ok(Some(steps.variant("im2col")))
}

/// `grad_weight = sum over images of grad_output * input^T` for a pointwise convolution: a product an
/// image, read where they lie, and the sum of the products in order.
pub(super) fn pointwise_grad_weight(g: &Geometry, adapter: &Adapter) -> Result<Option<Variant>> {
    const PRODUCTS: usize = COLUMNS;
    let weights = g.group_outputs * g.depth();
    let most = adapter.max_binding_elements() / weights;
    if !g.is_pointwise() || most == 0 || g.groups > MOST_GROUPS {
        return Ok(None);
    }
    let mut steps = Steps::default();
    for images in pieces(g.batch, most) {
        steps.needs(PRODUCTS, images.len() * weights);
        for group in 0..g.groups {
            let share = Share {
                images: images.clone(),
                groups: group..group + 1,
                outputs: 0..g.group_outputs,
            };
            let layout = Layout::by_image(g, 1);
            let problem = Problem::new(
                [g.group_outputs, g.depth(), g.output_pixels()],
                outputs(g, &share, group, Operand::Input(1)),
                columns(g, &share, group, layout, Operand::Input(0)).transposed_if(true),
                Stored::rows(Operand::Workspace(PRODUCTS), g.depth()).batched(weights),
            );
            steps.product(&problem.batch(images.len()), adapter)?;
            let range = share.weights(g);
            steps.dispatches.push(add_parts(PRODUCTS, images.len(), &range, images.start > 0));
        }
    }
    Ok(Some(steps.variant("pointwise")))
}
