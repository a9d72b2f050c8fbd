//! Normalisation with statistics of the input itself.

use super::layout::{Layout, Over};
use super::{cpu, gpu, reference};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

use super::backward::{By, NormGradInput, NormGradSums};

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias`, with mean and (biased) variance of each of
/// the sets of elements that [`Over`] names.
///
/// Inputs: `input`, and none, one or both of `weight` and `bias`, of shape `[channels]` or that of the
/// last axes. Outputs: `y`, and the statistics `mean` and `variance`, `[sets]` each, which the backward
/// pass and running statistics read and through which no gradient flows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Norm {
    /// The sets.
    pub over: Over,
    /// What is added to the variance; more than 0.
    pub eps: f32,
}

/// Errors unless `eps` is a finite number of more than 0.
pub(super) fn check_eps(eps: f32) -> Result<()> {
    match eps.is_finite() && eps > 0.0 {
        true => Ok(()),
        false => Err(Error::setting("eps", eps, "give a finite number of more than 0")),
    }
}

/// Errors unless every type from input `first` on is `wanted`.
pub(super) fn expect_types(
    op: &'static str,
    inputs: &[TensorType],
    range: std::ops::Range<usize>,
    what: &str,
    wanted: &TensorType,
) -> Result<()> {
    let given = inputs.get(range.start..range.end.min(inputs.len())).unwrap_or_default();
    match given.iter().all(|ty| ty == wanted) {
        true => Ok(()),
        false => {
            let problem = format!("{what} must be {wanted}");
            Err(Error::shape(op, inputs.iter().map(|t| &t.shape), problem))
        }
    }
}

impl Norm {
    pub(super) fn layout(&self, op: &'static str, input: &TensorType) -> Result<Layout> {
        check_eps(self.eps)?;
        self.over.layout(op, &input.shape)
    }
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=3)?;
        expect_f32(self.name(), inputs)?;
        let layout = self.layout(self.name(), &inputs[0])?;
        if self.over == Over::Batch && layout.set_size() == 1 {
            let problem = "one value per channel has no variance; use a larger batch";
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        let parameter = self.over.parameter_type(&inputs[0]);
        expect_types(self.name(), inputs, 1..3, "weight and bias", &parameter)?;
        let statistics = TensorType::f32([layout.sets()]);
        Ok(vec![inputs[0].clone(), statistics.clone(), statistics])
    }

    fn cost(&self, types: &Types) -> Cost {
        // A difference, a square and two sums for the statistics, a multiply-add to normalise.
        Cost::with_flops(types, 8 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        self.layout(self.name(), &types.inputs[0]).map_or(1, |layout| layout.set_size())
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        if g.grad_output(1).or_else(|_| g.grad_output(2)).is_ok() {
            let problem = "norm passes no gradient through its statistics";
            return Err(Error::Usage(problem.into()));
        }
        let grad = g.grad_output(0)?;
        let mut inputs = vec![g.input(0), g.output(1), g.output(2), grad];
        let weight = (g.inputs() > 1).then(|| g.input(1));
        let by_parameter = match self.over == Over::Batch || (1..g.inputs()).any(|i| g.wants(i)) {
            true => {
                let op = NormGradSums { norm: *self, by: By::Parameter };
                Some(g.emit(op, &inputs)?)
            }
            false => None,
        };
        if let Some(sums) = &by_parameter {
            for (input, gradient) in [(1, sums[1]), (2, sums[0])] {
                if input < g.inputs() {
                    g.set_grad(input, gradient);
                }
            }
        }
        if !g.wants(0) {
            return Ok(());
        }
        let sums = match by_parameter.filter(|_| self.over == Over::Batch) {
            Some(sums) => sums,
            None => {
                let with_weight = inputs.iter().copied().chain(weight).collect::<Vec<_>>();
                g.emit(NormGradSums { norm: *self, by: By::Set }, &with_weight)?
            }
        };
        inputs.extend(sums);
        inputs.extend(weight);
        g.emit_grad(0, NormGradInput(*self), &inputs)
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let x = &io.inputs[0];
        let places = reference::places(self.over, x.dims());
        let sets = io.outputs[1].data.len();
        let count = (x.data.len() / sets) as f64;
        let (mut mean, mut variance) = (vec![0.0; sets], vec![0.0; sets]);
        for (x, place) in x.data.iter().zip(&places) {
            mean[place.set] += x / count;
        }
        for (x, place) in x.data.iter().zip(&places) {
            variance[place.set] += (x - mean[place.set]).powi(2) / count;
        }
        for (i, (x, place)) in x.data.iter().zip(&places).enumerate() {
            let deviation = (variance[place.set] + f64::from(self.eps)).sqrt();
            let weight = io.inputs.get(1).map_or(1.0, |w| w.data[place.parameter]);
            let bias = io.inputs.get(2).map_or(0.0, |b| b.data[place.parameter]);
            io.outputs[0].data[i] = (x - mean[place.set]) / deviation * weight + bias;
        }
        io.outputs[1].data = mean;
        io.outputs[2].data = variance;
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Ok(layout) = self.layout(self.name(), &io.types.inputs[0]) else { return };
        let [output, mean, variance] = &mut *io.outputs else { return };
        cpu::moments(&layout, io.inputs[0], mean, variance);
        let affine = cpu::Affine {
            weight: io.inputs.get(1).copied(),
            bias: io.inputs.get(2).copied(),
            mean: Some(mean),
            variance,
            eps: self.eps,
        };
        cpu::normalise(&layout, io.inputs[0], &affine, output);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let layout = self.layout(self.name(), &types.inputs[0])?;
        let operands = gpu::Operands {
            input: Operand::Input(0),
            mean: Some(Operand::Output(1)),
            variance: Operand::Output(2),
            weight: (types.inputs.len() > 1).then_some(Operand::Input(1)),
            bias: (types.inputs.len() > 2).then_some(Operand::Input(2)),
        };
        let normalise = gpu::normalise(self.name(), &layout, self.eps, &operands, adapter)?;
        let mut variants = gpu::moments(self.name(), &layout, adapter)?;
        for variant in &mut variants {
            variant.dispatches.extend(normalise.iter().cloned());
        }
        Ok(variants)
    }
}
