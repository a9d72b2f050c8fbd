//! The gradients of normalisation with statistics of the input itself.

use super::forward::{Norm, expect_types};
use super::layout::{Layout, Over};
use super::reference::{self, Place};
use super::{cpu, gpu};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// What [`NormGradSums`] adds up over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum By {
    /// The elements that share statistics.
    Set,
    /// The elements that share weight and bias.
    Parameter,
}

/// The two sums that the gradients need, over each set or each parameter:
/// `sum of g` and `sum of g * xhat`, with `xhat = (x - mean) / sqrt(variance + eps)` and `g` the
/// gradient at the output; by set, times the weight. By parameter they are the gradients of bias and
/// weight.
///
/// Inputs: `input`, `mean`, `variance`, `grad_output`, and by set, where there is one, `weight`.
/// Outputs: `sum` and `sum_xhat`, `[sets]` or of the weight's shape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NormGradSums {
    /// The forward op.
    pub norm: Norm,
    /// What is added up over. Not by set over the batch, where parameters and sets are the same.
    pub by: By,
}

/// The gradient of [`Norm`] with respect to its input, from the sums of [`NormGradSums`]:
/// `grad_x = (w g - (S + xhat X) / m) / sqrt(variance + eps)`, with `S` and `X` the sums of `w g` and
/// `w g xhat` over the `m` elements of a set.
///
/// Inputs: `input`, `mean`, `variance`, `grad_output`, `sum`, `sum_xhat`, and `weight` where there is
/// one. The sums are by set, but over the batch by parameter, without the weight, which is then one
/// factor of all. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NormGradInput(pub Norm);

/// Errors unless the first four inputs are an input, its statistics and a gradient.
fn check(norm: &Norm, op: &'static str, inputs: &[TensorType]) -> Result<Layout> {
    expect_f32(op, inputs)?;
    let layout = norm.layout(op, &inputs[0])?;
    let statistics = TensorType::f32([layout.sets()]);
    expect_types(op, inputs, 1..3, "mean and variance", &statistics)?;
    expect_types(op, inputs, 3..4, "grad_output", &inputs[0])?;
    Ok(layout)
}

impl NormGradSums {
    fn output_type(&self, layout: &Layout, input: &TensorType) -> TensorType {
        match self.by {
            By::Set => TensorType::f32([layout.sets()]),
            By::Parameter => self.norm.over.parameter_type(input),
        }
    }
}

impl Op for NormGradSums {
    fn name(&self) -> &'static str {
        "norm_grad_sums"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 4..=if self.by == By::Set { 5 } else { 4 })?;
        let layout = check(&self.norm, self.name(), inputs)?;
        if self.by == By::Set && layout.across {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "over the batch, sum by parameter"));
        }
        let parameter = self.norm.over.parameter_type(&inputs[0]);
        expect_types(self.name(), inputs, 4..5, "weight", &parameter)?;
        let sums = self.output_type(&layout, &inputs[0]);
        Ok(vec![sums.clone(), sums])
    }

    fn cost(&self, types: &Types) -> Cost {
        let flops = if types.inputs.len() > 4 { 6 } else { 5 };
        Cost::with_flops(types, flops * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        types.inputs[0].elements() / types.outputs[0].elements()
    }

    fn half(&self) -> Half {
        Half::taken(&[0, 3], &[])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [x, mean, variance, grad] = [0, 1, 2, 3].map(|i| &io.inputs[i].data);
        let places = reference::places(self.norm.over, io.inputs[0].dims());
        for (i, place) in places.into_iter().enumerate() {
            let deviation = (variance[place.set] + f64::from(self.norm.eps)).sqrt();
            let xhat = (x[i] - mean[place.set]) / deviation;
            let (key, g) = match (self.by, io.inputs.get(4)) {
                (By::Parameter, _) => (place.parameter, grad[i]),
                (By::Set, None) => (place.set, grad[i]),
                (By::Set, Some(weight)) => (place.set, grad[i] * weight.data[place.parameter]),
            };
            io.outputs[0].data[key] += g;
            io.outputs[1].data[key] += g * xhat;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(layout) = self.norm.layout(self.name(), &io.types.inputs[0]) else { return };
        let [sum, sum_xhat] = &mut *io.outputs else { return };
        let given = cpu::Given {
            input: io.inputs[0],
            mean: io.inputs[1],
            variance: io.inputs[2],
            grad: io.inputs[3],
            eps: self.norm.eps,
        };
        match self.by {
            By::Set => cpu::sums_by_set(&layout, &given, io.inputs.get(4).copied(), sum, sum_xhat),
            By::Parameter => cpu::sums_by_parameter(&layout, &given, sum, sum_xhat),
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let layout = self.norm.layout(self.name(), &types.inputs[0])?;
        let sums = match self.by {
            By::Set => layout.by_set(),
            By::Parameter => layout.by_parameter(),
        };
        let weight = (types.inputs.len() > 4).then_some(Operand::Input(4));
        gpu::sums(self.name(), &layout, sums, self.norm.eps, weight, adapter)
    }
}

impl Op for NormGradInput {
    fn name(&self) -> &'static str {
        "norm_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 6..=7)?;
        check(&self.0, self.name(), inputs)?;
        expect_types(self.name(), inputs, 4..6, "the sums", &inputs[1])?;
        let parameter = self.0.over.parameter_type(&inputs[0]);
        expect_types(self.name(), inputs, 6..7, "weight", &parameter)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 8 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        4
    }

    fn half(&self) -> Half {
        Half::taken(&[0, 3], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [x, mean, variance, grad, sum, sum_xhat] =
            [0, 1, 2, 3, 4, 5].map(|i| &io.inputs[i].data);
        let places = reference::places(self.0.over, io.inputs[0].dims());
        let size = (x.len() / mean.len()) as f64;
        for (i, Place { set, parameter }) in places.into_iter().enumerate() {
            let deviation = (variance[set] + f64::from(self.0.eps)).sqrt();
            let xhat = (x[i] - mean[set]) / deviation;
            let weight = io.inputs.get(6).map_or(1.0, |w| w.data[parameter]);
            let through_statistics = (sum[set] + xhat * sum_xhat[set]) / size;
            io.outputs[0].data[i] = match self.0.over {
                Over::Batch => weight * (grad[i] - through_statistics) / deviation,
                _ => (weight * grad[i] - through_statistics) / deviation,
            };
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(layout) = self.0.layout(self.name(), &io.types.inputs[0]) else { return };
        let given = cpu::Given {
            input: io.inputs[0],
            mean: io.inputs[1],
            variance: io.inputs[2],
            grad: io.inputs[3],
            eps: self.0.eps,
        };
        let (sums, weight) = ([io.inputs[4], io.inputs[5]], io.inputs.get(6).copied());
        cpu::grad_input(&layout, &given, sums, weight, io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let layout = self.0.layout(self.name(), &types.inputs[0])?;
        let weight = (types.inputs.len() > 6).then_some(Operand::Input(6));
        gpu::grad_input(self.name(), &layout, self.0.eps, weight, adapter)
    }
}
