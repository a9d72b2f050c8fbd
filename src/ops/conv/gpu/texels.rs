//! Convolution on packed texels, for software adapters: images and weights are gathered four channels a
//! texel, and implicit matrix products read them from there. `shaders/conv/texels.wgsl` says more.

mod tiles;
mod windows;

use std::ops::Range;

use tiles::{bands, tile};
use windows::{Packed, Windows};

use super::{Epilogue, Share, bind, bind_bias};
use crate::kernel::{Adapter, Dispatch, Operand, Shader, Variant, shader};
use crate::ops::conv::geometry::Geometry;
use crate::ops::reduce::parts::{add_parts, aligned, fitting};
use crate::tensor::TensorType;

/// The columns of the textures.
const COLUMNS: u32 = 1024;

/// Workspaces: packed images, what they are multiplied with, sums.
const IMAGE: usize = 0;
const FACTOR: usize = 1;
const SUMS: usize = 2;

/// A workgroup's texels of weights.
const TILE_TEXELS: usize = 8;

/// Rows that a workgroup of `shaders/conv/pack_image.wgsl` packs.
const PACKED_ROWS: usize = 8;

/// Fewer tiles leave cores idle.
const LEAST_TILES: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ImageParams {
    images: u32,
    groups: u32,
    channels: u32,
    height: u32,
    width: u32,
    packed_height: u32,
    packed_width: u32,
    quads: u32,
    top: i32,
    left: i32,
    start: u32,
    last: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct WeightParams {
    groups: u32,
    rows: u32,
    taps_height: u32,
    taps_width: u32,
    quads: u32,
    group_outputs: u32,
    group_inputs: u32,
    kernel_height: u32,
    kernel_width: u32,
    last: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ProductParams {
    images: u32,
    groups: u32,
    rows: u32,
    first_row: u32,
    end_row: u32,
    pixel_rows: u32,
    pixel_columns: u32,
    packed_height: u32,
    packed_width: u32,
    quads: u32,
    stride_y: u32,
    stride_x: u32,
    runs: u32,
    run: u32,
    run_columns: u32,
    step_y: u32,
    step_x: u32,
    channels: u32,
    height: u32,
    width: u32,
    first_y: u32,
    first_x: u32,
    top: u32,
    left: u32,
    result_start: u32,
    result_image: u32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct GradParams {
    images: u32,
    groups: u32,
    part: u32,
    pixel_rows: u32,
    pixel_columns: u32,
    output_quads: u32,
    grad_plane: u32,
    packed_height: u32,
    packed_width: u32,
    quads: u32,
    stride_y: u32,
    stride_x: u32,
    taps_height: u32,
    taps_width: u32,
    step_y: u32,
    step_x: u32,
    group_outputs: u32,
    group_inputs: u32,
    kernel_height: u32,
    kernel_width: u32,
    sums_start: u32,
}

/// Whether `adapter` reads texels faster than buffers, and has subgroups for the kernels.
fn suits(g: &Geometry, adapter: &Adapter) -> bool {
    let is_thin = g.groups > 1 && g.group_inputs.min(g.group_outputs) < 8;
    let has_subgroups = adapter.subgroups.is_some_and(|(least, _)| least >= 8);
    adapter.is_software() && has_subgroups && !is_thin
}

/// The most elements that a packed tensor may have.
fn most_elements(adapter: &Adapter) -> usize {
    let texture = (COLUMNS * Adapter::MOST_ROWS) as usize * 4;
    adapter.max_binding_elements().min(texture)
}

/// A dispatch of a kernel that groups pixels by these rows and columns: constants, since kernels divide by them.
fn grouped(shader: Shader, scale: [usize; 2]) -> Dispatch {
    Dispatch::new(shader).constant("SCALE_Y", scale[0] as u32).constant("SCALE_X", scale[1] as u32)
}

/// Of a kernel that computes or packs the input's gradient: the phases that have all taps, and how many channels each has.
fn phased(dispatch: Dispatch, g: &Geometry, scale: [usize; 2]) -> Dispatch {
    if scale == [1, 1] {
        return dispatch;
    }
    let [height, width] = [0, 1].map(|a| (g.kernel[a] - 1) % scale[a] + 1);
    let dispatch = dispatch.constant("WHOLE_Y", height as u32).constant("WHOLE_X", width as u32);
    dispatch.constant("CHANNELS", g.group_inputs as u32)
}

/// Dispatches and the elements of their workspaces.
struct Steps<'a> {
    g: &'a Geometry,
    dispatches: Vec<Dispatch>,
    workspace: [usize; 3],
}

impl<'a> Steps<'a> {
    fn new(g: &'a Geometry) -> Self {
        Steps { g, dispatches: vec![], workspace: [1; 3] }
    }

    fn variant(self) -> Variant {
        let workspace = self.workspace.map(|elements| TensorType::f32([elements])).into();
        Variant { name: "texels", dispatches: self.dispatches, workspace }
    }

    fn reserve(&mut self, workspace: usize, elements: usize) {
        let held = &mut self.workspace[workspace];
        *held = (*held).max(elements);
    }

    /// Packs the images of a share of `operand`, which are at `range` of it.
    fn pack_images(
        &mut self,
        to: usize,
        image: Packed,
        images: usize,
        operand: Operand,
        range: Range<usize>,
    ) {
        let texels = images * self.g.groups * image.plane();
        self.reserve(to, texels * 4);
        let (bound, start) = aligned(range.clone());
        let params = ImageParams {
            images: images as u32,
            groups: self.g.groups as u32,
            channels: image.channels as u32,
            height: image.size[0] as u32,
            width: image.size[1] as u32,
            packed_height: image.packed[0] as u32,
            packed_width: image.packed[1] as u32,
            quads: image.quads() as u32,
            top: image.origin[0] as i32,
            left: image.origin[1] as i32,
            start: start as u32,
            last: bound.len().div_ceil(4) as u32 - 1,
        };
        let dispatch = grouped(shader!("conv/pack_image.wgsl"), image.scale);
        let dispatch = bind(dispatch, "image", operand, range)
            .bind_range("packed", Operand::Workspace(to), 0..texels * 4)
            .params(&params)
            .groups(images * self.g.groups * image.quads() * image.packed[0].div_ceil(PACKED_ROWS));
        self.dispatches.push(dispatch);
    }

    /// Packs the weights, input 1, as `rows` rows of texels.
    fn pack_weights(
        &mut self,
        is_backward: bool,
        rows: usize,
        windows: &Windows,
        scale: [usize; 2],
    ) {
        let g = self.g;
        let texels = g.groups * rows * windows.texels();
        self.reserve(FACTOR, texels * 4);
        let params = WeightParams {
            groups: g.groups as u32,
            rows: rows as u32,
            taps_height: windows.taps[0] as u32,
            taps_width: windows.taps[1] as u32,
            quads: windows.image.quads() as u32,
            group_outputs: g.group_outputs as u32,
            group_inputs: g.group_inputs as u32,
            kernel_height: g.kernel[0] as u32,
            kernel_width: g.kernel[1] as u32,
            last: (g.outputs() * g.depth()).div_ceil(4) as u32 - 1,
        };
        let dispatch = grouped(shader!("conv/pack_weight.wgsl"), scale)
            .constant("BACKWARD", is_backward)
            .bind("weight", Operand::Input(1))
            .bind_range("packed", Operand::Workspace(FACTOR), 0..texels * 4)
            .params(&params)
            .groups(g.groups * rows);
        let scale = if is_backward { scale } else { [1, 1] };
        self.dispatches.push(phased(dispatch, g, scale));
    }

    /// Multiplies packed weights with the windows of packed images.
    fn product(&mut self, windows: &Windows, product: Product) {
        let g = self.g;
        let Product { images, rows, pixels, result, epilogue } = product;
        let image = windows.image;
        let [step_y, step_x] = windows.steps();
        let is_dense = windows.dilation[1] == 1;
        let params = ProductParams {
            images: images as u32,
            groups: g.groups as u32,
            rows: rows as u32,
            first_row: 0,
            end_row: rows as u32,
            pixel_rows: pixels[0] as u32,
            pixel_columns: pixels[1] as u32,
            packed_height: image.packed[0] as u32,
            packed_width: image.packed[1] as u32,
            quads: image.quads() as u32,
            stride_y: windows.stride[0] as u32,
            stride_x: windows.stride[1] as u32,
            // The taps of a row lie side by side, unless they are dilated.
            runs: (windows.taps[0] * if is_dense { 1 } else { windows.taps[1] }) as u32,
            run: (image.quads() * if is_dense { windows.taps[1] } else { 1 }) as u32,
            run_columns: if is_dense { 1 } else { windows.taps[1] as u32 },
            step_y: step_y as u32,
            step_x: step_x as u32,
            channels: result.channels as u32,
            height: result.size[0] as u32,
            width: result.size[1] as u32,
            first_y: result.first[0] as u32,
            first_x: result.first[1] as u32,
            top: result.origin[0] as u32,
            left: result.origin[1] as u32,
            result_start: aligned(result.range.clone()).1 as u32,
            result_image: (g.groups * result.channels * result.size[0] * result.size[1]) as u32,
        };
        let image_elements = images * g.groups * image.plane() * 4;
        let weight_elements = g.groups * rows * windows.texels() * 4;
        for (rows, tile) in bands(rows) {
            let tiles = rows.len().div_ceil(tile) * (images * pixels[0] * pixels[1]).div_ceil(32);
            let [first_row, end_row] = [rows.start, rows.end].map(|row| row as u32);
            let dispatch = grouped(shader!("conv/texels.wgsl"), result.scale)
                .constant("TILE_M", tile as u32)
                .constant("SHIFT", COLUMNS.ilog2())
                .constant("BIAS", epilogue.bias)
                .constant("RELU", epilogue.relu)
                .bind_texels("weight", Operand::Workspace(FACTOR), 0..weight_elements, COLUMNS)
                .bind_texels("image", Operand::Workspace(IMAGE), 0..image_elements, COLUMNS);
            let all = 0..g.outputs() * g.depth();
            let dispatch = bind_bias(dispatch, epilogue.bias, Operand::Input(1), all);
            let dispatch = bind(dispatch, "result", Operand::Output(0), result.range.clone())
                .params(&ProductParams { first_row, end_row, ..params })
                .groups(tiles * g.groups);
            self.dispatches.push(phased(dispatch, g, result.scale));
        }
    }
}

/// What a product computes.
struct Product {
    images: usize,
    /// Rows of the weights.
    rows: usize,
    /// Windows along the height and the width.
    pixels: [usize; 2],
    result: Result,
    epilogue: Epilogue,
}

/// Where the rows of a product go.
struct Result {
    channels: usize,
    size: [usize; 2],
    scale: [usize; 2],
    first: [usize; 2],
    origin: [usize; 2],
    range: Range<usize>,
}

/// The images of a dispatch, as many as fit; none where one does not.
fn shares(g: &Geometry, adapter: &Adapter, planes: usize) -> Option<Vec<Share>> {
    let images = fitting(adapter, g.input_image(), g.batch)
        .min(fitting(adapter, g.output_image(), g.batch))
        .min(most_elements(adapter) / (4 * planes * g.groups));
    if images == 0 {
        return None;
    }
    let share = |first| Share {
        images: first..(first + images).min(g.batch),
        groups: 0..g.groups,
        outputs: 0..g.group_outputs,
    };
    Some((0..g.batch).step_by(images).map(share).collect())
}

/// Whether the weights, packed as so many rows, fit.
fn weights_fit(g: &Geometry, adapter: &Adapter, rows: usize, windows: &Windows) -> bool {
    let elements = 4 * g.groups * rows * windows.texels();
    elements <= most_elements(adapter) && g.outputs() * g.depth() <= adapter.max_binding_elements()
}

/// `output = weight * image + bias`, where `adapter` is one for texels and they fit.
pub(super) fn forward(g: &Geometry, epilogue: Epilogue, adapter: &Adapter) -> Option<Variant> {
    let windows = Windows::of(g);
    let rows = g.group_outputs;
    if !suits(g, adapter) || !weights_fit(g, adapter, rows, &windows) {
        return None;
    }
    let mut steps = Steps::new(g);
    steps.pack_weights(false, rows, &windows, windows.image.scale);
    for share in shares(g, adapter, windows.image.plane())? {
        let images = share.images.len();
        steps.pack_images(IMAGE, windows.image, images, Operand::Input(0), share.input(g));
        let result = Result {
            channels: g.group_outputs,
            size: g.output,
            scale: [1, 1],
            first: [0, 0],
            origin: [0, 0],
            range: share.output(g),
        };
        let product = Product { images, rows, pixels: g.output, result, epilogue };
        steps.product(&windows, product);
    }
    Some(steps.variant())
}

/// `grad_input`: the windows of the padded `grad_output` with the weight's taps from last to first. With
/// a stride, the pixels of the input are grouped by it, and each of a group's pixels has taps of its own.
pub(super) fn grad_input(g: &Geometry, has_bias: bool, adapter: &Adapter) -> Option<Variant> {
    let scale = g.stride;
    let is_plain = g.stride == [1, 1] || g.dilation == [1, 1];
    if !suits(g, adapter) || !is_plain {
        return None;
    }
    let taps = [0, 1].map(|a| g.kernel[a].div_ceil(scale[a]));
    let reach = [0, 1].map(|a| (taps[a] - 1) * g.dilation[a]);
    // The rows above the image, whole groups of them, are not computed.
    let first = [0, 1].map(|a| g.padding[a] / scale[a]);
    let pixels = [0, 1].map(|a| (g.input[a] + g.padding[a]).div_ceil(scale[a]) - first[a]);
    let windows = Windows {
        image: Packed {
            channels: g.group_outputs,
            size: g.output,
            packed: [0, 1].map(|a| pixels[a] + reach[a]),
            scale: [1, 1],
            origin: [0, 1].map(|a| reach[a] as isize - first[a] as isize),
        },
        taps,
        stride: [1, 1],
        dilation: g.dilation,
    };
    let rows = g.group_inputs * scale[0] * scale[1];
    if !weights_fit(g, adapter, rows, &windows) {
        return None;
    }
    let mut steps = Steps::new(g);
    steps.pack_weights(true, rows, &windows, scale);
    for share in shares(g, adapter, windows.image.plane())? {
        let images = share.images.len();
        steps.pack_images(IMAGE, windows.image, images, Operand::Input(0), share.output(g));
        let result = Result {
            channels: g.group_inputs,
            size: g.input,
            scale,
            first,
            origin: g.padding,
            range: share.input(g),
        };
        let epilogue = Epilogue { bias: has_bias, relu: false };
        steps.product(&windows, Product { images, rows, pixels, result, epilogue });
    }
    Some(steps.variant())
}

/// `grad_weight`: sums over the pixels of all images, or of parts of them where tiles are few, and the
/// sum of the parts in order.
pub(super) fn grad_weight(g: &Geometry, adapter: &Adapter) -> Option<Variant> {
    if !suits(g, adapter) {
        return None;
    }
    let windows = Windows::of(g);
    let image = windows.image;
    // Four pixels at a time, whatever their row.
    let grads = Packed {
        channels: g.group_outputs,
        size: [1, g.output_pixels()],
        packed: [1, g.output_pixels().next_multiple_of(4)],
        scale: [1, 1],
        origin: [0, 0],
    };
    let weights = g.outputs() * g.depth();
    let tile = tile(g.group_outputs);
    let tiles = g.group_outputs.div_ceil(tile) * windows.texels().div_ceil(TILE_TEXELS) * g.groups;
    let most_parts = (adapter.max_binding_elements() / weights).min(g.batch);
    if most_parts == 0 {
        return None;
    }
    let mut steps = Steps::new(g);
    for share in shares(g, adapter, image.plane().max(grads.plane()))? {
        let images = share.images.len();
        steps.pack_images(IMAGE, image, images, Operand::Input(0), share.input(g));
        steps.pack_images(FACTOR, grads, images, Operand::Input(1), share.output(g));
        let part = images.div_ceil(LEAST_TILES.div_ceil(tiles).min(most_parts));
        let parts = images.div_ceil(part);
        let is_direct = parts == 1 && share.images.start == 0;
        let [step_y, step_x] = windows.steps();
        let params = GradParams {
            images: images as u32,
            groups: g.groups as u32,
            part: part as u32,
            pixel_rows: g.output[0] as u32,
            pixel_columns: g.output[1] as u32,
            output_quads: grads.quads() as u32,
            grad_plane: grads.plane() as u32,
            packed_height: image.packed[0] as u32,
            packed_width: image.packed[1] as u32,
            quads: image.quads() as u32,
            stride_y: windows.stride[0] as u32,
            stride_x: windows.stride[1] as u32,
            taps_height: windows.taps[0] as u32,
            taps_width: windows.taps[1] as u32,
            step_y: step_y as u32,
            step_x: step_x as u32,
            group_outputs: g.group_outputs as u32,
            group_inputs: g.group_inputs as u32,
            kernel_height: g.kernel[0] as u32,
            kernel_width: g.kernel[1] as u32,
            sums_start: 0,
        };
        let of = |plane: usize| 0..images * g.groups * plane * 4;
        let sums = if is_direct { Operand::Output(0) } else { Operand::Workspace(SUMS) };
        let dispatch = grouped(shader!("conv/texels_grad_weight.wgsl"), image.scale)
            .constant("TILE_M", tile as u32)
            .constant("SHIFT", COLUMNS.ilog2())
            .bind_texels("grad_output", Operand::Workspace(FACTOR), of(grads.plane()), COLUMNS)
            .bind_texels("image", Operand::Workspace(IMAGE), of(image.plane()), COLUMNS)
            .bind_range("sums", sums, 0..parts * weights)
            .params(&params)
            .groups(tiles * parts);
        steps.dispatches.push(dispatch);
        if !is_direct {
            steps.reserve(SUMS, parts * weights);
            steps.dispatches.push(add_parts(SUMS, parts, &(0..weights), share.images.start > 0));
        }
    }
    Some(steps.variant())
}
