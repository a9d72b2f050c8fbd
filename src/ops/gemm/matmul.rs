//! The matrix product of two tensors.

use rayon::prelude::*;

use super::cpu::{Matrix, MatrixMut, Threads, gemm};
use super::gpu::{Problem, Stored};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Operand, Variant};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Half, Op, Types, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// `C = op(A) op(B)`, where op transposes or not. Inputs: A `[m, k]` (`[k, m]` where `trans_a`) and
/// B `[k, n]` (`[n, k]` where `trans_b`); or a batch of each, `[batch, m, k]` and `[batch, k, n]`.
/// Output: `[m, n]` or `[batch, m, n]`.
///
/// Errors where the inner extents or the batches differ.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatMul {
    /// Whether A is stored `[k, m]`.
    pub trans_a: bool,
    /// Whether B is stored `[n, k]`.
    pub trans_b: bool,
}

/// The extents of a product.
#[derive(Clone, Copy)]
struct Extents {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

impl MatMul {
    /// The extents that the inputs' shapes mean, or `None` where they do not fit together.
    fn extents(&self, a: &[usize], b: &[usize]) -> Option<Extents> {
        let (batch, a, b) = match (a, b) {
            (&[m, k], &[l, n]) => (1, [m, k], [l, n]),
            (&[batch, m, k], &[other, l, n]) if batch == other => (batch, [m, k], [l, n]),
            _ => return None,
        };
        let [m, k] = if self.trans_a { [a[1], a[0]] } else { a };
        let [l, n] = if self.trans_b { [b[1], b[0]] } else { b };
        (k == l).then_some(Extents { batch, m, n, k })
    }

    /// The extents of inputs that `infer` has accepted.
    fn known(&self, types: &Types) -> Extents {
        let none = Extents { batch: 0, m: 0, n: 0, k: 0 };
        self.extents(types.input(0), types.input(1)).unwrap_or(none)
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        let Extents { batch, m, n, .. } =
            self.extents(inputs[0].dims(), inputs[1].dims()).ok_or_else(|| {
                let a = if self.trans_a { "k, m" } else { "m, k" };
                let b = if self.trans_b { "n, k" } else { "k, n" };
                Error::shape(
                    self.name(),
                    inputs.iter().map(|t| &t.shape),
                    format!("needs [{a}] and [{b}], or a batch of both with one batch extent"),
                )
            })?;
        Ok(vec![match inputs[0].shape.rank() {
            2 => TensorType::f32([m, n]),
            _ => TensorType::f32([batch, m, n]),
        }])
    }

    fn cost(&self, types: &Types) -> Cost {
        let Extents { batch, m, n, k } = self.known(types);
        Cost::with_flops(types, 2 * (batch * m * n * k) as u64)
    }

    fn reduction(&self, types: &Types) -> usize {
        self.known(types).k
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let MatMul { trans_a, trans_b } = *self;
        let (a, b, grad) = (g.input(0), g.input(1), g.grad_output(0)?);
        if g.wants(0) {
            // grad of op(A) = grad op(B)'; of A itself, the transposed where A is.
            if trans_a {
                g.emit_grad(0, MatMul { trans_a: trans_b, trans_b: true }, &[b, grad])?;
            } else {
                g.emit_grad(0, MatMul { trans_a: false, trans_b: !trans_b }, &[grad, b])?;
            }
        }
        if g.wants(1) {
            // grad of op(B) = op(A)' grad.
            if trans_b {
                g.emit_grad(1, MatMul { trans_a: true, trans_b: trans_a }, &[grad, a])?;
            } else {
                g.emit_grad(1, MatMul { trans_a: !trans_a, trans_b: false }, &[a, grad])?;
            }
        }
        Ok(())
    }

    fn half(&self) -> Half {
        Half::wanted(&[0, 1], &[0])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let (a, b) = (&io.inputs[0], &io.inputs[1]);
        let Some(Extents { batch, m, n, k }) = self.extents(a.dims(), b.dims()) else { return };
        for s in 0..batch {
            for i in 0..m {
                for j in 0..n {
                    let mut sum = 0.0;
                    for l in 0..k {
                        let at_a = if self.trans_a { l * m + i } else { i * k + l };
                        let at_b = if self.trans_b { j * k + l } else { l * n + j };
                        sum += a.data[s * m * k + at_a] * b.data[s * k * n + at_b];
                    }
                    io.outputs[0].data[(s * m + i) * n + j] = sum;
                }
            }
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let Extents { batch, m, n, k } = self.known(io.types);
        let product = |c: &mut [f32], a: &[f32], b: &[f32], threads| {
            let a = if self.trans_a { Matrix::rows(a, m).transposed() } else { Matrix::rows(a, k) };
            let b = if self.trans_b { Matrix::rows(b, k).transposed() } else { Matrix::rows(b, n) };
            gemm([m, n, k], a, b, MatrixMut::rows(c, n), false, threads);
        };
        let (a, b) = (io.inputs[0], io.inputs[1]);
        if batch == 1 {
            return product(io.outputs[0], a, b, Threads::All);
        }
        let members = io.outputs[0].par_chunks_mut(m * n).zip(a.par_chunks(m * k));
        members.zip(b.par_chunks(k * n)).for_each(|((c, a), b)| product(c, a, b, Threads::One));
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let Extents { batch, m, n, k } = self.known(types);
        let [ld_a, ld_b] = [if self.trans_a { m } else { k }, if self.trans_b { k } else { n }];
        let a = Stored::rows(Operand::Input(0), ld_a).transposed_if(self.trans_a);
        let b = Stored::rows(Operand::Input(1), ld_b).transposed_if(self.trans_b);
        let c = Stored::rows(Operand::Output(0), n);
        let [a, b, c] = [a.batched(m * k), b.batched(k * n), c.batched(m * n)];
        Problem::new([m, n, k], a, b, c).batch(batch).variants(adapter)
    }
}
