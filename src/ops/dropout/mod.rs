//! Dropout with a counter-based generator: no state, and the same elements on every device.

mod cases;
mod planes;

pub use planes::Dropout2d;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::call::Call;
use crate::ops::registry::{Entry, Family};
use crate::ops::{
    Arrays, Backward, Cost, CpuTensors, Half, Op, Types, as_u32, expect_f32, expect_inputs,
};
use crate::philox::{BLOCKS, philox4x32, philox4x32_blocks, uniform};
use crate::tensor::TensorType;

/// The ops of this folder.
pub const FAMILY: Family = Family { ops: OPS, calls: CALLS };

const CALLS: &[Call] = &[
    Call::op::<Dropout>("dropout", &["input", "counter"], &["output"]),
    Call::op::<Dropout2d>("dropout2d", &["input", "counter"], &["output"]),
];

const OPS: &[Entry] = &[
    Entry {
        name: "dropout",
        formula: "y = keep ? x / (1 - p) : 0, keep with probability 1 - p",
        source: "Srivastava et al. 2014, scaled in training; Philox: Salmon et al. 2011",
        cases: cases::cases,
        random: cases::random,
        errors: cases::errors,
    },
    Entry {
        name: "dropout2d",
        formula: "y[n,c] = keep[n,c] ? x[n,c] / (1 - p) : 0, keep with probability 1 - p",
        source: "Tompson et al. 2015, section 3.2",
        cases: cases::planes,
        random: cases::random_planes,
        errors: cases::plane_errors,
    },
];

/// Sets each element to 0 with probability `p` and divides the others by `1 - p`, in place.
///
/// Inputs: `x` of any shape `[batch, ...]`, and `counter`, `u32` `[4]`: the low and the high word of
/// the seed, the step, and the number of samples before this batch's first. Output: as `x`.
///
/// Whether an element is kept is decided by word `e mod 4` of Philox 4x32-10 with counter `(e / 4,
/// layer, step, 0)` and the seed as key, where `e` counts the elements of all samples of the step:
/// it depends neither on the device nor on how a batch is cut. The gradient is the same op on
/// `grad_output`. A network without dropout is its own expectation, so there is no op for inference.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dropout {
    /// The probability with which an element becomes 0; at least 0 and less than 1.
    pub p: f32,
    /// Tells the draws of one layer from another's; no two dropout layers of a graph share it.
    pub layer: u32,
}

impl Default for Dropout {
    fn default() -> Self {
        Dropout { p: 0.5, layer: 0 }
    }
}

impl Dropout {
    /// Errors unless counter and probability make sense.
    fn check(&self, op: &'static str, inputs: &[TensorType]) -> Result<()> {
        expect_inputs(op, inputs, 2..=2)?;
        expect_f32(op, &inputs[..1])?;
        if inputs[1] != TensorType::u32([4]) {
            let shapes = inputs.iter().map(|t| &t.shape);
            let problem = format!("the counter must be u32[4], is {}", inputs[1]);
            return Err(Error::shape(op, shapes, problem));
        }
        if !(0.0..1.0).contains(&self.p) {
            return Err(Error::setting("dropout p", self.p, "give at least 0 and less than 1"));
        }
        Ok(())
    }

    /// An element is kept where the top 24 bits of its random word are at least this: a comparison
    /// of integers comes out the same on all devices.
    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 16_777_216.0).ceil() as u32
    }

    fn scale(&self) -> f32 {
        (1.0 / (1.0 - f64::from(self.p))) as f32
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    first_vector: u32,
    per_sample: u32,
    layer: u32,
    threshold: u32,
    scale: f32,
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.check(self.name(), inputs)?;
        Ok(inputs[..1].to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        g.emit_grad(0, *self, &[g.grad_output(0)?, g.input(1)])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn half(&self) -> Half {
        Half::taken(&[0], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let [seed_low, seed_high, step, sample_offset] =
            [0, 1, 2, 3].map(|i| io.inputs[1].data[i] as u32);
        let first = u64::from(sample_offset) * io.inputs[0].shape.per_sample() as u64;
        for (i, &x) in io.inputs[0].data.iter().enumerate() {
            let element = first + i as u64;
            let block = (element / 4) as u32;
            let words = philox4x32([block, self.layer, step, 0], [seed_low, seed_high]);
            if uniform(words[(element % 4) as usize]) >= self.p {
                io.outputs[0].data[i] = x / (1.0 - f64::from(self.p));
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        // Whole groups of blocks, so that every chunk starts at the same place in a block.
        const CHUNK: usize = 256 * BLOCKS;
        let &[low, high, step, sample_offset] = as_u32(io.inputs[1]) else { return };
        let first = u64::from(sample_offset) * io.types.inputs[0].shape.per_sample() as u64;
        let (threshold, scale) = (self.threshold(), self.scale());
        // The elements of the first block that belong to the samples before.
        let skipped = (first % 4) as usize;
        io.outputs[0].par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, part)| {
            let mut block = ((first + (chunk * CHUNK) as u64) / 4) as u32;
            let (mut words, mut used) = ([0; 4 * BLOCKS], 4 * BLOCKS);
            let mut rest = part;
            let mut skip = skipped;
            while !rest.is_empty() {
                if used == words.len() {
                    words = philox4x32_blocks(block, [self.layer, step, 0], [low, high]);
                    block = block.wrapping_add(BLOCKS as u32);
                    used = std::mem::take(&mut skip);
                }
                let count = rest.len().min(words.len() - used);
                let (now, later) = rest.split_at_mut(count);
                for (x, word) in now.iter_mut().zip(&words[used..]) {
                    // A dropped element becomes 0 whatever it was.
                    let keep = u32::from(word >> 8 >= threshold).wrapping_neg();
                    *x = f32::from_bits((*x * scale).to_bits() & keep);
                }
                used += count;
                rest = later;
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let per_sample = types.inputs[0].shape.per_sample() as u32;
        let dispatches = adapter.pieces(types.outputs[0].elements()).into_iter().map(|range| {
            let vectors = range.len().div_ceil(4);
            Dispatch::new(crate::kernel::shader!("dropout/dropout.wgsl"))
                .bind_range("data", Operand::Output(0), range.clone())
                .bind("counter", Operand::Input(1))
                .params(&Params {
                    vectors: vectors as u32,
                    first_vector: (range.start / 4) as u32,
                    per_sample,
                    layer: self.layer,
                    threshold: self.threshold(),
                    scale: self.scale(),
                })
                .threads(vectors)
                .reads_ahead()
        });
        Ok(vec![Variant::new("vec4", dispatches.collect())])
    }
}
