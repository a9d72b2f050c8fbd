//! Winograd convolution: weights and images are transformed, multiplied as a batch of matrix products,
//! one for each element of a tile, and transformed back. See [`Winograd`].
//!
//! The products are those of [`crate::ops::gemm::gpu`], which knows the adapters.

use super::{Epilogue, Share, bind, bind_bias};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::conv::winograd::Winograd;
use crate::ops::gemm::gpu::{Problem, Stored};
use crate::ops::reduce::parts::{aligned, fitting};
use crate::tensor::TensorType;

/// The workspaces: transformed weights, transformed images, products, parts of products.
const WEIGHTS: usize = 0;
const IMAGES: usize = 1;
const PRODUCTS: usize = 2;
const PARTIAL: usize = 3;

/// Images are transformed to this many elements at a time, unless one alone has more: enough for every
/// core of a large GPU.
const ELEMENTS: usize = 16 << 20;

/// A tile's transforms take arithmetic for each channel, its products for each pair of channels: with
/// fewer in a group there is nothing to save.
const LEAST_CHANNELS: usize = 4;

/// Elements by which matrices are moved apart, see [`Steps::plane`].
const SKEW: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct WeightParams {
    groups: u32,
    rows: u32,
    terms: u32,
    quads: u32,
    plane: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct InputParams {
    images: u32,
    channels: u32,
    height: u32,
    width: u32,
    tiles_y: u32,
    tiles_x: u32,
    quads: u32,
    plane: u32,
    start: u32,
    top: i32,
    left: i32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct OutputParams {
    images: u32,
    channels: u32,
    height: u32,
    width: u32,
    tiles_y: u32,
    tiles_x: u32,
    quads: u32,
    plane: u32,
    start: u32,
}

/// One pass, forward or back: which images are convolved, and to what.
struct Pass {
    is_backward: bool,
    /// Channels of one group of the images and of the results.
    terms: usize,
    rows: usize,
    /// The extents of the images and of the results.
    image: [usize; 2],
    result: [usize; 2],
    /// Zeros above and to the left of the images.
    before: [isize; 2],
    epilogue: Epilogue,
}

impl Pass {
    fn forward(g: &Geometry, epilogue: Epilogue) -> Self {
        Pass {
            is_backward: false,
            terms: g.group_inputs,
            rows: g.group_outputs,
            image: g.input,
            result: g.output,
            before: g.padding.map(|p| p as isize),
            epilogue,
        }
    }

    /// The gradient of the output with all the zeros around it, and the turned kernel.
    fn backward(g: &Geometry, has_bias: bool) -> Self {
        Pass {
            is_backward: true,
            terms: g.group_outputs,
            rows: g.group_inputs,
            image: g.output,
            result: g.input,
            before: g.padding.map(|p| 2 - p as isize),
            epilogue: Epilogue { bias: has_bias, relu: false },
        }
    }

    /// Where a share's images and results lie.
    fn ranges(&self, g: &Geometry, share: &Share) -> [std::ops::Range<usize>; 2] {
        let (input, output) = (share.input(g), share.output(g));
        if self.is_backward { [output, input] } else { [input, output] }
    }
}

/// The variant, where the convolution is one of 3 x 3 at stride 1 with enough channels, and what is
/// transformed fits.
fn variant(
    winograd: Winograd,
    g: &Geometry,
    pass: &Pass,
    adapter: &Adapter,
) -> Result<Option<Variant>> {
    let is_plain = g.kernel == [3, 3] && g.stride == [1, 1] && g.dilation == [1, 1];
    if !is_plain || pass.terms.min(pass.rows) < LEAST_CHANNELS {
        return Ok(None);
    }
    let most = adapter.max_binding_elements();
    let points = winograd.side() * winograd.side();
    let tiles = pass.result.map(|n| n.div_ceil(winograd.tile()));
    let leading = pass.terms.next_multiple_of(4);
    let weights = points * (g.groups * pass.rows * leading + SKEW);
    // The elements that a tile takes in the larger of the two workspaces.
    let tile = points * g.groups * pass.terms.max(pass.rows);
    let fits = |elements: usize| {
        elements.saturating_sub(points * SKEW) / tile / 4 * 4 / (tiles[0] * tiles[1])
    };
    let images = fitting(adapter, g.input_image(), g.batch)
        .min(fitting(adapter, g.output_image(), g.batch))
        .min(fits(ELEMENTS.min(most)).max(1))
        .min(fits(most));
    if images == 0 || weights > most {
        return Ok(None);
    }
    let mut steps = Steps { winograd, g, pass, tiles, dispatches: vec![], workspace: [1; 4] };
    steps.weights(leading);
    for first in (0..g.batch).step_by(images) {
        let share = Share {
            images: first..(first + images).min(g.batch),
            groups: 0..g.groups,
            outputs: 0..g.group_outputs,
        };
        steps.share(&share, leading, adapter)?;
    }
    let workspace = steps.workspace.map(|elements| TensorType::f32([elements])).into();
    Ok(Some(Variant { name: winograd.name(), dispatches: steps.dispatches, workspace }))
}

/// Dispatches and the elements of their workspaces.
struct Steps<'a> {
    winograd: Winograd,
    g: &'a Geometry,
    pass: &'a Pass,
    /// Tiles of an image along the height and the width.
    tiles: [usize; 2],
    dispatches: Vec<Dispatch>,
    workspace: [usize; 4],
}

impl Steps<'_> {
    fn reserve(&mut self, workspace: usize, elements: usize) {
        let held = &mut self.workspace[workspace];
        *held = (*held).max(elements);
    }

    fn dispatch(&self, shader: crate::kernel::Shader) -> Dispatch {
        Dispatch::new(shader).constant("TILE", self.winograd.tile() as u32)
    }

    /// The products of a tile.
    fn points(&self) -> usize {
        self.winograd.side() * self.winograd.side()
    }

    /// Elements from the matrices of one product of a tile to those of the next. A thread reads or writes
    /// one element of each: at multiples of 512 bytes these would share few places in a processor's
    /// caches.
    fn plane(&self, rows: usize, leading: usize) -> usize {
        let elements = self.g.groups * rows * leading;
        // With groups all matrices are one batch, and so evenly apart.
        if self.g.groups == 1 && elements.is_multiple_of(128) { elements + SKEW } else { elements }
    }

    /// Transforms the weights to matrices with rows of `leading` elements.
    fn weights(&mut self, leading: usize) {
        let Pass { is_backward, terms, rows, .. } = *self.pass;
        let plane = self.plane(rows, leading);
        let elements = self.points() * plane;
        self.reserve(WEIGHTS, elements);
        let params = WeightParams {
            groups: self.g.groups as u32,
            rows: rows as u32,
            terms: terms as u32,
            quads: (leading / 4) as u32,
            plane: (plane / 4) as u32,
        };
        let dispatch = self
            .dispatch(shader!("conv/winograd_weight.wgsl"))
            .constant("BACKWARD", is_backward)
            .bind("weight", Operand::Input(1))
            .bind_range("transformed", Operand::Workspace(WEIGHTS), 0..elements)
            .params(&params)
            .threads(self.g.groups * rows * leading / 4);
        self.dispatches.push(dispatch);
    }

    /// Transforms the images of a share, multiplies them and transforms the products.
    fn share(&mut self, share: &Share, weight_row: usize, adapter: &Adapter) -> Result<()> {
        let (g, pass) = (self.g, self.pass);
        let images = share.images.len();
        let tiles = images * self.tiles[0] * self.tiles[1];
        let leading = tiles.next_multiple_of(4);
        let [channels, outputs] = [pass.terms, pass.rows].map(|channels| g.groups * channels);
        let [image, result] = pass.ranges(g, share);
        let [image_plane, product_plane] =
            [pass.terms, pass.rows].map(|rows| self.plane(rows, leading));
        let [transformed, products] = [image_plane, product_plane].map(|p| self.points() * p);
        self.reserve(IMAGES, transformed);
        self.reserve(PRODUCTS, products);

        let params = InputParams {
            images: images as u32,
            channels: channels as u32,
            height: pass.image[0] as u32,
            width: pass.image[1] as u32,
            tiles_y: self.tiles[0] as u32,
            tiles_x: self.tiles[1] as u32,
            quads: (leading / 4) as u32,
            plane: (image_plane / 4) as u32,
            start: aligned(image.clone()).1 as u32,
            top: pass.before[0] as i32,
            left: pass.before[1] as i32,
        };
        let dispatch = self.dispatch(shader!("conv/winograd_input.wgsl"));
        let dispatch = bind(dispatch, "image", Operand::Input(0), image)
            .bind_range("transformed", Operand::Workspace(IMAGES), 0..transformed)
            .params(&params)
            .threads(channels * leading / 4);
        self.dispatches.push(dispatch);

        let matrices = |workspace: usize, rows: usize, leading: usize| {
            let apart = self.plane(rows, leading) / g.groups;
            Stored::rows(Operand::Workspace(workspace), leading).batched(apart)
        };
        let problem = Problem::new(
            [pass.rows, tiles, pass.terms],
            matrices(WEIGHTS, pass.rows, weight_row),
            matrices(IMAGES, pass.terms, leading),
            matrices(PRODUCTS, pass.rows, leading),
        );
        self.product(&problem.batch(self.points() * g.groups), adapter)?;

        let params = OutputParams {
            images: images as u32,
            channels: outputs as u32,
            height: pass.result[0] as u32,
            width: pass.result[1] as u32,
            tiles_y: self.tiles[0] as u32,
            tiles_x: self.tiles[1] as u32,
            quads: (leading / 4) as u32,
            plane: (product_plane / 4) as u32,
            start: aligned(result.clone()).1 as u32,
        };
        let Epilogue { bias, relu } = pass.epilogue;
        let dispatch = self
            .dispatch(shader!("conv/winograd_output.wgsl"))
            .constant("BIAS", bias)
            .constant("RELU", relu)
            .bind_range("products", Operand::Workspace(PRODUCTS), 0..products);
        let dispatch = bind_bias(dispatch, bias, Operand::Workspace(PRODUCTS), 0..products);
        let dispatch = bind(dispatch, "result", Operand::Output(0), result)
            .params(&params)
            .threads(outputs * leading / 4);
        self.dispatches.push(dispatch);
        Ok(())
    }

    /// The products with the adapter's preferred kernel.
    fn product(&mut self, problem: &Problem, adapter: &Adapter) -> Result<()> {
        for kernel in problem.kernels(adapter).into_iter().take(1) {
            let partial = problem.workspace(kernel).map_or(0, |ty| ty.elements());
            self.reserve(PARTIAL, partial);
            let parts = Operand::Workspace(PARTIAL);
            self.dispatches.extend(problem.dispatches(kernel, adapter, parts)?);
        }
        Ok(())
    }
}

/// The variants of the forward pass.
pub(super) fn forward(g: &Geometry, epilogue: Epilogue, adapter: &Adapter) -> Result<Vec<Variant>> {
    both(g, &Pass::forward(g, epilogue), adapter)
}

/// The variants of the input's gradient; with a bias, of the transposed convolution.
pub(super) fn grad_input(g: &Geometry, has_bias: bool, adapter: &Adapter) -> Result<Vec<Variant>> {
    both(g, &Pass::backward(g, has_bias), adapter)
}

fn both(g: &Geometry, pass: &Pass, adapter: &Adapter) -> Result<Vec<Variant>> {
    let variants = Winograd::ALL.map(|winograd| variant(winograd, g, pass, adapter));
    variants.into_iter().filter_map(Result::transpose).collect()
}
