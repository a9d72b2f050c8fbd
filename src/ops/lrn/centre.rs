//! Deviations from the local mean.

use serde::{Deserialize, Serialize};

use super::window::{Windows, planes, two_stages};
use crate::error::{Error, Result};
use crate::kernel::{Adapter, Dispatch, Operand, Variant, shader};
use crate::ops::{Arrays, Backward, Cost, CpuTensors, Op, Types, expect_f32, expect_inputs, nchw};
use crate::tensor::TensorType;

/// `y[i,j] = x[i,j] - mean of x[u,v]` over the rows `u` from `i - size / 2` to `i + (size - 1) / 2` and
/// the columns `v` likewise, for each sample and channel by itself. At the edges the mean is that of the
/// elements that exist.
///
/// Input and output: `[batch, channels, height, width]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LocalCentre {
    /// The side of the windows; at least 1.
    pub size: usize,
}

/// The gradient of [`LocalCentre`]: `grad_x[i,j] = g[i,j] - sum of g[u,v] / n[u,v]` over the positions
/// whose window holds `[i,j]`, with `n` the number of elements in that window.
///
/// Input: `grad_output`. Output: `grad_input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalCentreGrad {
    /// The side of the windows; at least 1.
    pub size: usize,
}

fn infer(op: &'static str, size: usize, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    expect_inputs(op, inputs, 1..=1)?;
    expect_f32(op, inputs)?;
    nchw(op, &inputs[0])?;
    match size {
        0 => Err(Error::setting("size", 0, "give at least 1")),
        _ => Ok(inputs.to_vec()),
    }
}

fn cost(size: usize, types: &Types) -> Cost {
    let terms = Windows::new(types, size).terms() as u64;
    Cost::with_flops(types, (terms + 2) * types.outputs[0].elements() as u64)
}

impl Op for LocalCentre {
    fn name(&self) -> &'static str {
        "local_centre"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        infer(self.name(), self.size, inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        cost(self.size, types)
    }

    fn reduction(&self, types: &Types) -> usize {
        Windows::new(types, self.size).terms()
    }

    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        g.emit_grad(0, LocalCentreGrad { size: self.size }, &[g.grad_output(0)?])
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let x = &io.inputs[0];
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| x.dims()[i]);
        let size = self.size;
        for at in 0..x.data.len() {
            let (plane, i, j) = (at / (height * width), at / width % height, at % width);
            let (mut sum, mut count) = (0.0, 0.0);
            for u in (0..height).filter(|u| u + size / 2 >= i && *u <= i + (size - 1) / 2) {
                for v in (0..width).filter(|v| v + size / 2 >= j && *v <= j + (size - 1) / 2) {
                    sum += x.data[(plane * height + u) * width + v];
                    count += 1.0;
                }
            }
            io.outputs[0].data[at] = x.data[at] - sum / count;
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.inputs[0].elements()
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let windows = Windows::new(io.types, self.size);
        let x = io.inputs[0];
        planes(windows.plane(), io.outputs[0], io.scratch, |range, output, rows| {
            output.copy_from_slice(&x[range.clone()]);
            windows.sum(output, rows);
            windows.rows(output, &x[range], rows, |sums, x, inverse, columns| {
                let elements = sums.iter_mut().zip(x).zip(columns);
                elements.for_each(|((sum, x), column)| *sum = x - *sum * (inverse * column));
            });
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let windows = Windows::new(types, self.size);
        let both = [("input", Operand::Input(0)), ("output", Operand::Output(0))];
        let rows = (Dispatch::new(shader!("lrn/rows.wgsl")).constant("TURNED", false), &both[..1]);
        let finish =
            (Dispatch::new(shader!("lrn/centre.wgsl")).constant("TURNED", false), &both[..]);
        two_stages(self.name(), types, adapter, &windows, [0.0; 2], rows, finish)
    }
}

impl Op for LocalCentreGrad {
    fn name(&self) -> &'static str {
        "local_centre_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        infer(self.name(), self.size, inputs)
    }

    fn cost(&self, types: &Types) -> Cost {
        cost(self.size, types)
    }

    fn reduction(&self, types: &Types) -> usize {
        Windows::new(types, self.size).terms()
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let grad = &io.inputs[0];
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| grad.dims()[i]);
        let size = self.size;
        for at in 0..grad.data.len() {
            let (plane, i, j) = (at / (height * width), at / width % height, at % width);
            let rows = || (0..height).filter(|u| u + size / 2 >= i && *u <= i + (size - 1) / 2);
            let columns = || (0..width).filter(|v| v + size / 2 >= j && *v <= j + (size - 1) / 2);
            let count = (rows().count() * columns().count()) as f64;
            io.outputs[0].data[at] += grad.data[at];
            for (u, v) in rows().flat_map(|u| columns().map(move |v| (u, v))) {
                io.outputs[0].data[(plane * height + u) * width + v] -= grad.data[at] / count;
            }
        }
    }

    fn cpu_scratch(&self, types: &Types) -> usize {
        types.inputs[0].elements()
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        let windows = Windows::new(io.types, self.size);
        let grad = io.inputs[0];
        planes(windows.plane(), io.outputs[0], io.scratch, |range, output, rows| {
            let grad = &grad[range];
            windows.rows(output, grad, rows, |terms, grad, inverse, columns| {
                let elements = terms.iter_mut().zip(grad).zip(columns);
                elements.for_each(|((term, g), column)| *term = g * (inverse * column));
            });
            windows.turned().sum(output, rows);
            output.iter_mut().zip(grad).for_each(|(sum, g)| *sum = g - *sum);
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let windows = Windows::new(types, self.size).turned();
        let both = [("input", Operand::Input(0)), ("output", Operand::Output(0))];
        let rows = (Dispatch::new(shader!("lrn/rows.wgsl")).constant("TURNED", true), &both[..1]);
        let finish =
            (Dispatch::new(shader!("lrn/centre.wgsl")).constant("TURNED", true), &both[..]);
        two_stages(self.name(), types, adapter, &windows, [0.0; 2], rows, finish)
    }
}
