//! Multiply-adds in registers.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Shader, Variant};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// `y = x * 1 + 2^-10`, as many times as there are rounds. Input `x` of any shape, output as `x`.
///
/// Where `x` is a multiple of 2^-10 and `y` at most 2, every step is exact, in half precision too:
/// so the result counts the steps, and must be met to the bit by every kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MultiplyAdd {
    /// Multiply-adds for each element: a multiple of 16, at most 1024.
    pub rounds: u32,
}

const ADDEND: f32 = 1.0 / 1024.0;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    threads: u32,
    rounds: u32,
    factor: f32,
    addend: f32,
}

/// A kernel: its name, the vectors that an invocation keeps in registers, the rounds that its loop
/// takes at a time, and whether it asks for fused multiply-adds.
type Kernel = (&'static str, u32, u32, bool);

const SINGLE: [Kernel; 11] = [
    ("fma_4x16", 4, 16, true),
    ("fma_8x16", 8, 16, true),
    ("fma_2x16", 2, 16, true),
    ("fma_1x16", 1, 16, true),
    ("fma_8x4", 8, 4, true),
    ("fma_4x4", 4, 4, true),
    ("fma_3x4", 3, 4, true),
    ("fma_2x4", 2, 4, true),
    ("fma_2x2", 2, 2, true),
    ("mul_add_4x16", 4, 16, false),
    ("mul_add_2x4", 2, 4, false),
];
const HALF: [Kernel; 5] = [
    ("half_fma_4x16", 4, 16, true),
    ("half_fma_8x16", 8, 16, true),
    ("half_fma_2x16", 2, 16, true),
    ("half_fma_2x4", 2, 4, true),
    ("half_mul_add_4x16", 4, 16, false),
];

impl MultiplyAdd {
    /// Whether the kernel of this name computes in half precision.
    pub fn is_half(kernel: &str) -> bool {
        HALF.iter().any(|&(name, ..)| name == kernel)
    }

    fn variant(
        self,
        shader: Shader,
        (name, chains, unroll, is_fused): Kernel,
        types: &Types,
        adapter: &Adapter,
    ) -> Variant {
        let parts = adapter.chunks(types.outputs[0].elements()).into_iter();
        let dispatches = parts.map(|range| {
            let vectors = range.len().div_ceil(4) as u32;
            let threads = vectors.div_ceil(chains);
            let (factor, addend, rounds) = (1.0, ADDEND, self.rounds);
            Dispatch::new(shader)
                .constant("CHAINS", chains)
                .constant("UNROLL", unroll)
                .constant("FUSED", is_fused)
                .bind_range("input", Operand::Input(0), range.clone())
                .bind_range("output", Operand::Output(0), range)
                .params(&Params { vectors, threads, rounds, factor, addend })
                .threads(threads as usize)
        });
        Variant::new(name, dispatches.collect())
    }
}

impl Op for MultiplyAdd {
    fn name(&self) -> &'static str {
        "probe_multiply_add"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        if self.rounds > 1024 || !self.rounds.is_multiple_of(16) {
            let remedy = "give a multiple of 16, at most 1024";
            return Err(Error::setting("probe rounds", self.rounds, remedy));
        }
        Ok(inputs.to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 2 * u64::from(self.rounds) * types.outputs[0].elements() as u64)
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let sum = f64::from(self.rounds) * f64::from(ADDEND);
        io.outputs[0].data.iter_mut().zip(&io.inputs[0].data).for_each(|(y, x)| *y = x + sum);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        const PART: usize = 4096;
        let (factor, addend) = std::hint::black_box((1.0, ADDEND));
        let parts = io.outputs[0].par_chunks_mut(PART).zip(io.inputs[0].par_chunks(PART));
        parts.for_each(|(output, input)| {
            output.copy_from_slice(input);
            let rounds = self.rounds;
            pulp::Arch::new().dispatch(Chains { values: output, rounds, factor, addend });
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let single = crate::kernel::shader!("probe/multiply_add.wgsl");
        let half = crate::kernel::shader!("probe/multiply_add_f16.wgsl");
        let mut variants: Vec<_> =
            SINGLE.map(|kernel| self.variant(single, kernel, types, adapter)).into();
        if adapter.f16 {
            variants.extend(HALF.map(|kernel| self.variant(half, kernel, types, adapter)));
        }
        Ok(variants)
    }
}

/// All rounds over `values`, some vectors at a time.
struct Chains<'a> {
    values: &'a mut [f32],
    rounds: u32,
    factor: f32,
    addend: f32,
}

impl WithSimd for Chains<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// As many as fit 16 registers with two to spare; two units of latency 4 or 5 keep busy.
        const CHAINS: usize = 12;
        let (factor, addend) = (simd.splat_f32s(self.factor), simd.splat_f32s(self.addend));
        let (vectors, tail) = S::as_mut_simd_f32s(self.values);
        let (blocks, rest) = vectors.as_chunks_mut::<CHAINS>();
        for block in blocks {
            let mut chains = *block;
            for _ in 0..self.rounds {
                for chain in &mut chains {
                    *chain = simd.mul_add_f32s(*chain, factor, addend);
                }
            }
            *block = chains;
        }
        for x in rest {
            for _ in 0..self.rounds {
                *x = simd.mul_add_f32s(*x, factor, addend);
            }
        }
        for x in tail {
            for _ in 0..self.rounds {
                *x = *x * self.factor + self.addend;
            }
        }
    }
}
