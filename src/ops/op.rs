//! The [`Op`] trait: what an operation means, what it costs, how it is differentiated and run.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::tensor::{DType, Shape, TensorType};
use crate::tolerance::Tolerance;

/// An operation. One implementation per folder in `src/ops`; adding one is described in
/// `docs/adding-an-op.md`.
///
/// An op is a pure function from inputs to outputs, all of known type. It keeps no state: what
/// changes from step to step comes in as an input.
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// The name in messages, tables and the registry.
    fn name(&self) -> &'static str;

    /// The types of the outputs, or what is wrong with the inputs.
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>>;

    /// The arithmetic and memory traffic of one run.
    fn cost(&self, types: &Types) -> Cost {
        Cost::traffic(types)
    }

    /// The number of terms in the longest sum behind one output element, by which the
    /// [`Tolerance`] of its tests grows. Ops built on `exp` or `pow`,
    /// which WGSL allows to be some units in the last place off, answer more than they add up.
    fn reduction(&self, types: &Types) -> usize {
        let _ = types;
        1
    }

    /// How far results may be from the oracle's: those of the GPU's variant of this name, or of the
    /// CPU. Only variants that round otherwise than a sum of [`Op::reduction`] terms have their own.
    fn tolerance(&self, types: &Types, variant: Option<&str>) -> Tolerance {
        let _ = variant;
        Tolerance::single(self.reduction(types))
    }

    /// Emits the ops that compute the gradients of the wanted inputs.
    ///
    /// Errors where the op has no gradient.
    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let _ = g;
        Err(Error::Usage(format!("{} has no gradient; stop it, or use another op", self.name())))
    }

    /// Which operands may be in half precision, so that a [halved](crate::graph::halve) graph has them so.
    fn half(&self) -> Half {
        Half::NONE
    }

    /// Pairs (input, output) for which the output is written over the input's memory. Both have the
    /// same element type and as many elements. The planner copies where the input is still needed. The oracle is unaffected.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &[]
    }

    /// The op that computes `next` of this op's only output in one pass, where there is one: to the
    /// same bits as the two. `next` reads nothing else.
    fn followed_by(&self, next: &dyn Op) -> Option<Arc<dyn Op>> {
        let _ = next;
        None
    }

    /// The oracle: naive, readable loops in f64. Outputs are zero on entry.
    fn reference(&self, io: &mut Arrays<'_>);

    /// The number of f32 elements that [`Op::cpu`] wants as scratch.
    fn cpu_scratch(&self, types: &Types) -> usize {
        let _ = types;
        0
    }

    /// The CPU engine's implementation: fast, without allocation. Outputs are undefined on entry,
    /// but for in-place ones, which hold their input.
    fn cpu(&self, io: &mut CpuTensors<'_>);

    /// The GPU implementations that `adapter` can run, best guess first, never empty.
    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>>;
}

impl dyn Op {
    /// The op itself, where it is a `T`.
    pub fn downcast_ref<T: Op>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }

    /// What [`Op::gpu`] offers that can take these types. It is asked in single precision, for which all
    /// kernels are written; texels are of no other.
    ///
    /// Errors where `adapter` has no half precision and a type needs it, or as the op does.
    pub fn variants(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let all = || types.inputs.iter().chain(&types.outputs);
        let mut variants = self.gpu(&types.in_single(), adapter)?;
        variants.retain(|variant| {
            let mut halves = variant.dispatches.iter().flat_map(Dispatch::halves);
            halves.all(|binding| types.dtype(binding.operand) == Some(DType::F16))
        });
        if all().any(|ty| ty.dtype == DType::F16) {
            if !adapter.f16 {
                let problem = format!("{} has no half precision; compute in f32", adapter.name);
                return Err(Error::shape(self.name(), all().map(|ty| &ty.shape), problem));
            }
            variants.retain(|variant| {
                let mut texels = variant.dispatches.iter().flat_map(Dispatch::texels);
                texels.all(|(binding, _)| types.dtype(binding.operand) != Some(DType::F16))
            });
        }
        Ok(variants)
    }
}

/// Which operands of an op may be in half precision. All kernels compute in single precision all the same:
/// they convert what they load and store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Half {
    inputs: u32,
    outputs: u32,
    is_wanted: bool,
}

impl Half {
    /// None.
    pub const NONE: Half = Half { inputs: 0, outputs: 0, is_wanted: false };

    /// These inputs and outputs, for an op that moves or multiplies so much that inputs in single precision
    /// are converted for it.
    pub const fn wanted(inputs: &[u32], outputs: &[u32]) -> Self {
        Half { is_wanted: true, ..Half::taken(inputs, outputs) }
    }

    /// These inputs and outputs, where all of these inputs come in half precision.
    pub const fn taken(inputs: &[u32], outputs: &[u32]) -> Self {
        Half { inputs: mask(inputs), outputs: mask(outputs), is_wanted: false }
    }

    /// Whether inputs are worth converting for this op.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Whether this input may be in half precision.
    pub fn takes(&self, input: usize) -> bool {
        input < 32 && self.inputs >> input & 1 == 1
    }

    /// Whether this output is, where the inputs are.
    fn gives(&self, output: usize) -> bool {
        output < 32 && self.outputs >> output & 1 == 1
    }
}

const fn mask(indices: &[u32]) -> u32 {
    let (mut mask, mut i) = (0, 0);
    while i < indices.len() {
        mask |= 1 << indices[i];
        i += 1;
    }
    mask
}

/// The types of an op's inputs and outputs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Types {
    /// Of the inputs, in order.
    pub inputs: Vec<TensorType>,
    /// Of the outputs, in order.
    pub outputs: Vec<TensorType>,
}

impl Types {
    /// The types of `op` on these inputs. Where all inputs that [may be](Op::half) are in half precision, so
    /// are the outputs that may be.
    ///
    /// Errors as [`Op::infer`], and where an input is in half precision that may not be.
    pub fn infer(op: &dyn Op, inputs: Vec<TensorType>) -> Result<Self> {
        let half = op.half();
        let mut singles = inputs.clone();
        for (i, ty) in singles.iter_mut().enumerate().filter(|(_, ty)| ty.dtype == DType::F16) {
            if !half.takes(i) {
                let problem = format!("input {i} cannot be in half precision");
                return Err(Error::shape(op.name(), inputs.iter().map(|t| &t.shape), problem));
            }
            ty.dtype = DType::F32;
        }
        let mut outputs = op.infer(&singles)?;
        let halves = inputs.iter().enumerate().filter(|(i, _)| half.takes(*i));
        let mut halves = halves.filter(|(_, ty)| ty.dtype != DType::U32).peekable();
        if halves.peek().is_some() && halves.all(|(_, ty)| ty.dtype == DType::F16) {
            let given = outputs.iter_mut().enumerate().filter(|(o, _)| half.gives(*o));
            let given = given.filter(|(_, ty)| ty.dtype == DType::F32);
            given.for_each(|(_, ty)| ty.dtype = DType::F16);
        }
        Ok(Types { inputs, outputs })
    }

    /// These types in single precision, which is all that an op knows.
    fn in_single(&self) -> Self {
        let single = |ty: &TensorType| ty.with_dtype(ty.dtype.on_host());
        Types {
            inputs: self.inputs.iter().map(single).collect(),
            outputs: self.outputs.iter().map(single).collect(),
        }
    }

    /// The element type of what is bound to a kernel; `None` for its workspace.
    pub fn dtype(&self, operand: Operand) -> Option<DType> {
        match operand {
            Operand::Input(i) => self.inputs.get(i).map(|ty| ty.dtype),
            Operand::Output(i) => self.outputs.get(i).map(|ty| ty.dtype),
            Operand::Workspace(_) => None,
        }
    }

    /// The extents of input `i`.
    pub fn input(&self, i: usize) -> &[usize] {
        self.inputs[i].dims()
    }

    /// The extents of output `i`.
    pub fn output(&self, i: usize) -> &[usize] {
        self.outputs[i].dims()
    }
}

/// The work of one run of an op.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts two.
    pub flops: u64,
    /// Bytes read, each input once.
    pub bytes_read: u64,
    /// Bytes written, each output once.
    pub bytes_written: u64,
}

impl Cost {
    /// One pass over inputs and outputs and no arithmetic to speak of.
    pub fn traffic(types: &Types) -> Self {
        Cost {
            flops: 0,
            bytes_read: types.inputs.iter().map(TensorType::bytes).sum(),
            bytes_written: types.outputs.iter().map(TensorType::bytes).sum(),
        }
    }

    /// [`Cost::traffic`] with this many floating-point operations.
    pub fn with_flops(types: &Types, flops: u64) -> Self {
        Cost { flops, ..Cost::traffic(types) }
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            flops: self.flops + other.flops,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
        }
    }
}

/// A value of a graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Value(pub(crate) usize);

/// Where ops are put: the graph under construction.
pub trait Emit {
    /// Adds `op` on `inputs` and returns its outputs.
    fn emit(&mut self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>>;

    /// The type of a value.
    fn value_type(&self, value: Value) -> &TensorType;
}

/// What [`Op::backward`] works with: the op's values, the gradients that arrive at its outputs,
/// and a place for those of its inputs.
pub struct Backward<'a> {
    pub(crate) graph: &'a mut dyn Emit,
    pub(crate) inputs: &'a [Value],
    pub(crate) outputs: &'a [Value],
    pub(crate) grad_outputs: &'a [Option<Value>],
    pub(crate) wanted: &'a [bool],
    pub(crate) grad_inputs: Vec<Option<Value>>,
    pub(crate) constants: Vec<usize>,
}

impl Backward<'_> {
    /// The forward op's input `i`.
    pub fn input(&self, i: usize) -> Value {
        self.inputs[i]
    }

    /// The number of the forward op's inputs.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// The forward op's output `i`.
    pub fn output(&self, i: usize) -> Value {
        self.outputs[i]
    }

    /// The gradient of the loss with respect to output `i`. An error where none arrives: the op
    /// was reached through another of its outputs.
    pub fn grad_output(&self, i: usize) -> Result<Value> {
        self.grad_outputs[i]
            .ok_or_else(|| Error::Usage(format!("no gradient arrives at output {i}")))
    }

    /// Whether the gradient with respect to input `i` is needed.
    pub fn wants(&self, i: usize) -> bool {
        self.wanted[i]
    }

    /// Declares input `i` to be a constant of the op, such as the weights of classes: no gradient
    /// flows to it, and none is missed.
    pub fn set_constant(&mut self, i: usize) {
        self.constants.push(i);
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        self.graph.value_type(value)
    }

    /// Adds an op to the graph and returns its outputs.
    pub fn emit(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Result<Vec<Value>> {
        self.graph.emit(Arc::new(op), inputs)
    }

    /// Adds an op with one output and declares that to be the gradient of input `i`.
    pub fn emit_grad(&mut self, i: usize, op: impl Op + 'static, inputs: &[Value]) -> Result<()> {
        let outputs = self.graph.emit(Arc::new(op), inputs)?;
        self.set_grad(i, outputs[0]);
        Ok(())
    }

    /// Declares `value` to be the gradient of input `i`.
    pub fn set_grad(&mut self, i: usize, value: Value) {
        self.grad_inputs[i] = Some(value);
    }
}

/// A tensor of the oracle: everything in f64, unsigned values included.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    /// The extents.
    pub shape: Shape,
    /// The elements, row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// An array of zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let data = vec![0.0; shape.elements()];
        Array { shape, data }
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }
}

/// The tensors of one run of the oracle.
pub struct Arrays<'a> {
    /// The inputs.
    pub inputs: &'a [Array],
    /// The outputs, zero on entry.
    pub outputs: &'a mut [Array],
}

/// The tensors of one run on the CPU engine. `u32` tensors are bit patterns: see [`as_u32`].
pub struct CpuTensors<'a> {
    /// The types.
    pub types: &'a Types,
    /// The inputs; empty for one that is overwritten in place.
    pub inputs: &'a [&'a [f32]],
    /// The outputs; an in-place one holds its input.
    pub outputs: &'a mut [&'a mut [f32]],
    /// Scratch of the size that [`Op::cpu_scratch`] asked for, undefined on entry.
    pub scratch: &'a mut [f32],
}

/// The unsigned words of a `u32` tensor on the CPU engine.
pub fn as_u32(words: &[f32]) -> &[u32] {
    bytemuck::cast_slice(words)
}

/// The unsigned words of a `u32` tensor on the CPU engine, to write.
pub fn as_u32_mut(words: &mut [f32]) -> &mut [u32] {
    bytemuck::cast_slice_mut(words)
}

/// The four extents of a `[batch, channels, height, width]` type, or an error that says what came.
pub fn nchw(op: &'static str, ty: &TensorType) -> Result<[usize; 4]> {
    ty.dims().try_into().map_err(|_| {
        Error::shape(op, [&ty.shape], "needs a [batch, channels, height, width] tensor")
    })
}

/// Errors unless there are exactly the numbers of inputs that the op takes.
pub fn expect_inputs(
    op: &'static str,
    inputs: &[TensorType],
    counts: std::ops::RangeInclusive<usize>,
) -> Result<()> {
    if counts.contains(&inputs.len()) {
        return Ok(());
    }
    let wanted = if counts.start() == counts.end() {
        counts.start().to_string()
    } else {
        format!("{} to {}", counts.start(), counts.end())
    };
    Err(Error::shape(
        op,
        inputs.iter().map(|t| &t.shape),
        format!("takes {wanted} inputs, {} were given", inputs.len()),
    ))
}

/// Errors unless every input has this element type and at least one element.
pub fn expect_f32(op: &'static str, inputs: &[TensorType]) -> Result<()> {
    let shapes = || inputs.iter().map(|t| &t.shape);
    for (i, ty) in inputs.iter().enumerate() {
        if ty.dtype != DType::F32 {
            return Err(Error::shape(op, shapes(), format!("input {i} must be f32, is {ty}")));
        }
        if ty.shape.checked_elements().is_none_or(|n| n == 0) {
            return Err(Error::shape(op, shapes(), format!("input {i} is empty or too large")));
        }
    }
    Ok(())
}

impl From<&crate::tensor::Tensor> for Array {
    fn from(tensor: &crate::tensor::Tensor) -> Self {
        use crate::tensor::Data;
        let data = match tensor.data() {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::U32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        };
        Array { shape: tensor.shape().clone(), data }
    }
}
