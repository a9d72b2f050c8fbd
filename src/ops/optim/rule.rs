//! What all optimizers have in common: a rule for one element, made an op over whole tensors.

use std::fmt;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Constant, Dispatch, Operand, Shader, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// The single values that a rule reads in a step: the learning rate times the rule's scale, then those of
/// [`Rule::NUMBERS`]; 0 for one that is not read.
pub type Numbers<T> = [T; 3];

/// An element of a weight, of the states in the order of [`Rule::STATES`], and of the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// The weight.
    pub weight: f64,
    /// The states; 0 where one is not kept.
    pub states: [f64; 3],
    /// The gradient.
    pub grad: f64,
}

/// The same part of the tensors that [`Element`] speaks of.
#[derive(Debug)]
pub struct Part<'a> {
    /// The weight.
    pub weight: &'a mut [f32],
    /// The states; empty where one is not kept.
    pub states: [&'a mut [f32]; 3],
    /// The gradient.
    pub grad: &'a [f32],
}

/// The kernel of a rule. It binds `weight`, the states, `grad`, `learning_rate` and the numbers by
/// name, vectors of four elements, and its `params` begin with their count.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The shader.
    pub shader: Shader,
    /// Its constants.
    pub constants: Vec<(&'static str, Constant)>,
    /// What follows the count of vectors in `params`.
    pub params: Vec<f32>,
}

/// A rule by which an optimizer updates one element of a weight from its gradient.
///
/// Its settings are in f64: `1 - beta` is then as exact as the rule's paper means it.
pub trait Rule: Clone + fmt::Debug + Send + Sync + 'static {
    /// The name of the op.
    const NAME: &'static str;
    /// The states that it may keep, three at most, all of the weight's shape.
    const STATES: &'static [&'static str];
    /// The values of shape `[1]` that it may read beside the learning rate, two at most: `step`
    /// (counted from 1), or `weight_square` and `grad_square`, the sums of squares.
    const NUMBERS: &'static [&'static str] = &[];

    /// Whether these settings need the state of this index. Those that are needed come first.
    fn keeps(&self, state: usize) -> bool {
        let _ = state;
        true
    }

    /// Whether these settings need the number of this index.
    fn reads(&self, number: usize) -> bool {
        let _ = number;
        true
    }

    /// Errors where a setting is out of range.
    fn check(&self) -> Result<()>;

    /// The factor of this parameter's learning rate.
    fn learning_rate_scale(&self) -> f64;

    /// The weight decay.
    fn weight_decay(&self) -> f64;

    /// The same rule for a parameter with this weight decay and factor of the learning rate.
    fn tuned(self, weight_decay: f64, learning_rate_scale: f64) -> Self;

    /// The oracle: updates one element.
    fn reference(&self, numbers: Numbers<f64>, element: &mut Element);

    /// Updates a part of the tensors.
    fn cpu(&self, numbers: Numbers<f32>, part: Part<'_>);

    /// The kernel.
    fn kernel(&self) -> Kernel;
}

/// Errors unless each of these settings is finite and at least 0, and below 1 where `is_share`.
pub(super) fn check_settings(settings: &[(&'static str, f64)], is_share: bool) -> Result<()> {
    let is_good = |x: f64| x.is_finite() && x >= 0.0 && (x < 1.0 || !is_share);
    match settings.iter().find(|(_, value)| !is_good(*value)) {
        None => Ok(()),
        Some(&(name, value)) if is_share => {
            Err(Error::setting(name, value, "give a number of at least 0 and less than 1"))
        }
        Some(&(name, value)) => {
            Err(Error::setting(name, value, "give a finite number of at least 0"))
        }
    }
}

/// One step of a rule over a weight and its states, in place.
///
/// Inputs: `weight`, the states that the rule keeps, and `grad`, all of one shape; `learning_rate`
/// `[1]`, and the numbers that the rule reads, each `[1]`. Where the learning rate is negative nothing
/// changes: that is how a step is skipped. Outputs: the new weight and the new
/// states.
#[derive(Clone, Copy, PartialEq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Update<R>(pub R);

impl<R: Rule> Update<R> {
    /// The indices in [`Rule::STATES`] of the states that are kept.
    fn kept(&self) -> impl Iterator<Item = usize> {
        (0..R::STATES.len()).filter(|&i| self.0.keeps(i))
    }

    /// The indices in [`Rule::NUMBERS`] of the numbers that are read.
    fn read(&self) -> impl Iterator<Item = usize> {
        (0..R::NUMBERS.len()).filter(|&i| self.0.reads(i))
    }

    /// The names of the states that are kept, in the order of inputs and outputs.
    pub fn states(&self) -> impl Iterator<Item = &'static str> {
        self.kept().map(|i| R::STATES[i])
    }

    /// The names of the numbers that are read beside the learning rate, in the order of inputs.
    pub fn numbers(&self) -> impl Iterator<Item = &'static str> {
        self.read().map(|i| R::NUMBERS[i])
    }

    /// The index of the gradient among the inputs; the learning rate follows.
    fn grad(&self) -> usize {
        1 + self.kept().count()
    }

    /// The numbers, with `scalar` to read input `i`.
    fn collect<T: Copy + Default + std::ops::Mul<Output = T>>(
        &self,
        scale: T,
        scalar: impl Fn(usize) -> T,
    ) -> Numbers<T> {
        let first = self.grad() + 1;
        let mut numbers = [scalar(first) * scale, T::default(), T::default()];
        for (input, i) in self.read().enumerate() {
            numbers[1 + i] = scalar(first + 1 + input);
        }
        numbers
    }
}

impl<R: Rule> Op for Update<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let grad = self.grad();
        let count = grad + 2 + self.read().count();
        expect_inputs(self.name(), inputs, count..=count)?;
        expect_f32(self.name(), inputs)?;
        let is_equal = inputs[1..=grad].iter().all(|ty| *ty == inputs[0]);
        if !is_equal || inputs[grad + 1..].iter().any(|ty| ty.dims() != [1]) {
            let shapes = inputs.iter().map(|t| &t.shape);
            let states: String = self.states().map(|s| format!("{s}, ")).collect();
            let numbers: String = self.numbers().map(|n| format!(", {n} [1]")).collect();
            let problem =
                format!("weight, {states}grad must have one shape, learning_rate [1]{numbers}");
            return Err(Error::shape(self.name(), shapes, problem));
        }
        let settings = [
            ("weight_decay", self.0.weight_decay()),
            ("learning_rate_scale", self.0.learning_rate_scale()),
        ];
        check_settings(&settings, false)?;
        self.0.check()?;
        Ok(inputs[..grad].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        let per_element = 3 + 3 * types.outputs.len() as u64;
        Cost::with_flops(types, per_element * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        // Roots, quotients and powers are off by some units in the last place in WGSL.
        if R::STATES.len() > 1 || R::NUMBERS.len() > 1 { 256 } else { 4 }
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        const PAIRS: [(usize, usize); 4] = [(0, 0), (1, 1), (2, 2), (3, 3)];
        &PAIRS[..self.grad()]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let grad = self.grad();
        let scale = self.0.learning_rate_scale();
        let numbers = self.collect(scale, |i| io.inputs[i].data[0]);
        if io.inputs[grad + 1].data[0] < 0.0 {
            let kept = io.outputs.iter_mut().zip(io.inputs);
            return kept.for_each(|(output, input)| output.data.clone_from(&input.data));
        }
        for e in 0..io.inputs[0].data.len() {
            let mut states = [0.0; 3];
            for (place, i) in self.kept().enumerate() {
                states[i] = io.inputs[1 + place].data[e];
            }
            let weight = io.inputs[0].data[e];
            let mut element = Element { weight, states, grad: io.inputs[grad].data[e] };
            self.0.reference(numbers, &mut element);
            io.outputs[0].data[e] = element.weight;
            for (place, i) in self.kept().enumerate() {
                io.outputs[1 + place].data[e] = element.states[i];
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        if io.inputs[self.grad() + 1][0] < 0.0 {
            return;
        }
        let scale = self.0.learning_rate_scale() as f32;
        let numbers = self.collect(scale, |i| io.inputs[i][0]);
        let Some((weight, kept)) = io.outputs.split_first_mut() else { return };
        let mut states: [&mut [f32]; 3] = Default::default();
        for (state, i) in kept.iter_mut().zip(self.kept()) {
            states[i] = state;
        }
        let part = Part { weight, states, grad: io.inputs[self.grad()] };
        in_parts(part, &|part| self.0.cpu(numbers, part));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let Kernel { shader, constants, params } = self.0.kernel();
        let grad = self.grad();
        let absent = (0..R::STATES.len()).filter(|&i| !self.0.keeps(i));
        let dispatches = adapter.pieces(types.outputs[0].elements()).into_iter().map(|range| {
            let vectors = range.len().div_ceil(4);
            let mut dispatch = Dispatch::new(shader)
                .bind_range("weight", Operand::Output(0), range.clone())
                .bind_range("grad", Operand::Input(grad), range.clone())
                .bind("learning_rate", Operand::Input(grad + 1))
                .threads(vectors)
                .reads_ahead();
            for (place, name) in self.states().enumerate() {
                dispatch = dispatch.bind_range(name, Operand::Output(1 + place), range.clone());
            }
            for (place, name) in self.numbers().enumerate() {
                dispatch = dispatch.bind(name, Operand::Input(grad + 2 + place));
            }
            // Something must be bound to what is not kept or read; the kernel does not touch it.
            for (place, i) in absent.clone().enumerate() {
                dispatch = dispatch.bind(R::STATES[i], Operand::Workspace(place));
            }
            for i in (0..R::NUMBERS.len()).filter(|&i| !self.0.reads(i)) {
                dispatch = dispatch.bind(R::NUMBERS[i], Operand::Input(grad + 1));
            }
            dispatch.constants = constants.clone();
            dispatch.params = bytemuck::bytes_of(&(vectors as u32)).to_vec();
            dispatch.params.extend_from_slice(bytemuck::cast_slice(&params));
            dispatch
        });
        let dispatches = dispatches.collect();
        let workspace = absent.clone().map(|_| TensorType::f32([4])).collect();
        Ok(vec![Variant { name: "vec4", dispatches, workspace }])
    }
}

/// Calls `f` on parts that are worth a job, on all cores.
fn in_parts(part: Part<'_>, f: &(impl Fn(Part<'_>) + Sync)) {
    const SMALLEST: usize = 16 * 1024;
    let length = part.weight.len();
    if length <= SMALLEST {
        return f(part);
    }
    let half = (length / 2).next_multiple_of(64);
    let (weight, weights) = part.weight.split_at_mut(half);
    let (grad, grads) = part.grad.split_at(half);
    let mut rest: [&mut [f32]; 3] = Default::default();
    let mut later = rest.iter_mut();
    let states = part.states.map(|state| {
        let (first, second) = state.split_at_mut(half.min(state.len()));
        if let Some(place) = later.next() {
            *place = second;
        }
        first
    });
    rayon::join(
        || in_parts(Part { weight, states, grad }, f),
        || in_parts(Part { weight: weights, states: rest, grad: grads }, f),
    );
}
