//! Local response normalisation: cuda-convnet's three.
//!
//! Across channels (its cross-map response normalisation), [`Lrn`]; within a channel (its same-map
//! response normalisation), [`LrnWithinChannel`]; and of contrast, which is [`LrnWithinChannel`] with the
//! squares of [`LocalCentre`].

mod backward;
mod calls;
mod cases;
mod centre;
mod window;
mod within;
mod within_cases;

pub use backward::LrnGrad;
pub use centre::{LocalCentre, LocalCentreGrad};
pub use within::{LrnWithinChannel, LrnWithinChannelGrad};

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Shader, Variant, scaled};
use crate::ops::registry::{Entry, Family};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs, nchw,
};
use crate::tensor::TensorType;

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: calls::CALLS };

const OPS: &[Entry] = &[
    Entry {
        name: "lrn",
        formula: "y[c] = x[c] * s[c]^-beta, s[c] = k + alpha * sum of x[j]^2, j near c",
        source: "Krizhevsky et al. 2012, section 3.3",
        cases: cases::forward_cases,
        random: cases::random_forward,
        errors: cases::forward_errors,
    },
    Entry {
        name: "lrn_grad",
        formula: "grad_x[c] = grad_y[c] s[c]^-beta - 2 alpha beta x[c] sum of grad_y[j] y[j] / s[j]",
        source: "derived by hand",
        cases: cases::grad_cases,
        random: cases::random_grad,
        errors: cases::grad_errors,
    },
    Entry {
        name: "lrn_within_channel",
        formula: "y = x * s^-beta, s = k + alpha * sum of d^2 around each position, d = x or given",
        source: "cuda-convnet, rnorm and cnorm; Caffe, WITHIN_CHANNEL",
        cases: within_cases::forward,
        random: within_cases::random_forward,
        errors: within_cases::forward_errors,
    },
    Entry {
        name: "lrn_within_channel_grad",
        formula: "grad_x = g s^-beta, grad_d = -2 alpha beta d * sum of g y / s; their sum where d = x",
        source: "derived by hand",
        cases: within_cases::grad,
        random: within_cases::random_grad,
        errors: within_cases::grad_errors,
    },
    Entry {
        name: "local_centre",
        formula: "y = x - mean of x around each position",
        source: "cuda-convnet, cnorm",
        cases: within_cases::centre,
        random: within_cases::random_centre,
        errors: within_cases::centre_errors,
    },
    Entry {
        name: "local_centre_grad",
        formula: "grad_x = g - sum over the windows that hold the position of g / size of the window",
        source: "derived by hand",
        cases: within_cases::centre_grad,
        random: within_cases::random_centre_grad,
        errors: within_cases::centre_grad_errors,
    },
];

/// What `alpha` multiplies. Programs differ, and with AlexNet's 1e-4 by a factor of five.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlphaConvention {
    /// The sum of the squares, as in the paper of AlexNet and in cuda-convnet's kernels.
    Sum,
    /// The sum of the squares divided by the elements of a whole window (`size`, or `size * size` within
    /// a channel), as in Caffe, PyTorch, ONNX and the `scale` of cuda-convnet's layer files. Windows cut
    /// at the edges are divided by the same number.
    #[default]
    Mean,
}

/// Divides each activation by a power of the squares around it:
/// `y[c] = x[c] / (k + alpha * sum of x[j]^2)^beta` over the channels `j` from `c - size / 2` to
/// `c + (size - 1) / 2`, at each position of each sample by itself.
///
/// Input: `[batch, channels, height, width]`. Outputs: `y`, and the base of the power `s = k + alpha
/// * sum`, which the backward pass reads and through which no gradient flows.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lrn {
    /// The number of channels in a window; at least 1. For an even number the window reaches one
    /// channel further down than up, as in PyTorch.
    pub size: usize,
    /// The factor of the squares; at least 0. In AlexNet 1e-4.
    pub alpha: f32,
    /// The exponent; at least 0. In AlexNet 0.75.
    pub beta: f32,
    /// What is added to the squares; more than 0. In AlexNet 2.
    pub k: f32,
    /// What `alpha` multiplies.
    pub convention: AlphaConvention,
}

impl Default for Lrn {
    /// 5 channels and PyTorch's defaults: `alpha = 1e-4` on the mean, `beta = 0.75`, `k = 1`.
    fn default() -> Self {
        Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0, convention: AlphaConvention::Mean }
    }
}

/// Channels that an invocation computes where neighbours share most of their windows.
const RUN: usize = 8;
/// The widest windows for which it does: what is shared has to fit the registers.
const MOST_KEPT: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    items: u32,
    alpha: f32,
    k: f32,
}

impl Lrn {
    /// The factor of the plain sum of squares.
    fn factor(&self) -> f64 {
        match self.convention {
            AlphaConvention::Sum => f64::from(self.alpha),
            AlphaConvention::Mean => f64::from(self.alpha) / self.size as f64,
        }
    }

    /// How many channels the window reaches down and up.
    fn reach(&self) -> [usize; 2] {
        [self.size / 2, (self.size - 1) / 2]
    }

    fn check(&self, op: &'static str, inputs: &[TensorType]) -> Result<()> {
        expect_f32(op, inputs)?;
        nchw(op, &inputs[0])?;
        if inputs.iter().any(|input| input != &inputs[0]) {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(op, shapes, "all inputs must have one shape"));
        }
        if self.size == 0 {
            return Err(Error::setting("lrn size", self.size, "give at least 1 channel"));
        }
        let settings = [("lrn alpha", self.alpha), ("lrn beta", self.beta)];
        for (name, value) in settings {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::setting(name, value, "give a finite number of at least 0"));
            }
        }
        if !(self.k.is_finite() && self.k > 0.0) {
            return Err(Error::setting("lrn k", self.k, "give a finite number of more than 0"));
        }
        Ok(())
    }

    /// Kernels with windows of this reach (the gradient's are turned around), in dispatches of as many
    /// samples as fit the bindings.
    fn variants(
        &self,
        op: &'static str,
        shader: Shader,
        operands: &[(&'static str, Operand)],
        reach: [usize; 2],
        types: &Types,
        adapter: &Adapter,
    ) -> Result<Vec<Variant>> {
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| types.input(0)[i]);
        let (plane, size) = (height * width, types.inputs[0].shape.per_sample());
        let [below, above] = reach.map(|reach| reach.min(channels - 1));
        let chunks = adapter.chunk_items(op, batch, &[size])?;
        let variant = |name, run: usize| {
            let dispatch = |chunk: &Range<usize>| {
                let items = chunk.len() * channels.div_ceil(run) * plane;
                let dispatch = Dispatch::new(shader)
                    .constant("BETA", self.beta)
                    .constant("CHANNELS", channels as u32)
                    .constant("PLANE", plane as u32)
                    .constant("BELOW", below as u32)
                    .constant("ABOVE", above as u32)
                    .constant("RUN", run as u32)
                    .params(&Params { items: items as u32, alpha: self.factor() as f32, k: self.k })
                    .threads(items);
                let bind = |dispatch: Dispatch, &(name, operand): &(_, _)| {
                    dispatch.bind_range(name, operand, scaled(chunk, size))
                };
                operands.iter().fold(dispatch, bind)
            };
            Variant::new(name, chunks.iter().map(dispatch).collect())
        };
        // A window of more terms than that is better read for each element than kept.
        let mut variants = vec![variant("gather", 1)];
        if below + above < MOST_KEPT && channels >= RUN {
            let at = if adapter.is_software() { 0 } else { 1 };
            variants.insert(at, variant("run", RUN));
        }
        Ok(variants)
    }
}

/// The channels from `below` under `channel` to `above` over it that exist.
fn near(channel: usize, [below, above]: [usize; 2], channels: usize) -> Range<usize> {
    channel.saturating_sub(below)..channel.saturating_add(above).saturating_add(1).min(channels)
}

/// `each(element, s^-beta)` for each element and the scale that belongs to it. The powers that are
/// roots have loops of their own, which the compiler vectorises.
fn with_power<T>(beta: f32, elements: impl Iterator<Item = (T, f32)>, each: impl Fn(T, f32)) {
    if beta == 0.75 {
        elements.for_each(|(element, s)| {
            let root = s.sqrt();
            each(element, 1.0 / (root * root.sqrt()));
        });
    } else if beta == 0.5 {
        elements.for_each(|(element, s)| each(element, 1.0 / s.sqrt()));
    } else if beta == 1.0 {
        elements.for_each(|(element, s)| each(element, 1.0 / s));
    } else {
        elements.for_each(|(element, s)| each(element, s.powf(-beta)));
    }
}

impl Op for Lrn {
    fn name(&self) -> &'static str {
        "lrn"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        self.check(self.name(), inputs)?;
        Ok(vec![inputs[0].clone(), inputs[0].clone()])
    }

    fn cost(&self, types: &Types) -> Cost {
        let window = self.size.min(types.input(0)[1]) as u64;
        Cost::with_flops(types, (2 * window + 4) * types.outputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        // WGSL allows the power to be some units in the last place off.
        self.size.min(types.input(0)[1]) + 64
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        if g.grad_output(1).is_ok() {
            return Err(Error::Usage("lrn passes no gradient through its scale".into()));
        }
        let inputs = [g.input(0), g.output(0), g.output(1), g.grad_output(0)?];
        g.emit_grad(0, LrnGrad(*self), &inputs)
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let input = &io.inputs[0];
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| input.dims()[i]);
        let plane = height * width;
        let alpha = match self.convention {
            AlphaConvention::Sum => f64::from(self.alpha),
            AlphaConvention::Mean => f64::from(self.alpha) / self.size as f64,
        };
        for n in 0..batch {
            for c in 0..channels {
                for i in 0..plane {
                    let mut squares = 0.0;
                    for j in 0..channels {
                        if j + self.size / 2 >= c && j <= c + (self.size - 1) / 2 {
                            squares += input.data[(n * channels + j) * plane + i].powi(2);
                        }
                    }
                    let at = (n * channels + c) * plane + i;
                    let scale = f64::from(self.k) + alpha * squares;
                    io.outputs[0].data[at] = input.data[at] * scale.powf(-f64::from(self.beta));
                    io.outputs[1].data[at] = scale;
                }
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let [_, channels, height, width] = [0, 1, 2, 3].map(|i| io.types.input(0)[i]);
        let (plane, input, alpha) = (height * width, io.inputs[0], self.factor() as f32);
        let [output, scale] = &mut *io.outputs else { return };
        output
            .par_chunks_mut(plane)
            .zip(scale.par_chunks_mut(plane))
            .enumerate()
            .with_min_len((8 * 1024usize).div_ceil(plane))
            .for_each(|(index, (output, scale))| {
                let (sample, channel) = (index / channels, index % channels);
                let plane_of = |c| &input[(sample * channels + c) * plane..][..plane];
                scale.fill(self.k);
                for c in near(channel, self.reach(), channels) {
                    scale.iter_mut().zip(plane_of(c)).for_each(|(s, x)| *s += alpha * (x * x));
                }
                let elements = output.iter_mut().zip(plane_of(channel)).zip(scale.iter().copied());
                with_power(self.beta, elements, |(y, x), power| *y = x * power);
            });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let operands = [
            ("input", Operand::Input(0)),
            ("output", Operand::Output(0)),
            ("scale", Operand::Output(1)),
        ];
        let shader = crate::kernel::shader!("lrn/lrn.wgsl");
        self.variants(self.name(), shader, &operands, self.reach(), types, adapter)
    }
}
