//! Traffic with memory.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, scaled};
use crate::ops::{Arrays, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, parallel};
use crate::tensor::TensorType;

/// `y[b, c] = sum over r of x[b, r, c]`, which reads much and writes little.
///
/// Input `x` `[blocks, rows, columns]`, columns a multiple of 4. Output `[blocks, columns]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ReadParams {
    blocks: u32,
    rows: u32,
    columns: u32,
}

impl Op for Read {
    fn name(&self) -> &'static str {
        "probe_read"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        match inputs[0].dims() {
            &[blocks, _, columns] if columns % 4 == 0 => {
                Ok(vec![TensorType::f32([blocks, columns])])
            }
            _ => {
                let problem = "needs [blocks, rows, columns], columns a multiple of 4";
                Err(Error::shape(self.name(), [&inputs[0].shape], problem))
            }
        }
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.inputs[0].elements() as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        types.input(0)[1]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let &[_, rows, columns] = io.inputs[0].dims() else { return };
        for (i, &x) in io.inputs[0].data.iter().enumerate() {
            io.outputs[0].data[i / (rows * columns) * columns + i % columns] += x;
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let &[_, rows, columns] = io.types.input(0) else { return };
        let blocks =
            io.outputs[0].par_chunks_mut(columns).zip(io.inputs[0].par_chunks(rows * columns));
        blocks.for_each(|(sums, block)| {
            parallel::vectorised(|| {
                sums.fill(0.0);
                for row in block.chunks(columns) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
            });
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let &[blocks, rows, columns] = types.input(0) else { return Ok(vec![]) };
        let parts = adapter.chunk_items(self.name(), blocks, &[rows * columns, columns])?;
        let dispatches = parts.into_iter().map(|part| {
            let columns4 = columns / 4;
            Dispatch::new(crate::kernel::shader!("probe/read.wgsl"))
                .bind_range("input", Operand::Input(0), scaled(&part, rows * columns))
                .bind_range("output", Operand::Output(0), scaled(&part, columns))
                .params(&ReadParams {
                    blocks: part.len() as u32,
                    rows: rows as u32,
                    columns: columns4 as u32,
                })
                .threads(part.len() * columns4)
        });
        Ok(vec![Variant::new("vec4", dispatches.collect())])
    }
}

/// `y = x`. Input `x` of any shape, output as `x`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copy;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct CopyParams {
    vectors: u32,
}

/// The workgroup's size in `probe/copy.wgsl`.
const WIDTH: usize = 64;

impl Op for Copy {
    fn name(&self) -> &'static str {
        "probe_copy"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        Ok(inputs.to_vec())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        io.outputs[0].data.copy_from_slice(&io.inputs[0].data);
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::zip(io.outputs[0], io.inputs[0], <[f32]>::copy_from_slice);
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let variant = |name, each: usize| {
            let parts = adapter.chunks(types.outputs[0].elements()).into_iter();
            let dispatches = parts.map(|range| {
                let vectors = range.len().div_ceil(4);
                Dispatch::new(crate::kernel::shader!("probe/copy.wgsl"))
                    .constant("EACH", each as u32)
                    .bind_range("input", Operand::Input(0), range.clone())
                    .bind_range("output", Operand::Output(0), range)
                    .params(&CopyParams { vectors: vectors as u32 })
                    .groups(vectors.div_ceil(each * WIDTH))
            });
            Variant::new(name, dispatches.collect())
        };
        Ok(vec![variant("vec4", 1), variant("vec4x4", 4), variant("vec4x16", 16)])
    }
}
