//! The convolution as an op, alone and with a ReLU.

use std::sync::Arc;

use super::geometry::{Geometry, output_extents};
use super::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Conv2dRelu, cpu, gpu, reference, winograd};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::elementwise::{Unary, UnaryGrad};
use crate::ops::reduce::ChannelSum;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, Value, expect_f32, expect_inputs, nchw,
};
use crate::tensor::TensorType;
use crate::tolerance::Tolerance;

impl Conv2d {
    /// The geometry of a convolution of `input` with `weight`, for `op`'s messages.
    pub(super) fn geometry(
        &self,
        op: &'static str,
        input: &TensorType,
        weight: &TensorType,
    ) -> Result<Geometry> {
        let shapes = [&input.shape, &weight.shape];
        let fail = |problem: String| Err(Error::shape(op, shapes, problem));
        let [batch, channels, height, width] = nchw(op, input)?;
        let Ok([outputs, group_inputs, kernel_height, kernel_width]) =
            <[usize; 4]>::try_from(weight.dims())
        else {
            return fail(
                "the weight must be [outputs, channels / groups, kernel height, kernel width]"
                    .into(),
            );
        };
        let groups = self.groups;
        if groups == 0 {
            return fail("groups must be at least 1".into());
        }
        if channels % groups != 0 || outputs % groups != 0 {
            return fail(format!(
                "{channels} input and {outputs} output channels do not both divide into {groups} \
                 groups; choose groups that divide both"
            ));
        }
        if group_inputs != channels / groups {
            return fail(format!(
                "{channels} channels in {groups} groups need a weight of shape [{outputs}, {}, \
                 {kernel_height}, {kernel_width}]",
                channels / groups
            ));
        }
        let kernel = [kernel_height, kernel_width];
        let [rows, columns] = output_extents(op, self, [height, width], kernel, shapes)?;
        let output = [batch, outputs, rows, columns];
        Ok(Geometry::of(self, input.dims(), weight.dims(), &output))
    }

    /// The geometry of inputs that [`Op::infer`] has accepted.
    fn accepted(&self, types: &Types) -> Geometry {
        Geometry::of(self, types.input(0), types.input(1), types.output(0))
    }

    /// As [`Op::infer`], for `op`'s messages.
    fn output(&self, op: &'static str, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(op, inputs, 2..=3)?;
        expect_f32(op, inputs)?;
        let g = self.geometry(op, &inputs[0], &inputs[1])?;
        let shapes = || inputs.iter().map(|t| &t.shape);
        if inputs.len() == 3 && inputs[2].dims() != [g.outputs()] {
            let problem = format!("the bias must have shape [{}]", g.outputs());
            return Err(Error::shape(op, shapes(), problem));
        }
        let output = TensorType::f32([g.batch, g.outputs(), g.output[0], g.output[1]]);
        if output.shape.checked_elements().is_none() {
            return Err(Error::shape(op, shapes(), "the output is too large"));
        }
        Ok(vec![output])
    }

    /// The gradients, where `grad` is that of the sums.
    fn gradients(&self, g: &mut Backward<'_>, grad: Value) -> Result<()> {
        let (input, weight) = (g.input(0), g.input(1));
        if g.wants(0) {
            let [_, _, height, width] = nchw(self.name(), g.ty(input))?;
            let op = Conv2dGradInput { conv: *self, input: [height, width] };
            g.emit_grad(0, op, &[grad, weight])?;
        }
        if g.wants(1) {
            let [_, _, height, width] = nchw(self.name(), g.ty(weight))?;
            let op = Conv2dGradWeight { conv: *self, kernel: [height, width] };
            g.emit_grad(1, op, &[input, grad])?;
        }
        if g.inputs() == 3 && g.wants(2) {
            g.emit_grad(2, ChannelSum, &[grad])?;
        }
        Ok(())
    }

    fn variants(
        &self,
        op: &'static str,
        types: &Types,
        relu: bool,
        adapter: &Adapter,
    ) -> Result<Vec<Variant>> {
        let epilogue = gpu::Epilogue { bias: types.inputs.len() == 3, relu };
        gpu::forward::variants(op, &self.accepted(types), epilogue, adapter)
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.output(self.name(), inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, self.accepted(types).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        self.accepted(types).depth() + 1
    }

    fn tolerance(&self, types: &Types, variant: Option<&str>) -> Tolerance {
        winograd::tolerance(variant, self.reduction(types))
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let grad = g.grad_output(0)?;
        self.gradients(g, grad)
    }

    fn followed_by(&self, next: &dyn Op) -> Option<Arc<dyn Op>> {
        let is_relu = next.downcast_ref() == Some(&Unary::Relu);
        is_relu.then(|| Arc::new(Conv2dRelu(*self)) as Arc<dyn Op>)
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let g = Geometry::of(self, io.inputs[0].dims(), io.inputs[1].dims(), io.outputs[0].dims());
        reference::forward(&g, io);
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        cpu::forward::scratch(&self.accepted(types))
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::forward::run(&self.accepted(io.types), false, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        self.variants(self.name(), types, false, adapter)
    }
}

impl Op for Conv2dRelu {
    fn name(&self) -> &'static str {
        "conv2d_relu"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.0.output(self.name(), inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        self.0.cost(types)
    }

    fn reduction(&self, types: &Types) -> usize {
        self.0.reduction(types)
    }

    fn tolerance(&self, types: &Types, variant: Option<&str>) -> Tolerance {
        winograd::tolerance(variant, self.reduction(types))
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (grad, output) = (g.grad_output(0)?, g.output(0));
        let grad = g.emit(UnaryGrad(Unary::Relu), &[grad, output])?[0];
        self.0.gradients(g, grad)
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        self.0.reference(io);
        io.outputs[0].data.iter_mut().for_each(|y| *y = y.max(0.0));
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        self.0.cpu_scratch(types)
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        cpu::forward::run(&self.0.accepted(io.types), true, io);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        self.0.variants(self.name(), types, true, adapter)
    }
}
