//! Pooling to an output of given size: average, maximum, and of whole planes.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::windows::Geometry;
use super::{AvgPool2d, Work, avg, by_planes, max, planes, planes_per_job};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Shader, Variant, shader};
use crate::ops::reduce::plane_sum;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, attributes, expect_f32, expect_inputs,
    nchw,
};
use crate::tensor::TensorType;

/// The averages of as many windows as the output is large, as in PyTorch's `adaptive_avg_pool2d`:
/// along an axis of `I` positions, window `o` of `O` covers `floor(o I / O) <= i < ceil((o + 1) I /
/// O)`. Windows may overlap by a position, and repeat where the output is larger than the input. An
/// output of 1x1, the default, is global average pooling.
///
/// Input: `[batch, channels, height, width]`. Output: `[batch, channels, output height, output
/// width]`.
///
/// Errors where an extent of the output is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveAvgPool2d {
    /// The output's height and width.
    #[serde(deserialize_with = "attributes::pair")]
    pub output_size: [usize; 2],
}

/// The gradient of [`AdaptiveAvgPool2d`]. Input: `grad_output`. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdaptiveAvgPool2dGrad {
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

/// The maxima of the windows of [`AdaptiveAvgPool2d`], as in PyTorch's `adaptive_max_pool2d`, and as
/// `u32` where each was found: see [`MaxPool2d`](super::MaxPool2d).
///
/// Errors where an extent of the output is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveMaxPool2d {
    /// The output's height and width.
    #[serde(deserialize_with = "attributes::pair")]
    pub output_size: [usize; 2],
}

/// The gradient of [`AdaptiveMaxPool2d`]. Inputs: the forward op's indices, and `grad_output`.
/// Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdaptiveMaxPool2dGrad {
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

impl Default for AdaptiveAvgPool2d {
    /// The average of whole planes.
    fn default() -> Self {
        AdaptiveAvgPool2d { output_size: [1, 1] }
    }
}

impl Default for AdaptiveMaxPool2d {
    /// The maximum of whole planes.
    fn default() -> Self {
        AdaptiveMaxPool2d { output_size: [1, 1] }
    }
}

/// What counts where windows slide does not matter here.
const ANY: AvgPool2d = AvgPool2d {
    window: [1; 2],
    stride: [1; 2],
    padding: [0; 4],
    ceil_mode: false,
    count_include_pad: false,
    divisor_override: None,
};

fn forward_geometry(
    op: &'static str,
    inputs: &[TensorType],
    output: [usize; 2],
) -> Result<Geometry> {
    expect_inputs(op, inputs, 1..=1)?;
    let [_, _, height, width] = nchw(op, &inputs[0])?;
    Geometry::adaptive(op, inputs, [height, width], output)
}

/// The oracle's windows along an axis: the positions `i` that share a part of `o / output .. (o + 1) /
/// output` with `i / input .. (i + 1) / input`.
fn window(o: usize, input: usize, output: usize) -> Vec<usize> {
    (0..input).filter(|i| i * output < (o + 1) * input && (i + 1) * output > o * input).collect()
}

/// Calls `visit` with each output's index and the input elements of its window.
fn each_window(input: &[usize], output: &[usize], mut visit: impl FnMut(usize, &[usize])) {
    let mut o = 0;
    for plane in 0..input[0] * input[1] {
        for y in 0..output[2] {
            for x in 0..output[3] {
                let mut inside = vec![];
                for row in window(y, input[2], output[2]) {
                    for column in window(x, input[3], output[3]) {
                        inside.push((plane * input[2] + row) * input[3] + column);
                    }
                }
                visit(o, &inside);
                o += 1;
            }
        }
    }
}

/// A workgroup a plane, where one window covers it all.
fn global(
    op: &'static str,
    shader: Shader,
    g: &Geometry,
    types: &Types,
    adapter: &Adapter,
) -> Result<Variant> {
    let mut operands = vec![("input", Operand::Input(0), g.input_plane())];
    let outputs = ["output", "indices"].into_iter().zip(0..types.outputs.len());
    operands.extend(outputs.map(|(name, i)| (name, Operand::Output(i), 1)));
    let dispatch = |items| g.dispatch(shader, items);
    by_planes(op, adapter, planes(types.input(0)), &operands, Work::Workgroup, dispatch)
}

/// A thread for each window, or a workgroup, best guess first.
fn ranked(gather: Variant, workgroup: Option<Variant>, adapter: &Adapter) -> Vec<Variant> {
    let mut variants: Vec<_> = workgroup.into_iter().chain([gather]).collect();
    if adapter.is_software() {
        variants.reverse();
    }
    variants
}

/// The longest sum behind an element of the input's gradient.
fn windows_over(g: &Geometry) -> usize {
    [0, 1].map(|axis| g.output[axis].div_ceil(g.input[axis]) + 1).iter().product()
}

impl Op for AdaptiveAvgPool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_f32(self.name(), inputs)?;
        let g = forward_geometry(self.name(), inputs, self.output_size)?;
        Ok(vec![g.output_type(self.name(), &inputs[0])?])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        let longest = |axis: usize| types.input(0)[axis + 2].div_ceil(self.output_size[axis]) + 1;
        longest(0) * longest(1)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let [_, _, height, width] = nchw(self.name(), g.ty(g.input(0)))?;
        let grad = AdaptiveAvgPool2dGrad { input: [height, width] };
        g.emit_grad(0, grad, &[g.grad_output(0)?])
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, y) = (&io.inputs[0], &mut io.outputs[0]);
        let output = y.dims().to_vec();
        each_window(x.dims(), &output, |o, inside| {
            y.data[o] = inside.iter().map(|&i| x.data[i]).sum::<f64>() / inside.len() as f64;
        });
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = forward_geometry(self.name(), &io.types.inputs, self.output_size) else {
            return;
        };
        io.outputs[0]
            .par_chunks_mut(g.output_plane())
            .zip(io.inputs[0].par_chunks(g.input_plane()))
            .with_min_len(planes_per_job(&g))
            .for_each(|(output, input)| average_plane(&g, input, output));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = forward_geometry(self.name(), &types.inputs, self.output_size)?;
        let gather = avg::variant(self.name(), &ANY, &g, types, adapter)?;
        let shader = shader!("pool/global_avg.wgsl");
        let whole = g.is_global().then(|| global(self.name(), shader, &g, types, adapter));
        Ok(ranked(gather, whole.transpose()?, adapter))
    }
}

fn average_plane(g: &Geometry, input: &[f32], output: &mut [f32]) {
    if let [average] = output {
        *average = plane_sum(input) / input.len() as f32;
        return;
    }
    for (o, average) in output.iter_mut().enumerate() {
        let (rows, columns) = (g.covered(0, o / g.output[1]), g.covered(1, o % g.output[1]));
        let size = rows.len() * columns.len();
        let row = |row: usize| &input[row * g.input[1]..][columns.clone()];
        *average = rows.map(|r| row(r).iter().sum::<f32>()).sum::<f32>() / size as f32;
    }
}

impl AdaptiveAvgPool2dGrad {
    fn geometry(&self, inputs: &[TensorType]) -> Result<Geometry> {
        forward_grad_geometry(self.name(), inputs, self.input)
    }
}

/// The geometry whose output has the extents of the last input.
fn forward_grad_geometry(
    op: &'static str,
    inputs: &[TensorType],
    input: [usize; 2],
) -> Result<Geometry> {
    let grad = inputs.last().map_or(Ok([1; 4]), |grad| nchw(op, grad))?;
    let [batch, channels, height, width] = grad;
    let grad_input = TensorType::f32([batch, channels, input[0], input[1]]);
    if grad_input.shape.checked_elements().is_none_or(|n| n == 0) {
        let problem =
            format!("an input of planes of {}x{} is empty or too large", input[0], input[1]);
        return Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem));
    }
    Geometry::adaptive(op, inputs, input, [height, width])
}

impl Op for AdaptiveAvgPool2dGrad {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        let [batch, channels, ..] = nchw(self.name(), &inputs[0])?;
        self.geometry(inputs)?;
        Ok(vec![TensorType::f32([batch, channels, self.input[0], self.input[1]])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        self.geometry(&types.inputs).map_or(1, |g| 2 + windows_over(&g))
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grads, grad_input) = (&io.inputs[0], &mut io.outputs[0]);
        let input = grad_input.dims().to_vec();
        each_window(&input, grads.dims(), |o, inside| {
            for &i in inside {
                grad_input.data[i] += grads.data[o] / inside.len() as f64;
            }
        });
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = self.geometry(&io.types.inputs) else { return };
        io.outputs[0]
            .par_chunks_mut(g.input_plane())
            .zip(io.inputs[0].par_chunks(g.output_plane()))
            .with_min_len(planes_per_job(&g))
            .for_each(|(grad_input, grad_output)| {
                grad_input.fill(0.0);
                for (o, grad) in grad_output.iter().enumerate() {
                    let rows = g.covered(0, o / g.output[1]);
                    let columns = g.covered(1, o % g.output[1]);
                    let share = grad / (rows.len() * columns.len()) as f32;
                    for row in rows {
                        let sums = &mut grad_input[row * g.input[1]..][columns.clone()];
                        sums.iter_mut().for_each(|sum| *sum += share);
                    }
                }
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = self.geometry(&types.inputs)?;
        Ok(vec![avg::grad_variant(self.name(), &ANY, &g, types, adapter)?])
    }
}

impl Op for AdaptiveMaxPool2d {
    fn name(&self) -> &'static str {
        "adaptive_max_pool2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_f32(self.name(), inputs)?;
        let g = forward_geometry(self.name(), inputs, self.output_size)?;
        let maxima = g.output_type(self.name(), &inputs[0])?;
        let indices = TensorType::u32(maxima.shape.clone());
        Ok(vec![maxima, indices])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let [_, _, height, width] = nchw(self.name(), g.ty(g.input(0)))?;
        let grad = AdaptiveMaxPool2dGrad { input: [height, width] };
        g.emit_grad(0, grad, &[g.output(1), g.grad_output(0)?])
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let x = &io.inputs[0];
        let [y, indices] = io.outputs else { return };
        let plane = x.dims()[2] * x.dims()[3];
        let output = y.dims().to_vec();
        each_window(x.dims(), &output, |o, inside| {
            let mut best = inside[0];
            for &i in inside {
                if x.data[i] > x.data[best] || x.data[i].is_nan() {
                    best = i;
                }
            }
            y.data[o] = x.data[best];
            indices.data[o] = (best % plane) as f64;
        });
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(g) = forward_geometry(self.name(), &io.types.inputs, self.output_size) else {
            return;
        };
        max::run(&g, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = forward_geometry(self.name(), &types.inputs, self.output_size)?;
        let gather = max::variant(self.name(), &g, types, adapter)?;
        let shader = shader!("pool/global_max.wgsl");
        let whole = g.is_global().then(|| global(self.name(), shader, &g, types, adapter));
        Ok(ranked(gather, whole.transpose()?, adapter))
    }
}

impl Op for AdaptiveMaxPool2dGrad {
    fn name(&self) -> &'static str {
        "adaptive_max_pool2d_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let geometry = |_| forward_grad_geometry(self.name(), inputs, self.input);
        max::check_grad(self.name(), inputs, geometry)?;
        let [batch, channels, ..] = nchw(self.name(), &inputs[1])?;
        Ok(vec![TensorType::f32([batch, channels, self.input[0], self.input[1]])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[1].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        forward_grad_geometry(self.name(), &types.inputs, self.input)
            .map_or(1, |g| windows_over(&g))
    }

    fn half(&self) -> Half {
        Half::taken(&[1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        max::reference_grad(self.input, io);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let geometry = forward_grad_geometry(self.name(), &io.types.inputs, self.input);
        let Ok(g) = geometry else { return };
        max::run_grad(&g, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = forward_grad_geometry(self.name(), &types.inputs, self.input)?;
        Ok(vec![max::grad_variant(self.name(), &g, types, adapter)?])
    }
}
