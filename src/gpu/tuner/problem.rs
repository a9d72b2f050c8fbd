//! An op on random inputs, with what must come out.

use std::sync::Arc;
use std::time::Instant;

use crate::cpu::{CpuProgram, CpuStates};
use crate::error::{Error, Result};
use crate::gpu::{GpuEngine, GpuProgram, GpuStates};
use crate::graph::{Graph, Initial, Plan, Target};
use crate::ops::case::{Draw, agrees, oracle};
use crate::ops::{Emit, Op, Types};
use crate::tensor::{DType, Tensor, TensorType, to_half};
use crate::tolerance::Tolerance;

/// An op on random inputs that lie on the device as states, with the outputs that it must have.
pub(super) struct Problem {
    graph: Graph,
    outputs: usize,
    expected: Vec<Vec<f64>>,
    reference: Reference,
}

/// What is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// The op's oracle, in double precision and slow.
    Oracle,
    /// The CPU engine.
    Cpu,
}

impl Problem {
    /// Draws the inputs, uniform in -3 to 3, and computes what must come out.
    ///
    /// Errors where that is not finite, whatever is put in.
    pub(super) fn new(op: &Arc<dyn Op>, types: &Types, reference: Reference) -> Result<Self> {
        // Some ops read variances and the like, which are positive.
        for low in [-3.0, 0.5] {
            let inputs = draw(types, low);
            let graph = graph(op, types, &inputs)?;
            let expected = match reference {
                Reference::Oracle => doubles(op, &inputs)?,
                Reference::Cpu => on_cpu(&graph)?,
            };
            if expected.iter().flatten().all(|x| x.is_finite()) {
                return Ok(Problem { graph, outputs: types.outputs.len(), expected, reference });
            }
        }
        Err(Error::Usage("random inputs give no finite result".into()))
    }

    /// Runs the variant of this name.
    ///
    /// Errors where it fails, or an output is wrong.
    pub(super) fn check(&self, engine: &GpuEngine, variant: &str) -> Result<()> {
        let plan = self.plan(engine, variant)?;
        let mut program = GpuProgram::new(engine, plan, &mut GpuStates::default())?;
        let outputs = pollster::block_on(async { program.run(&[]).await?.finish().await })?;
        if outputs.len() != self.outputs {
            return Err(Error::Usage(format!("{} outputs came back", outputs.len())));
        }
        let (tolerance, types) = self.tolerance(Some(variant))?;
        for (((name, output), expected), ty) in outputs.iter().zip(&self.expected).zip(types) {
            let tolerance = match ty.dtype {
                DType::F16 => tolerance.stored_as_half(),
                DType::F32 | DType::U32 => tolerance,
            };
            agrees(output, expected, tolerance)
                .map_err(|problem| Error::Usage(format!("its {name} is wrong: {problem}")))?;
        }
        Ok(())
    }

    /// Loads the variant of this name, to be run `repeats` times in a row with nothing read back.
    pub(super) fn load(&self, engine: &GpuEngine, variant: &str, repeats: usize) -> Result<Clock> {
        let mut plan = self.plan(engine, variant)?;
        plan.outputs.clear();
        plan.steps = vec![plan.steps; repeats].concat();
        let program = GpuProgram::new(engine, plan, &mut GpuStates::default())?;
        Ok(Clock { program, repeats })
    }

    /// Whether the op has a variant of this name for these inputs.
    pub(super) fn offers(&self, engine: &GpuEngine, variant: &str) -> Result<bool> {
        let [node] = self.graph.nodes() else { return Ok(false) };
        let variants = node.op.variants(&node.types, engine.adapter())?;
        Ok(variants.iter().any(|v| v.name == variant))
    }

    /// The tolerance, and the types of the outputs.
    fn tolerance(&self, variant: Option<&str>) -> Result<(Tolerance, &[TensorType])> {
        let [node] = self.graph.nodes() else {
            return Err(Error::Usage("an op alone is one node".into()));
        };
        let tolerance = node.op.tolerance(&node.types, variant);
        let tolerance = match self.reference {
            Reference::Oracle => tolerance,
            // Both may be off by the tolerance.
            Reference::Cpu => tolerance.times(2.0),
        };
        Ok((tolerance, &node.types.outputs))
    }

    fn plan(&self, engine: &GpuEngine, variant: &str) -> Result<Plan> {
        let target = Target::Gpu(engine.adapter().clone());
        Plan::choosing(&self.graph, &target, &|_, _, variants| {
            let known: Vec<_> = variants.iter().map(|v| v.name).collect();
            let found = variants.into_iter().find(|v| v.name == variant);
            found.ok_or_else(|| Error::unknown("kernel", variant, known))
        })
    }
}

/// A loaded variant.
pub(super) struct Clock {
    program: GpuProgram,
    repeats: usize,
}

impl Clock {
    /// The seconds that one run takes, of those in a row.
    ///
    /// Errors where the device fails.
    pub(super) fn seconds(&mut self) -> Result<f64> {
        let start = Instant::now();
        pollster::block_on(async { self.program.run(&[]).await?.finish().await })?;
        Ok(start.elapsed().as_secs_f64() / self.repeats as f64)
    }
}

/// The same op with fewer items along the first axis, `work` operations or less: of all inputs that
/// are as long there as the first, as a batch is, or of the first alone. None where the op takes
/// neither.
pub(super) fn cut(op: &dyn Op, types: &Types, work: u64) -> Option<Types> {
    let items = *types.inputs.first()?.dims().first()?;
    let share = work as f64 / operations(op, types) as f64;
    let fewer = ((items as f64 * share) as usize).max(1);
    let with_cut = |is_cut: &dyn Fn(usize) -> bool| {
        let mut inputs = types.inputs.clone();
        for (i, input) in inputs.iter_mut().enumerate() {
            let mut dims = input.dims().to_vec();
            if dims.first() == Some(&items) && is_cut(i) {
                dims[0] = fewer;
                input.shape = dims.into();
            }
        }
        let types = Types::infer(op, inputs).ok()?;
        (operations(op, &types) <= work).then_some(types)
    };
    with_cut(&|_| true).or_else(|| with_cut(&|i| i == 0))
}

/// The arithmetic of an op, or its elements where there is little.
pub(super) fn operations(op: &dyn Op, types: &Types) -> u64 {
    let elements: usize = types.inputs.iter().chain(&types.outputs).map(|ty| ty.elements()).sum();
    op.cost(types).flops.max(elements as u64)
}

/// Random inputs, uniform in `low` to 3. Unsigned ones are classes, indices and the like, which are
/// below some extent: they are drawn below the smallest.
fn draw(types: &Types, low: f32) -> Vec<Tensor> {
    let all = types.inputs.iter().chain(&types.outputs);
    let smallest = all.flat_map(|ty| ty.dims()).min().copied().unwrap_or(1);
    let mut draw = Draw::new(0x74_756e65);
    let inputs = types.inputs.iter().map(|ty| match ty.dtype {
        DType::F32 => draw.uniform(ty.shape.clone(), low, 3.0),
        DType::F16 => {
            let values = draw.uniform(ty.shape.clone(), low, 3.0).into_f32();
            let halves = values.into_iter().map(|x| to_half(x).to_f32()).collect();
            Tensor::f32(ty.shape.clone(), halves).unwrap_or_else(|_| Tensor::zeros(ty))
        }
        DType::U32 => {
            let words = draw.labels(ty.elements(), smallest).into_u32();
            Tensor::u32(ty.shape.clone(), words).unwrap_or_else(|_| Tensor::zeros(ty))
        }
    });
    inputs.collect()
}

/// The op on states. One that works in place does so on the state.
fn graph(op: &Arc<dyn Op>, types: &Types, inputs: &[Tensor]) -> Result<Graph> {
    let mut graph = Graph::new();
    let states = types.inputs.iter().zip(inputs.iter().cloned()).enumerate();
    let states: Result<Vec<_>> = states
        .map(|(i, (ty, tensor))| {
            let initial = Initial::lazy(ty.clone(), move || tensor.clone());
            graph.state(format!("input {i}"), initial)
        })
        .collect();
    let states = states?;
    let outputs = graph.emit(op.clone(), &states)?;
    for (o, &output) in outputs.iter().enumerate() {
        graph.output(format!("output {o}"), output)?;
        if let Some(&(i, _)) = op.in_place().iter().find(|&&(_, out)| out == o) {
            graph.update(states[i], output)?;
        }
    }
    Ok(graph)
}

fn doubles(op: &Arc<dyn Op>, inputs: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    Ok(oracle(op.as_ref(), inputs)?.into_iter().map(|array| array.data).collect())
}

fn on_cpu(graph: &Graph) -> Result<Vec<Vec<f64>>> {
    let mut states = CpuStates::default();
    let mut program = CpuProgram::new(Plan::new(graph, &Target::Cpu)?, &mut states)?;
    let outputs = program.run(&mut states, &[])?;
    Ok(outputs.iter().map(|(_, tensor)| crate::ops::Array::from(tensor).data).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gemm::{Linear, MatMul};
    use crate::ops::softmax::SoftmaxCrossEntropy;

    #[test]
    fn batches_are_cut_and_all_else_stays() {
        let infer = |op: &dyn Op, inputs: &[TensorType]| Types::infer(op, inputs.to_vec()).unwrap();
        let square = TensorType::f32([64, 64]);
        let product = infer(&MatMul::default(), &[square.clone(), square]);
        let less = cut(&MatMul::default(), &product, 1 << 17).unwrap();
        assert_eq!((less.input(0), less.input(1)), (&[16, 64][..], &[64, 64][..]));
        let inputs = [TensorType::f32([6, 9]), TensorType::u32([6])];
        let loss = infer(&SoftmaxCrossEntropy, &inputs);
        let less = cut(&SoftmaxCrossEntropy, &loss, operations(&SoftmaxCrossEntropy, &loss) / 2);
        assert_eq!(less.unwrap().inputs, [TensorType::f32([3, 9]), TensorType::u32([3])]);
        assert!(cut(&MatMul::default(), &product, 5).is_none());
    }

    #[test]
    fn inputs_are_random_and_valid() {
        let types = [TensorType::f32([30, 7]), TensorType::u32([30])];
        let types = Types::infer(&SoftmaxCrossEntropy, types.to_vec()).unwrap();
        let inputs = draw(&types, -3.0);
        let labels = inputs[1].as_u32().unwrap();
        assert!(labels.iter().all(|&label| label < 7));
        let values = inputs[0].as_f32().unwrap();
        assert!(values.iter().any(|&x| x < -2.0) && values.iter().any(|&x| x > 2.0));
        assert_eq!(draw(&types, -3.0), inputs);
    }

    #[test]
    fn both_references_agree() {
        let op: Arc<dyn Op> = Arc::new(Linear);
        let inputs = [[5, 33].into(), [7, 33].into(), [7].into()]
            .map(|shape: crate::tensor::Shape| TensorType::f32(shape));
        let types = Types::infer(op.as_ref(), inputs.to_vec()).unwrap();
        let [oracle, cpu] = [Reference::Oracle, Reference::Cpu]
            .map(|reference| Problem::new(&op, &types, reference).unwrap());
        for (a, b) in oracle.expected.iter().zip(&cpu.expected) {
            cpu.tolerance(None).unwrap().0.check(b.iter().copied(), a).unwrap();
        }
    }
}
