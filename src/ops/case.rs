//! Samples of an op's use: every parity, gradient, error, fuzz and bench run is made of them.

use std::sync::Arc;

use super::{Array, Arrays, Op, Types};
use crate::philox::Stream;
use crate::tensor::{Data, Shape, Tensor, TensorType};
use crate::tolerance::Tolerance;

/// An op with inputs that it accepts.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it, such as `groups, stride 2`.
    pub label: String,
    /// The operation.
    pub op: Arc<dyn Op>,
    /// Its inputs.
    pub inputs: Vec<Tensor>,
    /// Which inputs the gradient check varies. Empty where the op has no gradient.
    pub differentiable: Vec<usize>,
}

impl Case {
    /// A case whose gradients are not checked.
    pub fn new(label: impl Into<String>, op: impl Op + 'static, inputs: Vec<Tensor>) -> Self {
        Case { label: label.into(), op: Arc::new(op), inputs, differentiable: vec![] }
    }

    /// Checks the gradients with respect to these inputs.
    pub fn differentiable(mut self, inputs: impl Into<Vec<usize>>) -> Self {
        self.differentiable = inputs.into();
        self
    }

    /// The types of the inputs.
    pub fn input_types(&self) -> Vec<TensorType> {
        self.inputs.iter().map(Tensor::ty).collect()
    }
}

/// An op with inputs that it must refuse.
#[derive(Clone, Debug)]
pub struct ErrorCase {
    /// The operation.
    pub op: Arc<dyn Op>,
    /// The types it is given.
    pub inputs: Vec<TensorType>,
    /// A part of the message that names the trouble.
    pub says: &'static str,
}

impl ErrorCase {
    /// `op` must refuse `inputs` with a message that contains `says`.
    pub fn new(op: impl Op + 'static, inputs: Vec<TensorType>, says: &'static str) -> Self {
        ErrorCase { op: Arc::new(op), inputs, says }
    }
}

/// Draws the tensors of cases: the same from the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Draw(Stream);

impl Draw {
    /// The draws of `seed`.
    pub fn new(seed: u64) -> Self {
        Draw(Stream::new(seed, [0x6361_7365, 0, 0]))
    }

    /// An integer from `low` to `high`, both included.
    pub fn size(&mut self, low: usize, high: usize) -> usize {
        low + self.0.below((high - low + 1) as u32) as usize
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.below(choices.len() as u32) as usize]
    }

    /// True or false.
    pub fn flip(&mut self) -> bool {
        self.0.below(2) == 1
    }

    /// A shape of `rank` extents from 1 to `high`.
    pub fn shape(&mut self, rank: usize, high: usize) -> Shape {
        (0..rank).map(|_| self.size(1, high)).collect::<Vec<_>>().into()
    }

    /// Standard normal values, with one in 64 ten times as large: activations have outliers.
    pub fn normal(&mut self, shape: impl Into<Shape>) -> Tensor {
        self.filled(shape.into(), |stream| {
            let [value, _] = crate::philox::normal_pair(stream.word(), stream.word());
            if stream.below(64) == 0 { 10.0 * value } else { value }
        })
    }

    /// Values uniform in `low..high`.
    pub fn uniform(&mut self, shape: impl Into<Shape>, low: f32, high: f32) -> Tensor {
        self.filled(shape.into(), |stream| low + (high - low) * stream.uniform())
    }

    /// Class labels, uniform in `0..classes`.
    pub fn labels(&mut self, count: usize, classes: usize) -> Tensor {
        let labels = (0..count).map(|_| self.0.below(classes as u32)).collect();
        Tensor::u32([count], labels).unwrap_or_else(|_| Tensor::scalar(0.0))
    }

    fn filled(&mut self, shape: Shape, mut value: impl FnMut(&mut Stream) -> f32) -> Tensor {
        let data = (0..shape.elements()).map(|_| value(&mut self.0)).collect();
        Tensor::f32(shape, data).unwrap_or_else(|_| Tensor::scalar(0.0))
    }
}

/// Whether an output is what was expected: unsigned elements exactly, others within `tolerance`.
///
/// Errors where it is not, with the worst element.
pub fn agrees(output: &Tensor, expected: &[f64], tolerance: Tolerance) -> Result<(), String> {
    match output.data() {
        Data::F32(v) => tolerance.check(v.iter().map(|&x| f64::from(x)), expected),
        Data::U32(v) if v.len() != expected.len() => {
            Err(format!("{} elements, expected {}", v.len(), expected.len()))
        }
        Data::U32(v) => {
            let wrong = v.iter().zip(expected).position(|(&x, &r)| f64::from(x) != r);
            wrong.map_or(Ok(()), |at| {
                Err(format!("element {at} is {}, expected {}", v[at], expected[at]))
            })
        }
    }
}

/// The outputs of an op's oracle, in f64.
///
/// Errors where the op refuses the inputs.
pub fn oracle(op: &dyn Op, inputs: &[Tensor]) -> crate::error::Result<Vec<Array>> {
    let types = Types::infer(op, inputs.iter().map(Tensor::ty).collect())?;
    let inputs: Vec<Array> = inputs.iter().map(Array::from).collect();
    let mut outputs: Vec<Array> =
        types.outputs.iter().map(|t| Array::zeros(t.shape.clone())).collect();
    op.reference(&mut Arrays { inputs: &inputs, outputs: &mut outputs });
    Ok(outputs)
}

/// The oracle's outputs as host tensors, for cases of gradient ops that read what the forward op
/// wrote. Empty where the op refuses the inputs.
pub fn forward(op: &dyn Op, inputs: &[Tensor]) -> Vec<Tensor> {
    use crate::tensor::DType;
    let Ok(types) = Types::infer(op, inputs.iter().map(Tensor::ty).collect()) else {
        return vec![];
    };
    let outputs = oracle(op, inputs).unwrap_or_default();
    let tensors = outputs.into_iter().zip(types.outputs).filter_map(|(array, ty)| match ty.dtype {
        DType::F32 | DType::F16 => {
            Tensor::f32(ty.shape, array.data.iter().map(|&x| x as f32).collect()).ok()
        }
        DType::U32 => Tensor::u32(ty.shape, array.data.iter().map(|&x| x as u32).collect()).ok(),
    });
    tensors.collect()
}
