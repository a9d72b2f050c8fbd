//! Functions of two numbers, broadcast.

use rayon::prelude::*;

use super::expand::{broadcast, sum_to};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant};
use crate::ops::elementwise::Unary;
use crate::ops::shape::strided::{Strided, expect_ranks, indexable, words};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, Value, expect_f32, expect_inputs};
use crate::tensor::TensorType;

/// `y = f(a, b)` for each element, after a and b have been broadcast to a common shape by NumPy's
/// rules: shapes are aligned at the last axis, and an extent of 1 is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger. Equal ones share the gradient, as in PyTorch.
    Maximum,
    /// The smaller. Equal ones share the gradient, as in PyTorch.
    Minimum,
    /// 1 where they are equal, else 0. It has no gradient.
    Equal,
    /// 1 where a is larger, 1/2 where they are equal, else 0: what [`Binary::Maximum`] passes on to
    /// a. It has no gradient.
    Above,
}

impl Binary {
    fn value(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Maximum => a.max(b),
            Binary::Minimum => a.min(b),
            Binary::Equal => f64::from(u8::from(a == b)),
            Binary::Above if a == b => 0.5,
            Binary::Above => f64::from(u8::from(a > b)),
        }
    }

    fn strided(types: &Types) -> Strided<2> {
        let output = types.output(0);
        let [a, b] = [0, 1].map(|i| broadcast(types.input(i), output));
        Strided::new(output, [&a, &b], [0, 0])
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    first: u32,
    windows: [[u32; 2]; 2],
    dims: [u32; 6],
    strides: [[u32; 6]; 2],
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        "binary"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        expect_ranks(self.name(), inputs)?;
        let (a, b) = (inputs[0].dims(), inputs[1].dims());
        let rank = a.len().max(b.len());
        let extent = |dims: &[usize], axis: usize| {
            (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis])
        };
        let mut dims = vec![];
        for axis in 0..rank {
            match [extent(a, axis), extent(b, axis)] {
                [x, y] if x == y || y == 1 => dims.push(x),
                [1, y] => dims.push(y),
                [x, y] => {
                    let shapes = inputs.iter().map(|t| &t.shape);
                    let problem = format!("cannot broadcast {x} to {y}: give equal extents, or 1");
                    return Err(Error::shape(self.name(), shapes, problem));
                }
            }
        }
        let ty = TensorType::f32(dims);
        if ty.shape.checked_elements().is_none() {
            let shapes = inputs.iter().map(|t| &t.shape);
            return Err(Error::shape(self.name(), shapes, "the result is too large"));
        }
        Ok(vec![ty])
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, types.outputs[0].elements() as u64)
    }

    fn reduction(&self, _: &Types) -> usize {
        // WGSL's division may be 2.5 units in the last place off.
        if *self == Binary::Div { 4 } else { 1 }
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        let (a, b, grad) = (g.input(0), g.input(1), g.grad_output(0)?);
        for i in 0..2 {
            if !g.wants(i) {
                continue;
            }
            let (own, other) = if i == 0 { (a, b) } else { (b, a) };
            let y = g.output(0);
            let mut times = |x: Value, y: Value| Ok::<_, Error>(g.emit(Binary::Mul, &[x, y])?[0]);
            let full = match (self, i) {
                (Binary::Add, _) | (Binary::Sub, 0) => grad,
                (Binary::Sub, _) => g.emit(Unary::Affine { scale: -1.0, shift: 0.0 }, &[grad])?[0],
                (Binary::Mul, _) => times(grad, other)?,
                (Binary::Div, 0) => g.emit(Binary::Div, &[grad, b])?[0],
                (Binary::Div, _) => {
                    // -grad a / b^2 = -grad y / b
                    let product = times(grad, y)?;
                    let quotient = g.emit(Binary::Div, &[product, b])?[0];
                    g.emit(Unary::Affine { scale: -1.0, shift: 0.0 }, &[quotient])?[0]
                }
                (Binary::Maximum, _) => {
                    let share = g.emit(Binary::Above, &[own, other])?[0];
                    g.emit(Binary::Mul, &[grad, share])?[0]
                }
                (Binary::Minimum, _) => {
                    let share = g.emit(Binary::Above, &[other, own])?[0];
                    g.emit(Binary::Mul, &[grad, share])?[0]
                }
                (Binary::Equal | Binary::Above, _) => {
                    return Err(Error::Usage(format!("{self:?} has no gradient")));
                }
            };
            let shape = g.ty(own).shape.clone();
            let summed = sum_to(g, full, &shape)?;
            g.set_grad(i, summed);
        }
        Ok(())
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let dims = io.outputs[0].dims().to_vec();
        // The element of an operand that an element of the output is made of.
        let find = |operand: &[usize], mut o: usize| {
            let (mut at, mut stride) = (0, 1);
            for axis in (0..dims.len()).rev() {
                let index = o % dims[axis];
                o /= dims[axis];
                if let Some(own) = (axis + operand.len()).checked_sub(dims.len()) {
                    at += if operand[own] == 1 { 0 } else { index * stride };
                    stride *= operand[own];
                }
            }
            at
        };
        let (a, b) = (&io.inputs[0], &io.inputs[1]);
        for (o, y) in io.outputs[0].data.iter_mut().enumerate() {
            *y = self.value(a.data[find(a.dims(), o)], b.data[find(b.dims(), o)]);
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let strided = Self::strided(io.types);
        let (a, b, y) = (io.inputs[0], io.inputs[1], &mut *io.outputs[0]);
        let step = |is_one: bool| f32::from(u8::from(is_one));
        match self {
            Binary::Add => each(&strided, a, b, y, |a, b| a + b),
            Binary::Sub => each(&strided, a, b, y, |a, b| a - b),
            Binary::Mul => each(&strided, a, b, y, |a, b| a * b),
            Binary::Div => each(&strided, a, b, y, |a, b| a / b),
            Binary::Maximum => each(&strided, a, b, y, f32::max),
            Binary::Minimum => each(&strided, a, b, y, f32::min),
            Binary::Equal => each(&strided, a, b, y, move |a, b| step(a == b)),
            Binary::Above => {
                each(&strided, a, b, y, move |a, b| 0.5 * (step(a > b) + step(a >= b)));
            }
        }
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        indexable(self.name(), types)?;
        let strided = Self::strided(types);
        let windows = |i: usize, range: &std::ops::Range<usize>| {
            let bounds = strided.bounds(i, range);
            let chunks = adapter.chunks(types.inputs[i].elements()).into_iter();
            let meet = chunks.filter(|w| w.start < bounds.end && bounds.start < w.end);
            meet.collect::<Vec<_>>()
        };
        let mut dispatches = vec![];
        for range in adapter.chunks(strided.elements()) {
            for a in windows(0, &range) {
                for b in windows(1, &range) {
                    let place = |w: &std::ops::Range<usize>| {
                        [0u32.wrapping_sub(w.start as u32), w.len() as u32]
                    };
                    let params = Params {
                        count: range.len() as u32,
                        first: range.start as u32,
                        windows: [place(&a), place(&b)],
                        dims: words(strided.dims),
                        strides: strided.strides.map(words),
                    };
                    let dispatch = Dispatch::new(crate::kernel::shader!("arith/binary.wgsl"))
                        .constant("FUNCTION", *self as u32)
                        .constant("RANK", strided.rank() as u32)
                        .bind_range("a", Operand::Input(0), a.clone())
                        .bind_range("b", Operand::Input(1), b)
                        .bind_range("output", Operand::Output(0), range.clone())
                        .params(&params)
                        .threads(range.len());
                    dispatches.push(dispatch);
                }
            }
        }
        Ok(vec![Variant::new("scalar", dispatches)])
    }
}

fn each(
    strided: &Strided<2>,
    a: &[f32],
    b: &[f32],
    output: &mut [f32],
    f: impl Fn(f32, f32) -> f32 + Send + Sync,
) {
    const PART: usize = 16 * 1024;
    let steps = strided.steps();
    output.par_chunks_mut(PART).enumerate().for_each(|(part, output)| {
        let first = part * PART;
        strided.runs(first..first + output.len(), |at, [i, j], length| {
            let output = output[at..at + length].iter_mut();
            match steps {
                [1, 1] => {
                    let pairs = a[i..i + length].iter().zip(&b[j..j + length]);
                    output.zip(pairs).for_each(|(y, (&a, &b))| *y = f(a, b));
                }
                [1, 0] => {
                    output.zip(&a[i..i + length]).for_each(|(y, &a)| *y = f(a, b[j]));
                }
                [0, 1] => {
                    output.zip(&b[j..j + length]).for_each(|(y, &b)| *y = f(a[i], b));
                }
                [s, t] => output.enumerate().for_each(|(k, y)| *y = f(a[i + k * s], b[j + k * t])),
            }
        });
    });
}
