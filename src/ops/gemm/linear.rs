//! The fully connected layer and its gradients.

use std::sync::Arc;

use super::cpu::{Matrix, MatrixMut, Threads, gemm};
use super::gpu::{Bias, BiasAxis, Problem, Stored};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::elementwise::{Unary, UnaryGrad};
use crate::ops::reduce::ChannelSum;
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, Value, expect_f32, expect_inputs, parallel,
};
use crate::tensor::{Shape, TensorType};

/// `y = x W^T + b`. Inputs: x `[batch, ...]`, taken as `[batch, in]` with `in` the product of all
/// extents but the first; W `[out, in]`; optionally b `[out]`. Output: `[batch, out]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Linear;

/// `y = max(0, x W^T + b)`: a [`Linear`] and the ReLU behind it in one pass. Plans make it of the two
/// where they can; see [`fuse`](crate::graph::fuse).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinearRelu;

/// `grad_x = grad_y W`: the gradient of [`Linear`] with respect to x. Inputs: grad_y `[batch, out]`,
/// W `[out, in]`. Output: of the shape of x.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinearGradInput {
    /// The shape of x, `[batch, ...]`.
    pub input: Shape,
}

/// `grad_W = grad_y^T x`: the gradient of [`Linear`] with respect to W. Inputs: x `[batch, ...]`,
/// grad_y `[batch, out]`. Output: `[out, in]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinearGradWeight;

/// The extents of a layer.
#[derive(Clone, Copy)]
struct Extents {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Extents {
    /// Of `x` (any shape) and a matrix whose extent `outputs` is the number of outputs.
    fn new(x: &[usize], outputs: usize) -> Self {
        Extents { batch: x[0], inputs: x[1..].iter().product(), outputs }
    }

    fn flops(&self) -> u64 {
        2 * (self.batch * self.inputs * self.outputs) as u64
    }
}

/// Errors unless `x` is a batch: at least `[batch, features]`.
fn expect_batch(op: &'static str, inputs: &[TensorType], x: &Shape) -> Result<()> {
    if x.rank() >= 2 {
        return Ok(());
    }
    let shapes = inputs.iter().map(|t| &t.shape);
    Err(Error::shape(op, shapes, format!("the input must be [batch, ...], is {x}")))
}

/// As [`Op::infer`] of a layer named `op`.
fn output(op: &'static str, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    expect_inputs(op, inputs, 2..=3)?;
    expect_f32(op, inputs)?;
    let x = &inputs[0].shape;
    expect_batch(op, inputs, x)?;
    let wrong = |problem| Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem));
    let features = x.per_sample();
    let outputs = match *inputs[1].dims() {
        [outputs, given] if given == features => outputs,
        _ => return wrong(format!("weight must be [out, {features}] for an input of {x}")),
    };
    if inputs.get(2).is_some_and(|bias| bias.dims() != [outputs]) {
        return wrong(format!("bias must be [{outputs}], one for each output"));
    }
    Ok(vec![TensorType::f32([x.dims()[0], outputs])])
}

/// The gradients, where `grad` is that of the sums.
fn gradients(g: &mut Backward<'_>, grad: Value) -> Result<()> {
    let (x, weight) = (g.input(0), g.input(1));
    if g.wants(0) {
        let input = g.ty(x).shape.clone();
        g.emit_grad(0, LinearGradInput { input }, &[grad, weight])?;
    }
    if g.wants(1) {
        g.emit_grad(1, LinearGradWeight, &[x, grad])?;
    }
    if g.inputs() == 3 && g.wants(2) {
        g.emit_grad(2, ChannelSum, &[grad])?;
    }
    Ok(())
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        output(self.name(), inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        let e = Extents::new(types.input(0), types.output(0)[1]);
        let bias = if types.inputs.len() == 3 { e.batch * e.outputs } else { 0 };
        Cost::with_flops(types, e.flops() + bias as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        types.input(1)[1] + types.inputs.len() - 2
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let grad = g.grad_output(0)?;
        gradients(g, grad)
    }

    fn followed_by(&self, next: &dyn Op) -> Option<Arc<dyn Op>> {
        let is_relu = next.downcast_ref() == Some(&Unary::Relu);
        is_relu.then(|| Arc::new(LinearRelu) as Arc<dyn Op>)
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, weight, bias) = (&io.inputs[0], &io.inputs[1], io.inputs.get(2));
        let [outputs, features] = [weight.dims()[0], weight.dims()[1]];
        for s in 0..x.dims()[0] {
            for o in 0..outputs {
                let mut sum = bias.map_or(0.0, |b| b.data[o]);
                for i in 0..features {
                    sum += x.data[s * features + i] * weight.data[o * features + i];
                }
                io.outputs[0].data[s * outputs + o] = sum;
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Extents { batch, inputs, outputs } =
            Extents::new(io.types.input(0), io.types.output(0)[1]);
        let bias = io.inputs.get(2);
        if let Some(bias) = bias {
            io.outputs[0].chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
        }
        let x = Matrix::rows(io.inputs[0], inputs);
        let weight = Matrix::rows(io.inputs[1], inputs).transposed();
        let y = MatrixMut::rows(io.outputs[0], outputs);
        gemm([batch, outputs, inputs], x, weight, y, bias.is_some(), Threads::All);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        product(types).variants(adapter)
    }
}

/// The layer as a matrix product.
fn product(types: &Types) -> Problem {
    let Extents { batch, inputs, outputs } = Extents::new(types.input(0), types.output(0)[1]);
    let x = Stored::rows(Operand::Input(0), inputs);
    let weight = Stored::rows(Operand::Input(1), inputs).transposed_if(true);
    let y = Stored::rows(Operand::Output(0), outputs);
    let has_bias = types.inputs.len() == 3;
    let bias =
        has_bias.then_some(Bias { operand: Operand::Input(2), offset: 0, axis: BiasAxis::Column });
    Problem::new([batch, outputs, inputs], x, weight, y).bias(bias)
}

impl Op for LinearRelu {
    fn name(&self) -> &'static str {
        "linear_relu"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        output(self.name(), inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        Linear.cost(types)
    }

    fn reduction(&self, types: &Types) -> usize {
        Linear.reduction(types)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (grad, output) = (g.grad_output(0)?, g.output(0));
        let grad = g.emit(UnaryGrad(Unary::Relu), &[grad, output])?[0];
        gradients(g, grad)
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        Linear.reference(io);
        io.outputs[0].data.iter_mut().for_each(|y| *y = y.max(0.0));
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        Linear.cpu(io);
        parallel::each(io.outputs[0], |part| part.iter_mut().for_each(|y| *y = y.max(0.0)));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        Problem { relu: true, ..product(types) }.variants(adapter)
    }
}

impl Op for LinearGradInput {
    fn name(&self) -> &'static str {
        "linear_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        expect_batch(self.name(), inputs, &self.input)?;
        let (batch, features) = (self.input.dims()[0], self.input.per_sample());
        match (inputs[0].dims(), inputs[1].dims()) {
            (&[b, o], &[outputs, given]) if b == batch && o == outputs && given == features => {
                Ok(vec![TensorType::f32(self.input.clone())])
            }
            _ => Err(Error::shape(
                self.name(),
                inputs.iter().map(|t| &t.shape),
                format!(
                    "needs a gradient [{batch}, out] and a weight [out, {features}] for an input \
                     of {}",
                    self.input
                ),
            )),
        }
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, Extents::new(types.output(0), types.input(0)[1]).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        types.input(0)[1]
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (grad, weight) = (&io.inputs[0], &io.inputs[1]);
        let [outputs, features] = [weight.dims()[0], weight.dims()[1]];
        for s in 0..grad.dims()[0] {
            for i in 0..features {
                let terms = (0..outputs)
                    .map(|o| grad.data[s * outputs + o] * weight.data[o * features + i]);
                io.outputs[0].data[s * features + i] = terms.sum();
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Extents { batch, inputs, outputs } =
            Extents::new(io.types.output(0), io.types.input(0)[1]);
        let grad = Matrix::rows(io.inputs[0], outputs);
        let weight = Matrix::rows(io.inputs[1], inputs);
        let grad_x = MatrixMut::rows(io.outputs[0], inputs);
        gemm([batch, inputs, outputs], grad, weight, grad_x, false, Threads::All);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let Extents { batch, inputs, outputs } = Extents::new(types.output(0), types.input(0)[1]);
        let grad = Stored::rows(Operand::Input(0), outputs);
        let weight = Stored::rows(Operand::Input(1), inputs);
        let grad_x = Stored::rows(Operand::Output(0), inputs);
        Problem::new([batch, inputs, outputs], grad, weight, grad_x).variants(adapter)
    }
}

impl Op for LinearGradWeight {
    fn name(&self) -> &'static str {
        "linear_grad_weight"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let x = &inputs[0].shape;
        expect_batch(self.name(), inputs, x)?;
        match *inputs[1].dims() {
            [batch, outputs] if batch == x.dims()[0] => {
                Ok(vec![TensorType::f32([outputs, x.per_sample()])])
            }
            _ => Err(Error::shape(
                self.name(),
                inputs.iter().map(|t| &t.shape),
                format!("needs a gradient [{}, out] for an input of {x}", x.dims()[0]),
            )),
        }
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, Extents::new(types.input(0), types.input(1)[1]).flops())
    }

    fn reduction(&self, types: &Types) -> usize {
        types.input(0)[0]
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (x, grad) = (&io.inputs[0], &io.inputs[1]);
        let [batch, outputs] = [grad.dims()[0], grad.dims()[1]];
        let features = x.shape.per_sample();
        for o in 0..outputs {
            for i in 0..features {
                let terms =
                    (0..batch).map(|s| grad.data[s * outputs + o] * x.data[s * features + i]);
                io.outputs[0].data[o * features + i] = terms.sum();
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Extents { batch, inputs, outputs } =
            Extents::new(io.types.input(0), io.types.input(1)[1]);
        let x = Matrix::rows(io.inputs[0], inputs);
        let grad = Matrix::rows(io.inputs[1], outputs).transposed();
        let grad_weight = MatrixMut::rows(io.outputs[0], inputs);
        gemm([outputs, inputs, batch], grad, x, grad_weight, false, Threads::All);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let Extents { batch, inputs, outputs } = Extents::new(types.input(0), types.input(1)[1]);
        let x = Stored::rows(Operand::Input(0), inputs);
        let grad = Stored::rows(Operand::Input(1), outputs).transposed_if(true);
        let grad_weight = Stored::rows(Operand::Output(0), inputs);
        Problem::new([outputs, inputs, batch], grad, x, grad_weight).variants(adapter)
    }
}
