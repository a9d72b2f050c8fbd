//! Normalisation with given statistics, and its gradients: batch normalisation in evaluation.

use super::forward::{check_eps, expect_types};
use super::layout::{Layout, Over};
use super::{cpu, gpu};
use crate::error::Result;
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

use super::backward::{By, NormGradSums};
use super::forward::Norm;

/// `y[n,c,i] = (x[n,c,i] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]`: batch
/// normalisation with given statistics, which are inputs like any other.
///
/// Inputs: `input` `[batch, channels, ...]`; `mean` and `variance`; none, one or both of `weight` and
/// `bias`; `[channels]` each. Output: `y`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Normalise {
    /// What is added to the variance; more than 0.
    pub eps: f32,
}

/// The gradient of [`Normalise`] with respect to its input, the statistics held:
/// `grad_x = grad_y * weight[c] / sqrt(variance[c] + eps)`.
///
/// Inputs: `grad_output`, `variance`, and `weight` where there is one. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NormaliseGradInput {
    /// What is added to the variance; more than 0.
    pub eps: f32,
}

/// The gradients of [`Normalise`] with respect to mean and variance, from the sums over each channel of
/// `grad_y` and of `grad_y * xhat` (see [`NormGradSums`]):
/// `grad_mean = -w S / d`, `grad_variance = -w X / (2 d^2)`, `d = sqrt(variance + eps)`.
///
/// Inputs: `variance`, `sum`, `sum_xhat`, and `weight` where there is one. Outputs: `grad_mean` and
/// `grad_variance`. All `[channels]`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StatisticsGrad {
    /// What is added to the variance; more than 0.
    pub eps: f32,
}

fn layout(op: &'static str, input: &TensorType) -> Result<Layout> {
    Over::Batch.layout(op, &input.shape)
}

impl Op for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 3..=5)?;
        expect_f32(self.name(), inputs)?;
        check_eps(self.eps)?;
        let channels = TensorType::f32([layout(self.name(), &inputs[0])?.groups]);
        let what = "mean, variance, weight and bias";
        expect_types(self.name(), inputs, 1..5, what, &channels)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 3 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        4
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let grad = g.grad_output(0)?;
        let variance = g.input(2);
        let weight = (g.inputs() > 3).then(|| g.input(3));
        if g.wants(0) {
            let inputs: Vec<_> = [grad, variance].into_iter().chain(weight).collect();
            g.emit_grad(0, NormaliseGradInput { eps: self.eps }, &inputs)?;
        }
        if !(1..g.inputs()).any(|i| g.wants(i)) {
            return Ok(());
        }
        let norm = Norm { over: Over::Batch, eps: self.eps };
        let inputs = [g.input(0), g.input(1), variance, grad];
        let sums = g.emit(NormGradSums { norm, by: By::Parameter }, &inputs)?;
        for (input, gradient) in [(3, sums[1]), (4, sums[0])] {
            if input < g.inputs() {
                g.set_grad(input, gradient);
            }
        }
        if g.wants(1) || g.wants(2) {
            let inputs: Vec<_> = [variance, sums[0], sums[1]].into_iter().chain(weight).collect();
            let gradients = g.emit(StatisticsGrad { eps: self.eps }, &inputs)?;
            g.set_grad(1, gradients[0]);
            g.set_grad(2, gradients[1]);
        }
        Ok(())
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let dims = io.inputs[0].dims();
        let (channels, inner) = (dims[1], dims[2..].iter().product::<usize>());
        for (i, x) in io.inputs[0].data.iter().enumerate() {
            let c = i / inner % channels;
            let of = |input: usize, default| io.inputs.get(input).map_or(default, |a| a.data[c]);
            let deviation = (of(2, 1.0) + f64::from(self.eps)).sqrt();
            io.outputs[0].data[i] = (x - of(1, 0.0)) / deviation * of(3, 1.0) + of(4, 0.0);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(layout) = layout(self.name(), &io.types.inputs[0]) else { return };
        let affine = cpu::Affine {
            mean: Some(io.inputs[1]),
            variance: io.inputs[2],
            weight: io.inputs.get(3).copied(),
            bias: io.inputs.get(4).copied(),
            eps: self.eps,
        };
        cpu::normalise(&layout, io.inputs[0], &affine, io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let layout = layout(self.name(), &types.inputs[0])?;
        let operands = gpu::Operands {
            input: Operand::Input(0),
            mean: Some(Operand::Input(1)),
            variance: Operand::Input(2),
            weight: (types.inputs.len() > 3).then_some(Operand::Input(3)),
            bias: (types.inputs.len() > 4).then_some(Operand::Input(4)),
        };
        let dispatches = gpu::normalise(self.name(), &layout, self.eps, &operands, adapter)?;
        Ok(vec![Variant::new("vec4", dispatches)])
    }
}

impl Op for NormaliseGradInput {
    fn name(&self) -> &'static str {
        "normalise_grad_input"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=3)?;
        expect_f32(self.name(), inputs)?;
        check_eps(self.eps)?;
        let channels = TensorType::f32([layout(self.name(), &inputs[0])?.groups]);
        expect_types(self.name(), inputs, 1..3, "variance and weight", &channels)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        2
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let dims = io.inputs[0].dims();
        let (channels, inner) = (dims[1], dims[2..].iter().product::<usize>());
        for (i, grad) in io.inputs[0].data.iter().enumerate() {
            let c = i / inner % channels;
            let deviation = (io.inputs[1].data[c] + f64::from(self.eps)).sqrt();
            let weight = io.inputs.get(2).map_or(1.0, |w| w.data[c]);
            io.outputs[0].data[i] = grad * weight / deviation;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(layout) = layout(self.name(), &io.types.inputs[0]) else { return };
        let affine = cpu::Affine {
            mean: None,
            variance: io.inputs[1],
            weight: io.inputs.get(2).copied(),
            bias: None,
            eps: self.eps,
        };
        cpu::normalise(&layout, io.inputs[0], &affine, io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let layout = layout(self.name(), &types.inputs[0])?;
        let operands = gpu::Operands {
            input: Operand::Input(0),
            mean: None,
            variance: Operand::Input(1),
            weight: (types.inputs.len() > 2).then_some(Operand::Input(2)),
            bias: None,
        };
        let dispatches = gpu::normalise(self.name(), &layout, self.eps, &operands, adapter)?;
        Ok(vec![Variant::new("vec4", dispatches)])
    }
}

impl Op for StatisticsGrad {
    fn name(&self) -> &'static str {
        "statistics_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 3..=4)?;
        expect_f32(self.name(), inputs)?;
        check_eps(self.eps)?;
        expect_types(self.name(), inputs, 1..4, "sums and weight", &inputs[0])?;
        Ok(vec![inputs[0].clone(); 2])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 6 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        4
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        for c in 0..io.inputs[0].data.len() {
            let [variance, sum, sum_xhat] = [0, 1, 2].map(|i| io.inputs[i].data[c]);
            let weight = io.inputs.get(3).map_or(1.0, |w| w.data[c]);
            let square = variance + f64::from(self.eps);
            io.outputs[0].data[c] = -weight * sum / square.sqrt();
            io.outputs[1].data[c] = -weight * sum_xhat / (2.0 * square);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [grad_mean, grad_variance] = &mut *io.outputs else { return };
        for c in 0..grad_mean.len() {
            let inverse = 1.0 / (io.inputs[0][c] + self.eps).sqrt();
            let factor = -inverse * io.inputs.get(3).map_or(1.0, |weight| weight[c]);
            grad_mean[c] = factor * io.inputs[1][c];
            grad_variance[c] = 0.5 * factor * inverse * io.inputs[2][c];
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let weight = (types.inputs.len() > 3).then_some(Operand::Input(3));
        let dispatch = |range: std::ops::Range<usize>| {
            let params = gpu::Pointwise { items: range.len() as u32, a: self.eps, b: 0.0 };
            Dispatch::new(crate::kernel::shader!("norm/statistics_grad.wgsl"))
                .bind_range("variance", Operand::Input(0), range.clone())
                .bind_range("sum", Operand::Input(1), range.clone())
                .bind_range("sum_xhat", Operand::Input(2), range.clone())
                .bind_range("weight", weight.unwrap_or(Operand::Input(0)), range.clone())
                .bind_range("grad_mean", Operand::Output(0), range.clone())
                .bind_range("grad_variance", Operand::Output(1), range.clone())
                .constant("WEIGHT", weight.is_some())
                .params(&params)
                .threads(range.len())
        };
        let chunks = adapter.chunks(types.inputs[0].elements());
        Ok(vec![Variant::new("plain", chunks.into_iter().map(dispatch).collect())])
    }
}
