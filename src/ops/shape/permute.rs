//! Axes in another order.

use super::strided::{Side, Strided, contiguous, copies, expect_ranks, gather, indexable};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::{Arrays, Backward, CpuTensors, Op, Types, expect_inputs};
use crate::tensor::{Shape, TensorType};

/// The output's axis k is the input's axis `axes[k]`; `[1, 0]` transposes a matrix. Of any element
/// type and up to six axes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permute {
    /// Each of the input's axes once.
    pub axes: Vec<usize>,
}

impl Permute {
    fn strided(&self, input: &[usize]) -> Strided<1> {
        let strides = contiguous(input);
        let pick = |of: &[usize]| self.axes.iter().map(|&a| of[a]).collect::<Vec<_>>();
        Strided::new(&pick(input), [&pick(&strides)], [0])
    }
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_ranks(self.name(), inputs)?;
        let rank = inputs[0].shape.rank();
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            let problem = format!("{:?} must name each of {rank} axes once", self.axes);
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        let dims: Vec<_> = self.axes.iter().map(|&a| inputs[0].dims()[a]).collect();
        Ok(vec![TensorType { shape: Shape::new(dims), dtype: inputs[0].dtype }])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let mut axes = vec![0; self.axes.len()];
        self.axes.iter().enumerate().for_each(|(k, &a)| axes[a] = k);
        g.emit_grad(0, Permute { axes }, &[g.grad_output(0)?])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (input, output) = (&io.inputs[0], &mut io.outputs[0]);
        for o in 0..output.data.len() {
            let mut indices = vec![0; self.axes.len()];
            let mut rest = o;
            for k in (0..self.axes.len()).rev() {
                indices[self.axes[k]] = rest % output.dims()[k];
                rest /= output.dims()[k];
            }
            let i = indices.iter().zip(input.dims()).fold(0, |i, (index, d)| i * d + index);
            output.data[o] = input.data[i];
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        gather(&self.strided(io.types.input(0)), io.inputs[0], io.outputs[0]);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let strided = self.strided(types.input(0));
        let operands = (Operand::Input(0), Operand::Output(0));
        let elements = types.inputs[0].elements();
        let dispatches = copies(&strided, Side::Source, operands, elements, adapter);
        Ok(vec![Variant::new("gather", dispatches)])
    }
}
