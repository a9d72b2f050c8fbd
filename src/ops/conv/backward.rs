//! The gradients of the convolution as ops.

use super::geometry::Geometry;
use super::{Conv2d, cpu, gpu, reference, winograd};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, nchw};
use crate::tensor::TensorType;
use crate::tolerance::Tolerance;

/// The gradient of a convolution with respect to its input:
///
/// ```text
/// grad_x[n, g*C + c, h, w] = sum over the outputs o of group g and over u, v, i, j with
///     h = i*stride_h + u*dilation_h - top and w = j*stride_w + v*dilation_w - left
///     of grad_y[n, o, i, j] * weight[o, c, u, v]
/// ```
///
/// Inputs: `grad_y` `[batch, outputs, output height, output width]` and the weight `[outputs,
/// channels / groups, kernel height, kernel width]`. Output: `[batch, channels, height, width]`.
///
/// Errors where `grad_y` is not of the shape that the convolution would have put out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Conv2dGradInput {
    /// The convolution.
    pub conv: Conv2d,
    /// The extents of its input, `[height, width]`: several inputs may give one output extent.
    pub input: [usize; 2],
}

/// The gradient of a convolution with respect to its weight:
///
/// ```text
/// grad_w[o, c, u, v] = sum over n, i, j of grad_y[n, o, i, j] *
///     x[n, g*C + c, i*stride_h + u*dilation_h - top, j*stride_w + v*dilation_w - left]
/// ```
///
/// Inputs: `x` `[batch, channels, height, width]` and `grad_y` `[batch, outputs, output height, output
/// width]`. Output: `[outputs, channels / groups, kernel height, kernel width]`. The sum is split
/// into parts that depend on the shape alone and are added in order: the same bits on every run and
/// for any number of threads.
///
/// Errors where `grad_y` is not of the shape that the convolution would have put out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Conv2dGradWeight {
    /// The convolution.
    pub conv: Conv2d,
    /// The extents of its kernel, `[height, width]`.
    pub kernel: [usize; 2],
}

/// Errors unless `grad` is what the convolution would have put out.
fn check_grad(op: &'static str, g: &Geometry, inputs: &[TensorType], grad: usize) -> Result<()> {
    let wanted = [g.batch, g.outputs(), g.output[0], g.output[1]];
    if inputs[grad].dims() == wanted {
        return Ok(());
    }
    let [n, c, h, w] = wanted;
    let problem = format!("the output's gradient must have shape [{n}, {c}, {h}, {w}]");
    Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
}

impl Conv2dGradInput {
    fn accepted(&self, types: &Types) -> Geometry {
        Geometry::of(&self.conv, types.output(0), types.input(1), types.input(0))
    }
}

impl Op for Conv2dGradInput {
    fn name(&self) -> &'static str {
        "conv2d_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let [batch, ..] = nchw(self.name(), &inputs[0])?;
        let shapes = || inputs.iter().map(|t| &t.shape);
        let Ok([_, group_inputs, ..]) = <[usize; 4]>::try_from(inputs[1].dims()) else {
            let problem =
                "the weight must be [outputs, channels / groups, kernel height, kernel width]";
            return Err(Error::shape(self.name(), shapes(), problem));
        };
        let channels = group_inputs.checked_mul(self.conv.groups);
        let [height, width] = self.input;
        let output = channels.map(|c| TensorType::f32([batch, c, height, width]));
        let Some(output) = output.filter(|t| t.shape.checked_elements().is_some()) else {
            return Err(Error::shape(self.name(), shapes(), "the output is too large"));
        };
        let g = self.conv.geometry(self.name(), &output, &inputs[1])?;
        check_grad(self.name(), &g, inputs, 0)?;
        Ok(vec![output])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        let g = self.accepted(types);
        g.group_outputs * g.taps()
    }

    fn tolerance(&self, types: &Types, variant: Option<&str>) -> Tolerance {
        winograd::tolerance(variant, self.reduction(types))
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (output, weight, grad) =
            (io.outputs[0].dims(), io.inputs[1].dims(), io.inputs[0].dims());
        let g = Geometry::of(&self.conv, output, weight, grad);
        reference::grad_input(&g, io);
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::grad_input::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::grad_input::run(&self.accepted(io.types), io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        gpu::grad_input::variants(self.name(), &self.accepted(types), false, adapter)
    }
}

impl Conv2dGradWeight {
    fn accepted(&self, types: &Types) -> Geometry {
        Geometry::of(&self.conv, types.input(0), types.output(0), types.input(1))
    }
}

impl Op for Conv2dGradWeight {
    fn name(&self) -> &'static str {
        "conv2d_grad_weight"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let [_, channels, ..] = nchw(self.name(), &inputs[0])?;
        let [_, outputs, ..] = nchw(self.name(), &inputs[1])?;
        let group_inputs = channels.checked_div(self.conv.groups).unwrap_or(0);
        let [height, width] = self.kernel;
        let weight = TensorType::f32([outputs, group_inputs, height, width]);
        if weight.shape.checked_elements().is_none() {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "the kernel is too large"));
        }
        let g = self.conv.geometry(self.name(), &inputs[0], &weight)?;
        check_grad(self.name(), &g, inputs, 1)?;
        Ok(vec![weight])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        let g = self.accepted(types);
        g.batch * g.output_pixels()
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, weight, grad) =
            (io.inputs[0].dims(), io.outputs[0].dims(), io.inputs[1].dims());
        let g = Geometry::of(&self.conv, input, weight, grad);
        reference::grad_weight(&g, io);
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::grad_weight::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::grad_weight::run(&self.accepted(io.types), io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        gpu::grad_weight::variants(self.name(), &self.accepted(types), adapter)
    }
}
