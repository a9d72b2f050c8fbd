//! Dense layers.

use crate::error::Result;
use crate::nn::{Builder, Init, Layer, Role};
use crate::ops::{self, Value};

/// A dense layer, `y = W x + b` for each sample; inputs of higher rank are flattened.
///
/// Parameters: `weight` `[outputs, inputs]`, Kaiming-normal at first, and `bias` `[outputs]`, zero at
/// first.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    outputs: usize,
    weight: Init,
    bias: Option<Init>,
}

impl Linear {
    /// `outputs` units.
    pub fn new(outputs: usize) -> Self {
        Linear { outputs, weight: Init::Kaiming, bias: Some(Init::Zeros) }
    }

    /// The initial weights.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight = init;
        self
    }

    /// The initial biases.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias = Some(init);
        self
    }

    /// Without biases.
    pub fn no_bias(mut self) -> Self {
        self.bias = None;
        self
    }
}

impl Layer for Linear {
    fn kind(&self) -> &'static str {
        "fc"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        if self.outputs == 0 {
            return Err(builder.fault("outputs", 0, "a dense layer needs at least one unit"));
        }
        let shape = [self.outputs, builder.ty(input).shape.per_sample()];
        let mut inputs =
            vec![input, builder.parameter("weight", Role::Weight, shape, self.weight)?];
        if let Some(init) = self.bias {
            inputs.push(builder.parameter("bias", Role::Bias, [self.outputs], init)?);
        }
        builder.add(ops::gemm::Linear, &inputs)
    }
}
