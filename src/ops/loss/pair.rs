//! Losses of pairs of numbers, element by element.

use rayon::prelude::*;

use super::Reduction;
use super::formulas::{Pair, Side};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::reduce::parts::total;
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// How a smaller tensor is repeated over a larger one: element e reads element `e / inner % count`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Repeat {
    inner: usize,
    count: usize,
}

impl Repeat {
    /// One value for all.
    const NONE: Repeat = Repeat { inner: 1, count: 1 };

    /// Of `small` over `large`, axes aligned at the last; `None` where that is not one run of axes.
    fn of(small: &[usize], large: &[usize]) -> Option<Self> {
        let axes: Vec<_> = small.iter().rev().zip(large.iter().rev()).collect();
        let is_repeatable = |&(&s, &l): &(&usize, &usize)| s == l || s == 1;
        let extra = small.iter().rev().skip(large.len());
        if !axes.iter().all(is_repeatable) || extra.into_iter().any(|&s| s != 1) {
            return None;
        }
        let is_own = |&(&s, &l): &(&usize, &usize)| s == l && l != 1;
        let Some(first) = axes.iter().position(is_own) else { return Some(Repeat::NONE) };
        let last = axes.iter().rposition(is_own).unwrap_or(first);
        if axes[first..=last].iter().any(|&(s, l)| s != l) {
            return None;
        }
        let product = |axes: &[(&usize, &usize)]| axes.iter().map(|(_, l)| **l).product();
        Some(Repeat { inner: product(&axes[..first]), count: product(&axes[first..=last]) })
    }

    fn at(self, e: usize) -> usize {
        e / self.inner % self.count
    }
}

/// The weights of a loss: where each is among the inputs, if at all, and how it is repeated.
fn weights(pair: Pair, types: &[TensorType], first: usize) -> [Option<(usize, Repeat)>; 2] {
    let mut next = first;
    pair.has_weights().map(|is_there| {
        let input = next;
        next += usize::from(is_there);
        let dims = is_there.then(|| types.get(input).map_or(&[][..], TensorType::dims))?;
        Some((input, Repeat::of(dims, types[0].dims()).unwrap_or(Repeat::NONE)))
    })
}

fn check_inputs(
    op: &'static str,
    pair: Pair,
    inputs: &[TensorType],
    first_weight: usize,
) -> Result<()> {
    let count = first_weight + pair.has_weights().iter().filter(|&&w| w).count();
    expect_inputs(op, inputs, count..=count)?;
    expect_f32(op, inputs)?;
    pair.check()?;
    let refuse = |problem: &str| Error::shape(op, inputs.iter().map(|t| &t.shape), problem);
    if inputs[0] != inputs[1] {
        return Err(refuse("input and target must have the same shape"));
    }
    let fits = |w: &TensorType| Repeat::of(w.dims(), inputs[0].dims()).is_some();
    match inputs[first_weight..].iter().all(fits) {
        true => Ok(()),
        false => Err(refuse("a weight must be repeatable over the input along one run of axes")),
    }
}

/// The losses of pairs, reduced. Inputs: `input` and `target` of one shape, and the weights that the
/// loss takes, of shapes that are repeated along one run of axes. Output: `[1]`, or as `input`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PairLoss {
    /// The loss of an element.
    pub pair: Pair,
    /// What becomes of the losses of the elements.
    pub reduction: Reduction,
}

impl PairLoss {
    /// The factor of the sum, or of the gradient.
    fn factor(&self, elements: usize) -> f64 {
        match self.reduction {
            Reduction::Mean => 1.0 / elements as f64,
            _ => 1.0,
        }
    }
}

/// The longest part of a sum that is added up in one go, on the CPU.
const CPU_PART: usize = 4096;

impl Op for PairLoss {
    fn name(&self) -> &'static str {
        "pair_loss"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        check_inputs(self.name(), self.pair, inputs, 2)?;
        Ok(match self.reduction {
            Reduction::None => inputs[..1].to_vec(),
            _ => vec![TensorType::f32([1])],
        })
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 4 * types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        // WGSL allows exp and log to be some units in the last place off.
        let terms = if self.reduction == Reduction::None { 1 } else { types.inputs[0].elements() };
        terms + if matches!(self.pair, Pair::BceWithLogits { .. }) { 256 } else { 4 }
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let mut inputs = vec![g.input(0), g.input(1), g.grad_output(0)?];
        for i in 2..g.inputs() {
            inputs.push(g.input(i));
            g.set_constant(i);
        }
        for (i, side) in [Side::Input, Side::Target].into_iter().enumerate() {
            if g.wants(i) {
                g.emit_grad(i, PairLossGrad { loss: *self, side }, &inputs)?;
            }
        }
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let types: Vec<_> = io.inputs.iter().map(|a| TensorType::f32(a.shape.clone())).collect();
        let weights = weights(self.pair, &types, 2);
        let elements = io.inputs[0].data.len();
        for e in 0..elements {
            let [w, p] = weights.map(|w| w.map_or(1.0, |(i, r)| io.inputs[i].data[r.at(e)]));
            let value = self.pair.value(io.inputs[0].data[e], io.inputs[1].data[e], w, p);
            match self.reduction {
                Reduction::None => io.outputs[0].data[e] = value,
                Reduction::Sum => io.outputs[0].data[0] += value,
                Reduction::Mean => io.outputs[0].data[0] += value / elements as f64,
            }
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.inputs[0].elements().div_ceil(CPU_PART)
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let weights = weights(self.pair, &io.types.inputs, 2);
        let (inputs, pair) = (io.inputs, self.pair);
        let value = |e: usize| {
            let [w, p] = weights.map(|w| w.map_or(1.0, |(i, r)| inputs[i][r.at(e)]));
            pair.value_f32(inputs[0][e], inputs[1][e], w, p)
        };
        let elements = inputs[0].len();
        if self.reduction == Reduction::None {
            let output = io.outputs[0].par_iter_mut().enumerate();
            return output.with_min_len(CPU_PART).for_each(|(e, y)| *y = value(e));
        }
        let sums = &mut io.scratch[..elements.div_ceil(CPU_PART)];
        sums.par_iter_mut().enumerate().for_each(|(part, sum)| {
            let range = part * CPU_PART..((part + 1) * CPU_PART).min(elements);
            *sum = range.map(|e| f64::from(value(e))).sum::<f64>() as f32;
        });
        let sum: f64 = sums.iter().map(|&part| f64::from(part)).sum();
        io.outputs[0][0] = (sum * self.factor(elements)) as f32;
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let elements = types.inputs[0].elements();
        let is_reduced = self.reduction != Reduction::None;
        let part = elements.div_ceil(2048).max(1024).next_multiple_of(64);
        let mut dispatches = vec![];
        let mut parts = 0;
        for range in adapter.chunks(elements) {
            let here = range.len().div_ceil(part);
            let dispatch = Dispatch::new(crate::kernel::shader!("loss/pair.wgsl"))
                .constant("REDUCED", is_reduced)
                .bind("sums", Operand::Workspace(0))
                .groups(here);
            let dispatch = match is_reduced {
                true => dispatch.bind("output", Operand::Workspace(1)),
                false => dispatch.bind_range("output", Operand::Output(0), range.clone()),
            };
            let params = [part, here, parts].map(|n| n as u32);
            dispatches.push(bind(dispatch, self.pair, types, 2, &range, &params, 1.0));
            parts += here;
        }
        if is_reduced {
            dispatches.push(total(0, parts, self.factor(elements) as f32, false));
        }
        let workspace = vec![TensorType::f32([parts]), TensorType::f32([4])];
        Ok(vec![Variant { name: "parts", dispatches, workspace }])
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    part: u32,
    parts: u32,
    first_part: u32,
    first: u32,
    weight_inner: u32,
    weight_count: u32,
    pos_inner: u32,
    pos_count: u32,
    parameter: f32,
    factor: f32,
}

/// Binds input, target and weights of a part of a loss or its gradient, with the params.
fn bind(
    dispatch: Dispatch,
    pair: Pair,
    types: &Types,
    first_weight: usize,
    range: &std::ops::Range<usize>,
    &[part, parts, first_part]: &[u32; 3],
    factor: f32,
) -> Dispatch {
    let (code, parameter) = pair.code();
    let weights = weights(pair, &types.inputs, first_weight);
    let elements = types.inputs[0].elements();
    let mut dispatch = dispatch
        .constant("KIND", code)
        .constant("WEIGHTED", weights[0].is_some())
        .constant("POS_WEIGHTED", weights[1].is_some())
        .bind_range("x", Operand::Input(0), range.clone())
        .bind_range("t", Operand::Input(1), range.clone());
    let mut repeats = [Repeat::NONE; 2];
    for ((name, weight), repeat) in
        ["weight", "pos_weight"].into_iter().zip(weights).zip(&mut repeats)
    {
        dispatch = match weight {
            // A weight of the input's size is cut as the input is: the kernel reads its own element.
            Some((input, r)) if r.count == elements => {
                *repeat = Repeat { inner: 0, count: 1 };
                dispatch.bind_range(name, Operand::Input(input), range.clone())
            }
            Some((input, r)) => {
                *repeat = r;
                dispatch.bind(name, Operand::Input(input))
            }
            // Something must be bound; it is not read.
            None => dispatch.bind_range(name, Operand::Input(0), range.clone()),
        };
    }
    dispatch.params(&Params {
        count: range.len() as u32,
        part,
        parts,
        first_part,
        first: range.start as u32,
        weight_inner: repeats[0].inner as u32,
        weight_count: repeats[0].count as u32,
        pos_inner: repeats[1].inner as u32,
        pos_count: repeats[1].count as u32,
        parameter,
        factor,
    })
}

/// The gradient of [`PairLoss`]. Inputs: `input`, `target`, `grad_loss`, and the weights. Output: as
/// `input`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PairLossGrad {
    /// The loss.
    pub loss: PairLoss,
    /// With respect to what.
    pub side: Side,
}

impl Op for PairLossGrad {
    fn name(&self) -> &'static str {
        "pair_loss_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        check_inputs(self.name(), self.loss.pair, inputs, 3)?;
        let grad = match self.loss.reduction {
            Reduction::None => inputs[0].clone(),
            _ => TensorType::f32([1]),
        };
        if inputs[2] != grad {
            let shapes = inputs.iter().map(|t| &t.shape);
            let problem = format!("grad_loss must be {grad}");
            return Err(Error::shape(self.name(), shapes, problem));
        }
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 4 * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        if matches!(self.loss.pair, Pair::BceWithLogits { .. }) { 256 } else { 4 }
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let types: Vec<_> = io.inputs.iter().map(|a| TensorType::f32(a.shape.clone())).collect();
        let weights = weights(self.loss.pair, &types, 3);
        let elements = io.inputs[0].data.len();
        for e in 0..elements {
            let [w, p] = weights.map(|w| w.map_or(1.0, |(i, r)| io.inputs[i].data[r.at(e)]));
            let (x, t) = (io.inputs[0].data[e], io.inputs[1].data[e]);
            let slope = self.loss.pair.derivative(self.side, x, t, w, p);
            let grad = match self.loss.reduction {
                Reduction::None => io.inputs[2].data[e],
                Reduction::Sum => io.inputs[2].data[0],
                Reduction::Mean => io.inputs[2].data[0] / elements as f64,
            };
            io.outputs[0].data[e] = slope * grad;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let weights = weights(self.loss.pair, &io.types.inputs, 3);
        let (inputs, pair, side) = (io.inputs, self.loss.pair, self.side);
        let factor = self.loss.factor(inputs[0].len()) as f32 * inputs[2][0];
        let is_reduced = self.loss.reduction != Reduction::None;
        let output = io.outputs[0].par_iter_mut().enumerate().with_min_len(CPU_PART);
        output.for_each(|(e, y)| {
            let [w, p] = weights.map(|w| w.map_or(1.0, |(i, r)| inputs[i][r.at(e)]));
            let grad = if is_reduced { factor } else { inputs[2][e] };
            *y = grad * pair.derivative_f32(side, inputs[0][e], inputs[1][e], w, p);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let elements = types.inputs[0].elements();
        let is_reduced = self.loss.reduction != Reduction::None;
        let dispatches = adapter.chunks(elements).into_iter().map(|range| {
            let dispatch = Dispatch::new(crate::kernel::shader!("loss/pair_grad.wgsl"))
                .constant("REDUCED", is_reduced)
                .constant("OF_TARGET", self.side == Side::Target)
                .bind_range("grad", Operand::Output(0), range.clone())
                .threads(range.len());
            let dispatch = match is_reduced {
                true => dispatch.bind("grad_loss", Operand::Input(2)),
                false => dispatch.bind_range("grad_loss", Operand::Input(2), range.clone()),
            };
            let factor = self.loss.factor(elements) as f32;
            bind(dispatch, self.loss.pair, types, 3, &range, &[0; 3], factor)
        });
        Ok(vec![Variant::new("elements", dispatches.collect())])
    }
}
