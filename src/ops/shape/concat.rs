//! Tensors one after another along an axis.

use super::Slice;
use super::strided::{Side, Strided, contiguous, copies, expect_ranks, indexable, scatter};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::{Arrays, Backward, CpuTensors, Op, Types};
use crate::tensor::{Shape, TensorType};

/// The inputs one after another along `axis`; their other extents and element types are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Concat {
    /// The axis along which the inputs may differ.
    pub axis: usize,
}

impl Concat {
    /// Where `input`, which starts at `first` along the axis, lies in the output.
    fn strided(&self, input: &[usize], output: &[usize], first: usize) -> Strided<1> {
        let strides = contiguous(output);
        Strided::new(input, [&strides], [first * strides[self.axis]])
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_ranks(self.name(), inputs)?;
        let wrong =
            |problem| Err(Error::shape(self.name(), inputs.iter().map(|t| &t.shape), problem));
        let Some(first) = inputs.first() else { return wrong("needs at least one input".into()) };
        if self.axis >= first.shape.rank() {
            return wrong(format!("there is no axis {}", self.axis));
        }
        let mut dims = first.dims().to_vec();
        dims[self.axis] = 0;
        for ty in inputs {
            let fits = ty.shape.rank() == dims.len()
                && ty.dtype == first.dtype
                && (0..dims.len()).all(|a| a == self.axis || ty.dims()[a] == dims[a]);
            if !fits {
                let problem = "inputs may differ in extent along one axis only";
                return wrong(format!("{problem}, axis {}", self.axis));
            }
            dims[self.axis] = dims[self.axis].saturating_add(ty.dims()[self.axis]);
        }
        let shape = Shape::new(dims);
        if shape.checked_elements().is_none() {
            return wrong(format!("the output {shape} is too large"));
        }
        Ok(vec![TensorType { shape, dtype: first.dtype }])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let grad = g.grad_output(0)?;
        let shape = g.ty(grad).shape.clone();
        let mut first = 0;
        for i in 0..g.inputs() {
            let end = first + g.ty(g.input(i)).dims()[self.axis];
            if g.wants(i) {
                g.emit_grad(i, Slice::along(self.axis, first, end, &shape), &[grad])?;
            }
            first = end;
        }
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let output = &mut io.outputs[0];
        let inner: usize = output.dims()[self.axis + 1..].iter().product();
        let row = output.dims()[self.axis] * inner;
        let mut first = 0;
        for input in io.inputs {
            let length = input.dims()[self.axis] * inner;
            for (i, &x) in input.data.iter().enumerate() {
                output.data[i / length * row + first + i % length] = x;
            }
            first += length;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let mut first = 0;
        for (input, ty) in io.inputs.iter().zip(&io.types.inputs) {
            let strided = self.strided(ty.dims(), io.types.output(0), first);
            scatter(&strided, input, io.outputs[0]);
            first += ty.dims()[self.axis];
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let (mut first, mut dispatches) = (0, vec![]);
        for (i, ty) in types.inputs.iter().enumerate() {
            let strided = self.strided(ty.dims(), types.output(0), first);
            let (operands, elements) =
                ((Operand::Input(i), Operand::Output(0)), types.outputs[0].elements());
            dispatches.extend(copies(&strided, Side::Target, operands, elements, adapter));
            first += ty.dims()[self.axis];
        }
        Ok(vec![Variant::new("scatter", dispatches)])
    }
}
