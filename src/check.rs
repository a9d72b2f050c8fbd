//! Checks for an operation of your own: what gabor's tests do to those that it contains.
//!
//! All take a [`Case`], an op with inputs that it accepts. `examples/custom_layer.rs` uses them.

use std::sync::Arc;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::{Bindings, Graph, Plan, Target, interpret};
use crate::ops::case::{Case, Draw, agrees, oracle};
use crate::ops::{Array, Arrays, Emit, Types};
use crate::session::Session;
use crate::tensor::{DType, Tensor};
use crate::tolerance::Tolerance;

/// Runs `case` on `device`, on a GPU with each variant that the op offers it, and compares the
/// outputs with the oracle's: unsigned ones exactly, others within the op's
/// [tolerance](Tolerance). Returns the names of the variants, or `cpu`.
///
/// Errors where the op refuses the inputs, the device fails, or an output is off; the message names
/// the variant and the worst element.
pub fn parity(case: &Case, device: &Device) -> Result<Vec<&'static str>> {
    let Target::Gpu(adapter) = device.target() else {
        compare(case, &run(case, device, None)?, None).map_err(|e| within("cpu", &e))?;
        return Ok(vec!["cpu"]);
    };
    let types = Types::infer(case.op.as_ref(), case.input_types())?;
    let variants = case.op.variants(&types, &adapter)?;
    let names: Vec<_> = variants.iter().map(|v| v.name).collect();
    if names.is_empty() {
        return Err(off(case, "gpu", "no variant is offered"));
    }
    for &name in &names {
        compare(case, &run(case, device, Some(name))?, Some(name)).map_err(|e| within(name, &e))?;
    }
    Ok(names)
}

/// What [`gradients`] looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Compared {
    /// Elements of gradients that agree with their finite differences.
    pub elements: usize,
    /// Elements left out, because the function has a kink within the step.
    pub kinks: usize,
}

/// Compares the gradients of `case` with finite differences of the oracle, both in f64, at up to a
/// dozen elements of each input in [`Case::differentiable`]. What is differentiated is a random
/// weighted sum of the first output.
///
/// Errors where the op has no gradient, or one is off.
pub fn gradients(case: &Case) -> Result<Compared> {
    const STEP: f64 = 1e-5;
    let mut draw = Draw::new(2);
    let inputs: Vec<_> = case.inputs.iter().map(Array::from).collect();
    let outputs = oracle(case.op.as_ref(), &case.inputs)?;
    // Outputs after the first serve the backward pass; no gradient flows into them.
    let cotangents: Vec<_> = outputs
        .iter()
        .enumerate()
        .map(|(i, output)| match i {
            0 => Array::from(&draw.uniform(output.shape.clone(), -1.0, 1.0)),
            _ => Array::zeros(output.shape.clone()),
        })
        .collect();
    let here = objective(case, &inputs, &cotangents);
    let mut compared = Compared::default();
    for (&i, grad) in case.differentiable.iter().zip(analytic(case, &inputs, &cotangents)?) {
        let (mut numeric, mut expected) = (vec![], vec![]);
        for _ in 0..12.min(grad.data.len()) {
            let element = draw.size(0, grad.data.len() - 1);
            let at = |step: f64| {
                let mut moved = inputs.clone();
                moved[i].data[element] += step;
                objective(case, &moved, &cotangents)
            };
            let (up, down) = (at(STEP), at(-STEP));
            // Where the slopes to both sides differ there is a kink within the step.
            let bend = (up - 2.0 * here + down).abs() / STEP;
            if bend > 1e-2 * (1.0 + grad.data[element].abs()) {
                compared.kinks += 1;
                continue;
            }
            numeric.push((up - down) / (2.0 * STEP));
            expected.push(grad.data[element]);
            compared.elements += 1;
        }
        let tolerance = Tolerance::finite_difference(here, STEP);
        let what = format!("the gradient of input {i}");
        tolerance.check(numeric, &expected).map_err(|problem| off(case, &what, &problem))?;
    }
    Ok(compared)
}

/// The outputs of `case` on `device`, with the variant of this name or the op's first choice.
///
/// Errors where the op refuses the inputs, there is no such variant, or the device fails.
pub fn run(case: &Case, device: &Device, variant: Option<&str>) -> Result<Vec<Tensor>> {
    let mut graph = Graph::new();
    let names: Vec<_> = (0..case.inputs.len()).map(|i| format!("in{i}")).collect();
    let values: Result<Vec<_>> =
        names.iter().zip(&case.inputs).map(|(n, t)| graph.input(n, t.ty())).collect();
    for (i, value) in graph.emit(Arc::clone(&case.op), &values?)?.into_iter().enumerate() {
        graph.output(format!("out{i}"), value)?;
    }
    let plan = Plan::choosing(&graph, &device.target(), &|op, _, variants| {
        let found = variants.into_iter().find(|v| variant.is_none_or(|name| v.name == name));
        found.ok_or_else(|| Error::Usage(format!("{} offers no such variant", op.name())))
    })?;
    let mut session = Session::new(device);
    let mut program = session.load(plan)?;
    let inputs: Vec<_> = names.iter().map(String::as_str).zip(&case.inputs).collect();
    let outputs = session.run(&mut program, &inputs)?;
    Ok(outputs.iter().map(|(_, tensor)| tensor.clone()).collect())
}

/// Compares outputs with the oracle's: unsigned ones exactly, others within the op's
/// [tolerance](crate::ops::Op::tolerance) for the variant that computed them, if it was one.
///
/// Errors where one is off; the message names the worst element.
pub fn compare(case: &Case, outputs: &[Tensor], variant: Option<&str>) -> Result<()> {
    let types = Types::infer(case.op.as_ref(), case.input_types())?;
    let tolerance = case.op.tolerance(&types, variant);
    let expected = oracle(case.op.as_ref(), &case.inputs)?;
    if outputs.len() != expected.len() {
        let problem = format!("{} outputs, expected {}", outputs.len(), expected.len());
        return Err(off(case, "outputs", &problem));
    }
    for (i, (actual, expected)) in outputs.iter().zip(&expected).enumerate() {
        let tolerance = match types.outputs[i].dtype {
            DType::F16 => tolerance.stored_as_half(),
            DType::F32 | DType::U32 => tolerance,
        };
        let checked = agrees(actual, &expected.data, tolerance);
        checked.map_err(|problem| off(case, &format!("output {i}"), &problem))?;
    }
    Ok(())
}

/// The sum of all outputs, each element weighted by its cotangent.
fn objective(case: &Case, inputs: &[Array], cotangents: &[Array]) -> f64 {
    let mut outputs: Vec<_> = cotangents.iter().map(|c| Array::zeros(c.shape.clone())).collect();
    case.op.reference(&mut Arrays { inputs, outputs: &mut outputs });
    let weighted = outputs.iter().zip(cotangents);
    weighted.flat_map(|(o, c)| o.data.iter().zip(&c.data)).map(|(o, c)| o * c).sum()
}

/// The gradients of [`objective`] that the graph's backward pass gives, by oracle.
fn analytic(case: &Case, inputs: &[Array], cotangents: &[Array]) -> Result<Vec<Array>> {
    let mut graph = Graph::new();
    let mut bindings = Bindings::new();
    let mut values = vec![];
    for (i, tensor) in case.inputs.iter().enumerate() {
        values.push(graph.input(format!("in{i}"), tensor.ty())?);
        bindings.insert(format!("in{i}"), inputs[i].clone());
    }
    let outputs = graph.emit(Arc::clone(&case.op), &values)?;
    let mut seeds = vec![];
    for (i, (&output, cotangent)) in outputs.iter().zip(cotangents).enumerate() {
        let ty = graph.value(output).ty.clone();
        if ty.dtype != DType::U32 && cotangent.data.iter().any(|&c| c != 0.0) {
            seeds.push((output, graph.input(format!("cotangent{i}"), ty)?));
            bindings.insert(format!("cotangent{i}"), cotangent.clone());
        }
    }
    let wanted: Vec<_> = case.differentiable.iter().map(|&i| values[i]).collect();
    let grads = graph.gradients_from(&seeds, &wanted)?;
    let computed = interpret(&graph, &bindings)?;
    Ok(grads.iter().map(|g| computed[g].clone()).collect())
}

fn within(variant: &str, error: &Error) -> Error {
    Error::Usage(format!("{variant}: {error}"))
}

fn off(case: &Case, what: &str, problem: &str) -> Error {
    Error::Usage(format!("{} ({}): {what}: {problem}", case.op.name(), case.label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Backward, CpuTensors, Op};
    use crate::tensor::TensorType;

    /// `y = x^2`, wrong on the CPU by `error` and in the gradient by `slip`.
    #[derive(Clone, Copy, Debug)]
    struct Square {
        error: f32,
        slip: f64,
    }

    #[derive(Debug)]
    struct SquareGrad(f64);

    impl Op for Square {
        fn name(&self) -> &'static str {
            "square"
        }
        fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
            Ok(inputs.to_vec())
        }
        fn backward(&self, g: &mut Backward<'_>) -> Result<()> {
            g.emit_grad(0, SquareGrad(self.slip), &[g.grad_output(0)?, g.input(0)])
        }
        fn reference(&self, io: &mut Arrays<'_>) {
            for (y, x) in io.outputs[0].data.iter_mut().zip(&io.inputs[0].data) {
                *y = x * x;
            }
        }
        fn cpu(&self, io: &mut CpuTensors<'_>) {
            for (y, x) in io.outputs[0].iter_mut().zip(io.inputs[0]) {
                *y = x * x + self.error;
            }
        }
        fn gpu(
            &self,
            _: &Types,
            _: &crate::kernel::Adapter,
        ) -> Result<Vec<crate::kernel::Variant>> {
            Ok(vec![])
        }
    }

    impl Op for SquareGrad {
        fn name(&self) -> &'static str {
            "square_grad"
        }
        fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
            Ok(inputs[..1].to_vec())
        }
        fn reference(&self, io: &mut Arrays<'_>) {
            let both = io.inputs[0].data.iter().zip(&io.inputs[1].data);
            for (y, (grad, x)) in io.outputs[0].data.iter_mut().zip(both) {
                *y = grad * (2.0 * x + self.0);
            }
        }
        fn cpu(&self, _: &mut CpuTensors<'_>) {}
        fn gpu(
            &self,
            _: &Types,
            _: &crate::kernel::Adapter,
        ) -> Result<Vec<crate::kernel::Variant>> {
            Ok(vec![])
        }
    }

    fn case(error: f32, slip: f64) -> Case {
        let inputs = vec![Draw::new(5).normal([3, 7])];
        Case::new("distinct extents", Square { error, slip }, inputs).differentiable([0])
    }

    #[test]
    fn right_ops_pass() {
        assert_eq!(parity(&case(0.0, 0.0), &Device::cpu()).unwrap(), ["cpu"]);
        assert_eq!(gradients(&case(0.0, 0.0)).unwrap(), Compared { elements: 12, kinks: 0 });
    }

    #[test]
    fn wrong_ops_are_named() {
        let message = parity(&case(1e-3, 0.0), &Device::cpu()).unwrap_err().to_string();
        assert!(message.starts_with("cpu: square (distinct extents): output 0"), "{message}");
        let message = gradients(&case(0.0, 1e-3)).unwrap_err().to_string();
        assert!(message.contains("the gradient of input 0: element"), "{message}");
    }
}
