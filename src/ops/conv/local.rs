//! Locally connected layers and their gradients.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::geometry::Geometry;
use super::{Conv2d, cpu, gpu, reference};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::reduce::ChannelSum;
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, nchw};
use crate::tensor::TensorType;

/// A convolution whose filters are not shared: each output pixel has weights of its own.
///
/// ```text
/// y[n, o, i, j] = bias[o, i, j] + sum over c, u, v of
///     x[n, g*C + c, i*stride_h + u*dilation_h - top, j*stride_w + v*dilation_w - left]
///     * w[o, c, u, v, i, j]
/// ```
///
/// with the names of [`Conv2d`], whose numbers it has.
///
/// Inputs: `x` `[batch, channels, height, width]`, `w` `[outputs, channels / groups, kernel height,
/// kernel width, output height, output width]` and optionally `bias` `[outputs, output height, output
/// width]`. Output: `[batch, outputs, output height, output width]`. The pixel is the last axis of the
/// weights, so that neighbouring outputs read neighbouring weights as they read neighbouring inputs.
///
/// Errors as [`Conv2d`], and where the weight's last two extents are not the output's.
///
/// Source: LeCun 1989, "Generalization and network design strategies"; the `local` layers of
/// cuda-convnet (Krizhevsky 2011).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocallyConnected2d(pub Conv2d);

/// The gradient of a locally connected layer with respect to its input.
///
/// Inputs: `grad_y` `[batch, outputs, output height, output width]` and the weight. Output: `[batch,
/// channels, height, width]`.
///
/// Errors where `grad_y` is not of the shape that the layer would have put out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LocallyConnected2dGradInput {
    /// The layer's numbers.
    pub conv: Conv2d,
    /// The extents of its input, `[height, width]`.
    pub input: [usize; 2],
}

/// The gradient of a locally connected layer with respect to its weight.
///
/// Inputs: `x` `[batch, channels, height, width]` and `grad_y` `[batch, outputs, output height, output
/// width]`. Output: as the weight.
///
/// Errors where `grad_y` is not of the shape that the layer would have put out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LocallyConnected2dGradWeight {
    /// The layer's numbers.
    pub conv: Conv2d,
    /// The extents of its kernel, `[height, width]`.
    pub kernel: [usize; 2],
}

/// The gradient of a locally connected layer with respect to its bias: the sum over the batch.
///
/// Input: `grad_y` `[batch, outputs, output height, output width]`. Output: `[outputs, output height,
/// output width]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LocallyConnected2dGradBias;

/// The types as a convolution's: the weight without its last two axes.
fn shared(weight: &TensorType) -> TensorType {
    TensorType::f32(&weight.dims()[..weight.dims().len().min(4)])
}

/// The geometry of `input` with the first four extents of `weight`, for `op`'s messages.
fn geometry(
    op: &'static str,
    conv: &Conv2d,
    inputs: &[TensorType],
    input: &TensorType,
    weight: &TensorType,
) -> Result<Geometry> {
    let fault = |problem: String| Error::shape(op, inputs.iter().map(|t| &t.shape), problem);
    let mut weight = shared(weight).dims().to_vec();
    if let ([_, group_inputs, ..], [_, channels, ..]) = (&mut weight[..], input.dims()) {
        // Whether the whole weight fits is for the caller to say.
        *group_inputs = channels.checked_div(conv.groups).unwrap_or(0);
    }
    let g = conv.geometry(op, input, &TensorType::f32(weight)).map_err(|error| match error {
        Error::Shape { problem, .. } => fault(problem),
        other => other,
    })?;
    let weights = [g.outputs(), g.group_inputs, g.kernel[0], g.kernel[1], g.output[0], g.output[1]];
    let output = [g.batch, g.outputs(), g.output[0], g.output[1]];
    let fits = |dims: &[usize]| TensorType::f32(dims).shape.checked_elements().is_some();
    match fits(&weights) && fits(&output) {
        true => Ok(g),
        false => Err(fault("weight or output are too large".into())),
    }
}

fn weight_type(g: &Geometry) -> TensorType {
    let [kernel_height, kernel_width] = g.kernel;
    let [rows, columns] = g.output;
    TensorType::f32([g.outputs(), g.group_inputs, kernel_height, kernel_width, rows, columns])
}

fn output_type(g: &Geometry) -> TensorType {
    TensorType::f32([g.batch, g.outputs(), g.output[0], g.output[1]])
}

/// Errors unless the tensor of this role has the type that it must have.
fn expect(
    op: &'static str,
    inputs: &[TensorType],
    role: &str,
    given: &TensorType,
    wanted: &TensorType,
) -> Result<()> {
    if given == wanted {
        return Ok(());
    }
    let problem = format!("the {role} must have shape {}", wanted.shape);
    Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
}

/// The geometry of shapes that have been checked.
fn accepted(conv: &Conv2d, input: &[usize], weight: &[usize], output: &[usize]) -> Geometry {
    Geometry::of(conv, input, &weight[..4], output)
}

fn forward_geometry(conv: &Conv2d, types: &Types) -> Geometry {
    accepted(conv, types.input(0), types.input(1), types.output(0))
}

impl LocallyConnected2d {
    /// The extents of the output, `[height, width]`, on `input` of filters of shape `[outputs,
    /// channels / groups, kernel height, kernel width]`: the weight's last two.
    ///
    /// Errors where they do not fit.
    pub fn output_extents(&self, input: &TensorType, filters: [usize; 4]) -> Result<[usize; 2]> {
        let weight = TensorType::f32(filters);
        let inputs = [input.clone(), weight];
        Ok(geometry(self.name(), &self.0, &inputs, input, &inputs[1])?.output)
    }
}

impl Op for LocallyConnected2d {
    fn name(&self) -> &'static str {
        "locally_connected2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=3)?;
        expect_f32(self.name(), inputs)?;
        if inputs[1].dims().len() != 6 {
            let problem = "the weight must be [outputs, channels / groups, kernel height, kernel \
                           width, output height, output width]";
            return Err(Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem));
        }
        let g = geometry(self.name(), &self.0, inputs, &inputs[0], &inputs[1])?;
        expect(self.name(), inputs, "weight", &inputs[1], &weight_type(&g))?;
        if let Some(bias) = inputs.get(2) {
            let wanted = TensorType::f32([g.outputs(), g.output[0], g.output[1]]);
            expect(self.name(), inputs, "bias", bias, &wanted)?;
        }
        Ok(vec![output_type(&g)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, forward_geometry(&self.0, types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        forward_geometry(&self.0, types).depth() + 1
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (input, weight, grad) = (g.input(0), g.input(1), g.grad_output(0)?);
        if g.wants(0) {
            let [_, _, height, width] = nchw(self.name(), g.ty(input))?;
            let op = LocallyConnected2dGradInput { conv: self.0, input: [height, width] };
            g.emit_grad(0, op, &[grad, weight])?;
        }
        if g.wants(1) {
            let [_, _, height, width] = nchw(self.name(), &shared(g.ty(weight)))?;
            let op = LocallyConnected2dGradWeight { conv: self.0, kernel: [height, width] };
            g.emit_grad(1, op, &[input, grad])?;
        }
        if g.inputs() == 3 && g.wants(2) {
            g.emit_grad(2, LocallyConnected2dGradBias, &[grad])?;
        }
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, w, y) = (&io.inputs[0], &io.inputs[1], &mut io.outputs[0]);
        let g = accepted(&self.0, x.dims(), w.dims(), y.dims());
        let pixels = g.output_pixels();
        if let Some(bias) = io.inputs.get(2) {
            let places = bias.data.len();
            y.data.iter_mut().enumerate().for_each(|(index, y)| *y = bias.data[index % places]);
        }
        reference::each_product(&g, |output, input, weight| {
            y.data[output] += x.data[input] * w.data[weight * pixels + output % pixels];
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::local::scratch(&forward_geometry(&self.0, types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::local::forward(&forward_geometry(&self.0, io.types), io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let g = forward_geometry(&self.0, types);
        gpu::local::forward(self.name(), &g, types.inputs.len() == 3, adapter)
    }
}

impl LocallyConnected2dGradInput {
    fn accepted(&self, types: &Types) -> Geometry {
        accepted(&self.conv, types.output(0), types.input(1), types.input(0))
    }
}

impl Op for LocallyConnected2dGradInput {
    fn name(&self) -> &'static str {
        "locally_connected2d_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let [batch, ..] = nchw(self.name(), &inputs[0])?;
        let group_inputs = inputs[1].dims().get(1).copied().unwrap_or(0);
        let channels = group_inputs.saturating_mul(self.conv.groups);
        let input = TensorType::f32([batch, channels, self.input[0], self.input[1]]);
        if input.shape.checked_elements().is_none() {
            let problem = "the input is too large";
            return Err(Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem));
        }
        let g = geometry(self.name(), &self.conv, inputs, &input, &inputs[1])?;
        expect(self.name(), inputs, "weight", &inputs[1], &weight_type(&g))?;
        expect(self.name(), inputs, "output's gradient", &inputs[0], &output_type(&g))?;
        Ok(vec![input])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        let g = self.accepted(types);
        g.group_outputs * g.taps()
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad, w, grad_x) = (&io.inputs[0], &io.inputs[1], &mut io.outputs[0]);
        let g = accepted(&self.conv, grad_x.dims(), w.dims(), grad.dims());
        let pixels = g.output_pixels();
        reference::each_product(&g, |output, input, weight| {
            grad_x.data[input] += grad.data[output] * w.data[weight * pixels + output % pixels];
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::local::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::local::grad_input(&self.accepted(io.types), io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        gpu::local::grad_input(self.name(), &self.accepted(types), adapter)
    }
}

impl LocallyConnected2dGradWeight {
    fn accepted(&self, types: &Types) -> Geometry {
        accepted(&self.conv, types.input(0), types.output(0), types.input(1))
    }
}

impl Op for LocallyConnected2dGradWeight {
    fn name(&self) -> &'static str {
        "locally_connected2d_grad_weight"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let [_, channels, ..] = nchw(self.name(), &inputs[0])?;
        let [_, outputs, ..] = nchw(self.name(), &inputs[1])?;
        let group_inputs = channels.checked_div(self.conv.groups).unwrap_or(0);
        let [height, width] = self.kernel;
        let weight = TensorType::f32([outputs, group_inputs, height, width]);
        let g = geometry(self.name(), &self.conv, inputs, &inputs[0], &weight)?;
        expect(self.name(), inputs, "output's gradient", &inputs[1], &output_type(&g))?;
        Ok(vec![weight_type(&g)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        types.input(0)[0]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, grad, grad_w) = (&io.inputs[0], &io.inputs[1], &mut io.outputs[0]);
        let g = accepted(&self.conv, x.dims(), grad_w.dims(), grad.dims());
        let pixels = g.output_pixels();
        reference::each_product(&g, |output, input, weight| {
            grad_w.data[weight * pixels + output % pixels] += grad.data[output] * x.data[input];
        });
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::local::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::local::grad_weight(&self.accepted(io.types), io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        gpu::local::grad_weight(self.name(), &self.accepted(types), adapter)
    }
}

/// The sum over the batch as a sum of many channels of one pixel, for the GPU.
fn flat(types: &Types) -> Types {
    let (batch, places) = (types.input(0)[0], types.outputs[0].elements());
    let inputs = vec![TensorType::f32([batch, places])];
    Types { inputs, outputs: vec![TensorType::f32([places])] }
}

impl Op for LocallyConnected2dGradBias {
    fn name(&self) -> &'static str {
        "locally_connected2d_grad_bias"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        let [_, outputs, rows, columns] = nchw(self.name(), &inputs[0])?;
        Ok(vec![TensorType::f32([outputs, rows, columns])])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        types.input(0)[0]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let sums = &mut io.outputs[0].data;
        let places = sums.len();
        for (index, grad) in io.inputs[0].data.iter().enumerate() {
            sums[index % places] += grad;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        const CHUNK: usize = 1024;
        let (grad, places) = (io.inputs[0], io.outputs[0].len());
        io.outputs[0].par_chunks_mut(CHUNK).enumerate().for_each(|(part, sums)| {
            sums.fill(0.0);
            for image in grad.chunks(places) {
                let image = &image[part * CHUNK..];
                sums.iter_mut().zip(image).for_each(|(sum, grad)| *sum += grad);
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        ChannelSum.gpu(&flat(types), adapter)
    }
}
