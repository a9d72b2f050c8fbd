//! The same elements in another shape.

use super::strided::{expect_ranks, expect_shape};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Variant};
use crate::ops::{Arrays, Backward, CpuTensors, Half, Op, Types, expect_inputs};
use crate::tensor::{Shape, TensorType};

/// The input's elements, in their order, in another shape. Of any element type; in place, so that it
/// costs nothing where nobody else reads the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reshape {
    /// The output's extents, whose product is the number of elements.
    pub shape: Shape,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_ranks(self.name(), inputs)?;
        expect_shape(self.name(), inputs, &self.shape)?;
        let (given, wanted) = (inputs[0].elements(), self.shape.elements());
        if given != wanted {
            let problem = format!("{given} elements do not fill {}", self.shape);
            return Err(Error::shape(self.name(), [&inputs[0].shape], problem));
        }
        Ok(vec![TensorType { shape: self.shape.clone(), dtype: inputs[0].dtype }])
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let shape = g.ty(g.input(0)).shape.clone();
        g.emit_grad(0, Reshape { shape }, &[g.grad_output(0)?])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        io.outputs[0].data.copy_from_slice(&io.inputs[0].data);
    }

    /// There is nothing to do: the output holds its input.
    fn cpu(&self, _: &mut CpuTensors<'_>) {}

    fn gpu(&self, _: &Types, _: &Adapter) -> Result<Vec<Variant>> {
        Ok(vec![Variant::new("in place", vec![])])
    }
}
