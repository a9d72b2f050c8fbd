//! Adds an operation with a WGSL kernel of its own, without touching gabor: SiLU, also called Swish.
//!
//! ```sh
//! cargo run --release --example custom_layer
//! ```
//!
//! `y = x * sigmoid(beta * x)` (Ramachandran, Zoph & Le, "Searching for Activation Functions",
//! 2017). It takes four parts: the op, the op of its gradient, the kernels, and the layer.

use gabor::check;
use gabor::kernel::{Adapter, Dispatch, Operand, Shader, Variant};
use gabor::nn::Builder;
use gabor::ops::case::{Case, Draw};
use gabor::ops::{
    Arrays, Backward, Cost, CpuTensors, Op, Types, Value, expect_f32, expect_inputs, parallel,
};
use gabor::prelude::*;
use gabor::tensor::TensorType;

/// One invocation computes four elements. The engine finds bindings and workgroup size in the text;
/// `lib/index.wgsl` is gabor's own.
const FORWARD: Shader = Shader::new(
    "silu.wgsl",
    "
// import lib/index.wgsl
const WIDTH: u32 = 64u;

struct Params { vectors: u32, beta: f32 }

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

// exp is only taken of numbers that are not positive, so it cannot overflow.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = flat_thread(at, n, WIDTH);
    if i >= params.vectors { return; }
    output[i] = input[i] * sigmoid(params.beta * input[i]);
}",
);

/// Multiplies the incoming gradient by the derivative, in place.
const BACKWARD: Shader = Shader::new(
    "silu_grad.wgsl",
    "
// import lib/index.wgsl
const WIDTH: u32 = 64u;

struct Params { vectors: u32, beta: f32 }

@group(0) @binding(0) var<storage, read_write> grad: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = flat_thread(at, n, WIDTH);
    if i >= params.vectors { return; }
    let z = params.beta * input[i];
    let s = sigmoid(z);
    grad[i] *= s + z * s * (1.0 - s);
}",
);

/// The kernels' `params`: plain four-byte members in the order of the WGSL struct.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    vectors: u32,
    beta: f32,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `y = x * sigmoid(beta * x)` for each element. Input and output have any one shape.
#[derive(Clone, Copy, Debug)]
struct Silu {
    beta: f32,
}

impl Op for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    /// The shape rule, and what is wrong where it does not hold.
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_f32(self.name(), inputs)?;
        if !self.beta.is_finite() {
            return Err(Error::setting("beta", self.beta, "must be finite, as 1.0"));
        }
        Ok(inputs.to_vec())
    }

    fn cost(&self, types: &Types) -> Cost {
        Cost::with_flops(types, 5 * types.outputs[0].elements() as u64)
    }

    /// WGSL's `exp` may be some units in the last place off; the tolerance grows accordingly.
    fn reduction(&self, _: &Types) -> usize {
        64
    }

    /// The gradient is an op like any other. It needs this op's input.
    fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
        g.emit_grad(0, SiluGrad { beta: self.beta }, &[g.grad_output(0)?, g.input(0)])
    }

    /// The oracle: as plain as can be, in f64.
    fn reference(&self, io: &mut Arrays<'_>) {
        for (y, x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
            *y = x * sigmoid(f64::from(self.beta) * x);
        }
    }

    /// The CPU engine: fast, on all cores, without allocation.
    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::zip(io.outputs[0], io.inputs[0], |ys, xs| {
            for (y, &x) in ys.iter_mut().zip(xs) {
                *y = x / (1.0 + (-self.beta * x).exp());
            }
        });
    }

    /// The GPU: one dispatch for each part of the tensor that fits a storage binding.
    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let parts = adapter.chunks(types.outputs[0].elements()).into_iter().map(|part| {
            let vectors = part.len().div_ceil(4);
            Dispatch::new(FORWARD)
                .bind_range("input", Operand::Input(0), part.clone())
                .bind_range("output", Operand::Output(0), part)
                .params(&Params { vectors: vectors as u32, beta: self.beta })
                .threads(vectors)
        });
        Ok(vec![Variant::new("vec4", parts.collect())])
    }
}

/// `grad_x = grad_y * (s + z s (1 - s))` with `z = beta x` and `s = sigmoid(z)`, written over
/// `grad_y`. Inputs: `grad_y`, `x`.
#[derive(Clone, Copy, Debug)]
struct SiluGrad {
    beta: f32,
}

impl Op for SiluGrad {
    fn name(&self) -> &'static str {
        "silu_grad"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_inputs(self.name(), inputs, 2..=2)?;
        expect_f32(self.name(), inputs)?;
        Ok(inputs[..1].to_vec())
    }

    fn reduction(&self, _: &Types) -> usize {
        64
    }

    /// Output 0 takes over the memory of input 0. Only the output is bound and written.
    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let both = io.inputs[0].data.iter().zip(&io.inputs[1].data);
        for (grad_x, (grad_y, x)) in io.outputs[0].data.iter_mut().zip(both) {
            let z = f64::from(self.beta) * x;
            *grad_x = grad_y * (sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)));
        }
    }

    fn cpu(&self, io: &mut CpuTensors<'_>) {
        parallel::zip(io.outputs[0], io.inputs[1], |grads, xs| {
            for (grad, &x) in grads.iter_mut().zip(xs) {
                let z = self.beta * x;
                let s = 1.0 / (1.0 + (-z).exp());
                *grad *= s + z * s * (1.0 - s);
            }
        });
    }

    fn gpu(&self, types: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        let parts = adapter.chunks(types.outputs[0].elements()).into_iter().map(|part| {
            let vectors = part.len().div_ceil(4);
            Dispatch::new(BACKWARD)
                .bind_range("grad", Operand::Output(0), part.clone())
                .bind_range("input", Operand::Input(1), part)
                .params(&Params { vectors: vectors as u32, beta: self.beta })
                .threads(vectors)
        });
        Ok(vec![Variant::new("vec4", parts.collect())])
    }
}

/// The layer: it adds the op to the network's graph. A learnable `beta` would be a
/// `builder.parameter(...)` and a second input of the op.
#[derive(Clone, Copy, Debug)]
struct SiluLayer(Silu);

impl Layer for SiluLayer {
    fn kind(&self) -> &'static str {
        "silu"
    }

    fn build(&self, builder: &mut Builder<'_>, input: Value) -> Result<Value> {
        builder.add(self.0, &[input])
    }
}

/// Compares the op and its gradient with their oracles, and the gradient with finite differences.
fn check_silu(device: &Device) -> Result<()> {
    let mut draw = Draw::new(1);
    // Sizes that are not whole vectors and take more than one workgroup are where mistakes show.
    for shape in [vec![4, 4, 4, 4], vec![2, 3, 5, 7], vec![1], vec![5, 4099]] {
        let (silu, grad) = (Silu { beta: 1.5 }, SiluGrad { beta: 1.5 });
        let x = draw.normal(shape.clone());
        let case = Case::new(format!("{shape:?}"), silu, vec![x.clone()]).differentiable([0]);
        check::parity(&case, device)?;
        check::gradients(&case)?;
        let inputs = vec![draw.normal(shape.clone()), x];
        check::parity(&Case::new(format!("{shape:?}"), grad, inputs), device)?;
    }
    println!("silu and silu_grad agree with their oracles on {}", device.name());
    Ok(())
}

fn main() -> Result<()> {
    check_silu(&Device::cpu())?;
    match Device::gpu("") {
        Ok(gpu) => check_silu(&gpu)?,
        Err(error) => println!("not checked on a GPU: {error}"),
    }

    let digits = data::open("digits")?;
    let silu = || SiluLayer(Silu { beta: 1.0 });
    let model = Model::new("silu", digits.train.shape())
        .with(Conv2d::new(8, 5).stride(2).padding(2))
        .with(silu())
        .with(MaxPool2d::new(3).stride(2))
        .with(Linear::new(64))
        .with(silu())
        .with(Linear::new(10));
    let optimizer = Sgd::new(0.05).momentum(0.9);
    let device = Device::auto()?;
    let mut trainer = Trainer::new(&device, model, optimizer, Options::default())?;
    let report = trainer.fit(&digits, 2, |event| {
        if let Event::Epoch(e) = event {
            println!("epoch {}: loss {:.3}, test {:.1} %", e.epoch, e.loss, 100.0 * e.test_top1);
        }
        ControlFlow::Continue(())
    })?;
    println!("{} steps in {:.1?} on {}", report.steps, report.train_time, device.name());
    Ok(())
}
