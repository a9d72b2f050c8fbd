//! The transposed convolution and its gradients. Its kernels are those of the convolution whose
//! input's gradient it is.

use serde::{Deserialize, Serialize};

use super::geometry::{AXES, Geometry, MAX_EXTENT, effective_kernel};
use super::{Conv2d, cpu, gpu, winograd};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::reduce::ChannelSum;
use crate::ops::{
    Array, Arrays, Backward, Cost, CpuTensors, Half, Op, Types, attributes, expect_f32,
    expect_inputs, nchw,
};
use crate::tensor::TensorType;
use crate::tolerance::Tolerance;

/// Transposed convolution, as in PyTorch's `conv_transpose2d`: each input pixel adds its filter,
/// times its value, to the output,
///
/// ```text
/// y[n, g*O + o, i*stride_h + u*dilation_h - top, j*stride_w + v*dilation_w - left] +=
///     x[n, c, i, j] * w[c, o, u, v]      for all c of group g, and i, j, u, v
/// ```
///
/// where `O` is the number of output channels of a group, and `bias[g*O + o]` is added. It is the
/// gradient of a convolution with the same numbers with respect to its input.
///
/// Inputs: `x` `[batch, channels, height, width]`, `w` `[channels, outputs / groups, kernel height,
/// kernel width]` and optionally `bias` `[outputs]`. Output: `[batch, outputs, output height, output
/// width]`, where an output extent is `(extent - 1) * stride + (kernel - 1) * dilation + 1 +
/// output_padding - padding before - padding after`.
///
/// Errors where channels do not divide into the groups, where the weight does not fit the channels,
/// where the padding leaves no output, and where the output padding is neither smaller than the
/// stride nor than the dilation.
///
/// Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, "A guide to
/// convolution arithmetic for deep learning", chapter 4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvTranspose2d {
    /// Output pixels between the filters of neighbouring inputs, `[height, width]`.
    #[serde(deserialize_with = "attributes::pair")]
    pub stride: [usize; 2],
    /// Output pixels cut off: `[top, bottom, left, right]`.
    #[serde(deserialize_with = "attributes::sides")]
    pub padding: [usize; 4],
    /// Output pixels added at the bottom and at the right: several output extents are possible for
    /// one input.
    #[serde(deserialize_with = "attributes::pair")]
    pub output_padding: [usize; 2],
    /// Output pixels between neighbouring taps of the kernel, `[height, width]`.
    #[serde(deserialize_with = "attributes::pair")]
    pub dilation: [usize; 2],
    /// The number of groups into which channels and outputs are divided.
    pub groups: usize,
}

/// The gradient of a transposed convolution with respect to its input.
///
/// Inputs: `grad_y` `[batch, outputs, output height, output width]` and the weight. Output: `[batch,
/// channels, height, width]`.
///
/// Errors where `grad_y` is not of the shape that the transposed convolution would have put out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConvTranspose2dGradInput {
    /// The transposed convolution.
    pub conv: ConvTranspose2d,
    /// The extents of its input, `[height, width]`.
    pub input: [usize; 2],
}

/// The gradient of a transposed convolution with respect to its weight.
///
/// Inputs: `grad_y` `[batch, outputs, output height, output width]` and `x` `[batch, channels, height,
/// width]`. Output: `[channels, outputs / groups, kernel height, kernel width]`.
///
/// Errors where `grad_y` is not of the shape that the transposed convolution would have put out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConvTranspose2dGradWeight {
    /// The transposed convolution.
    pub conv: ConvTranspose2d,
    /// The extents of its kernel, `[height, width]`.
    pub kernel: [usize; 2],
}

impl Default for ConvTranspose2d {
    /// Stride 1, no padding, dilation 1, one group.
    fn default() -> Self {
        ConvTranspose2d {
            stride: [1, 1],
            padding: [0; 4],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

impl ConvTranspose2d {
    /// The shape of the output on `input` and `weight`, for the messages of `op`, which was given
    /// `inputs`.
    fn output(
        &self,
        op: &'static str,
        inputs: &[TensorType],
        input: &TensorType,
        weight: &TensorType,
    ) -> Result<[usize; 4]> {
        let fault = |problem: String| Error::shape(op, inputs.iter().map(|t| &t.shape), problem);
        let [batch, channels, height, width] = nchw(op, input)?;
        let Ok([rows, group_outputs, kernel_height, kernel_width]) =
            <[usize; 4]>::try_from(weight.dims())
        else {
            return Err(fault(
                "the weight must be [channels, outputs / groups, kernel height, kernel width]"
                    .into(),
            ));
        };
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            return Err(fault(format!(
                "{channels} channels do not divide into {} groups; choose groups that divide them",
                self.groups
            )));
        }
        if rows != channels {
            return Err(fault(format!(
                "{channels} channels need a weight of shape [{channels}, {group_outputs}, \
                 {kernel_height}, {kernel_width}]"
            )));
        }
        let mut extents = [0; 2];
        let kernel = [kernel_height, kernel_width];
        for (axis, extent) in extents.iter_mut().enumerate() {
            *extent = self.extent(axis, [height, width][axis], kernel[axis]).map_err(fault)?;
        }
        let outputs = group_outputs.checked_mul(self.groups);
        let output = outputs.map(|outputs| [batch, outputs, extents[0], extents[1]]);
        let fits = |shape: &[usize; 4]| TensorType::f32(*shape).shape.checked_elements().is_some();
        output.filter(fits).ok_or_else(|| fault("the output is too large".into()))
    }

    /// An extent of the output, or what is wrong.
    fn extent(&self, axis: usize, input: usize, kernel: usize) -> Result<usize, String> {
        let (name, stride, dilation) = (AXES[axis], self.stride[axis], self.dilation[axis]);
        let (before, after) = (self.padding[2 * axis], self.padding[2 * axis + 1]);
        let added = self.output_padding[axis];
        if stride == 0 || dilation == 0 || kernel == 0 {
            return Err(format!(
                "kernel, stride and dilation must be at least 1 along the {name}, are {kernel}, \
                 {stride} and {dilation}"
            ));
        }
        if added >= stride && added >= dilation {
            return Err(format!(
                "an output padding of {added} along the {name} must be smaller than the stride \
                 ({stride}) or the dilation ({dilation})"
            ));
        }
        let steps = input.checked_sub(1).and_then(|n| n.checked_mul(stride));
        let reach = effective_kernel(kernel, dilation);
        let whole = steps.zip(reach).and_then(|(a, b)| a.checked_add(b)?.checked_add(added));
        let cut = before.checked_add(after);
        let Some((whole, cut)) = whole.zip(cut).filter(|&(w, c)| w.max(c) < MAX_EXTENT) else {
            return Err(format!("the output must be below 2^31 along the {name}"));
        };
        if cut >= whole {
            return Err(format!(
                "the padding ({before} + {after}) leaves nothing of the output's {whole} pixels \
                 along the {name}; use less padding, a larger kernel or a larger image"
            ));
        }
        Ok(whole - cut)
    }

    /// The geometry of the convolution from shape `output` to shape `input`.
    fn geometry(&self, input: &[usize], weight: &[usize], output: &[usize]) -> Geometry {
        let ConvTranspose2d { stride, padding, dilation, groups, .. } = *self;
        Geometry::of(&Conv2d { stride, padding, dilation, groups }, output, weight, input)
    }

    /// The oracle: calls `f(output, input, weight)` with the element indices of every product.
    fn each_product(
        &self,
        [input, weight, output]: [&Array; 3],
        mut f: impl FnMut(usize, usize, usize),
    ) {
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| input.dims()[i]);
        let [_, group_outputs, kernel_height, kernel_width] =
            [0, 1, 2, 3].map(|i| weight.dims()[i]);
        let [_, outputs, rows, columns] = [0, 1, 2, 3].map(|i| output.dims()[i]);
        for n in 0..batch {
            for c in 0..channels {
                let group = c / (channels / self.groups);
                for (i, j) in (0..height * width).map(|p| (p / width, p % width)) {
                    for o in 0..group_outputs {
                        for u in 0..kernel_height {
                            for v in 0..kernel_width {
                                let h = i * self.stride[0] + u * self.dilation[0];
                                let w = j * self.stride[1] + v * self.dilation[1];
                                let (top, left) = (self.padding[0], self.padding[2]);
                                if h < top || h >= top + rows || w < left || w >= left + columns {
                                    continue;
                                }
                                let plane = n * outputs + group * group_outputs + o;
                                f(
                                    (plane * rows + h - top) * columns + w - left,
                                    ((n * channels + c) * height + i) * width + j,
                                    ((c * group_outputs + o) * kernel_height + u) * kernel_width
                                        + v,
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    fn accepted(&self, types: &Types) -> Geometry {
        self.geometry(types.input(0), types.input(1), types.output(0))
    }
}

impl Op for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=3)?;
        expect_f32(self.name(), inputs)?;
        let output = self.output(self.name(), inputs, &inputs[0], &inputs[1])?;
        if inputs.len() == 3 && inputs[2].dims() != [output[1]] {
            let problem = format!("the bias must have shape [{}]", output[1]);
            return Err(Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem));
        }
        Ok(vec![TensorType::f32(output)])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        let g = self.accepted(types);
        g.group_outputs * g.taps() + 1
    }

    fn tolerance(&self, types: &Types, variant: Option<&str>) -> Tolerance {
        winograd::tolerance(variant, self.reduction(types))
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (input, weight, grad) = (g.input(0), g.input(1), g.grad_output(0)?);
        if g.wants(0) {
            let [_, _, height, width] = nchw(self.name(), g.ty(input))?;
            let op = ConvTranspose2dGradInput { conv: *self, input: [height, width] };
            g.emit_grad(0, op, &[grad, weight])?;
        }
        if g.wants(1) {
            let [_, _, height, width] = nchw(self.name(), g.ty(weight))?;
            let op = ConvTranspose2dGradWeight { conv: *self, kernel: [height, width] };
            g.emit_grad(1, op, &[grad, input])?;
        }
        if g.inputs() == 3 && g.wants(2) {
            g.emit_grad(2, ChannelSum, &[grad])?;
        }
        Ok(())
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, w) = (&io.inputs[0], &io.inputs[1]);
        let mut y = Array::zeros(io.outputs[0].shape.clone());
        self.each_product([x, w, &io.outputs[0]], |output, input, weight| {
            y.data[output] += x.data[input] * w.data[weight];
        });
        if let Some(bias) = io.inputs.get(2) {
            let pixels = y.dims()[2] * y.dims()[3];
            for (index, y) in y.data.iter_mut().enumerate() {
                *y += bias.data[index / pixels % bias.data.len()];
            }
        }
        io.outputs[0] = y;
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::grad_input::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::grad_input::run(&self.accepted(io.types), io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let has_bias = types.inputs.len() == 3;
        gpu::grad_input::variants(self.name(), &self.accepted(types), has_bias, adapter)
    }
}

/// Errors unless `grad_y` is what the transposed convolution of `input` would have put out.
fn check_grad(
    op: &'static str,
    conv: &ConvTranspose2d,
    inputs: &[TensorType],
    input: &TensorType,
    weight: &TensorType,
) -> Result<()> {
    if [input, weight].iter().any(|t| t.shape.checked_elements().is_none_or(|n| n == 0)) {
        let problem = format!("{} or {} is empty or too large", input.shape, weight.shape);
        return Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem));
    }
    let [n, c, h, w] = conv.output(op, inputs, input, weight)?;
    if inputs[0].dims() == [n, c, h, w] {
        return Ok(());
    }
    let problem = format!("the output's gradient must have shape [{n}, {c}, {h}, {w}]");
    Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
}

impl ConvTranspose2dGradInput {
    fn accepted(&self, types: &Types) -> Geometry {
        self.conv.geometry(types.output(0), types.input(1), types.input(0))
    }
}

impl Op for ConvTranspose2dGradInput {
    fn name(&self) -> &'static str {
        "conv_transpose2d_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let [batch, ..] = nchw(self.name(), &inputs[0])?;
        let channels = inputs[1].dims().first().copied().unwrap_or(0);
        let input = TensorType::f32([batch, channels, self.input[0], self.input[1]]);
        check_grad(self.name(), &self.conv, inputs, &input, &inputs[1])?;
        Ok(vec![input])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        self.accepted(types).depth()
    }

    fn tolerance(&self, types: &Types, variant: Option<&str>) -> Tolerance {
        winograd::tolerance(variant, self.reduction(types))
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad, w) = (&io.inputs[0], &io.inputs[1]);
        let mut x = Array::zeros(io.outputs[0].shape.clone());
        self.conv.each_product([&io.outputs[0], w, grad], |output, input, weight| {
            x.data[input] += grad.data[output] * w.data[weight];
        });
        io.outputs[0] = x;
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::forward::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::forward::run(&self.accepted(io.types), false, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let epilogue = gpu::Epilogue { bias: false, relu: false };
        gpu::forward::variants(self.name(), &self.accepted(types), epilogue, adapter)
    }
}

impl ConvTranspose2dGradWeight {
    fn accepted(&self, types: &Types) -> Geometry {
        self.conv.geometry(types.input(1), types.output(0), types.input(0))
    }
}

impl Op for ConvTranspose2dGradWeight {
    fn name(&self) -> &'static str {
        "conv_transpose2d_grad_weight"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let [_, outputs, ..] = nchw(self.name(), &inputs[0])?;
        let [_, channels, ..] = nchw(self.name(), &inputs[1])?;
        let group_outputs = outputs.checked_div(self.conv.groups).unwrap_or(0).max(1);
        let [height, width] = self.kernel;
        let weight = TensorType::f32([channels, group_outputs, height, width]);
        check_grad(self.name(), &self.conv, inputs, &inputs[1], &weight)?;
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
        let (grad, x) = (&io.inputs[0], &io.inputs[1]);
        let mut w = Array::zeros(io.outputs[0].shape.clone());
        self.conv.each_product([x, &io.outputs[0], grad], |output, input, weight| {
            w.data[weight] += grad.data[output] * x.data[input];
        });
        io.outputs[0] = w;
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
