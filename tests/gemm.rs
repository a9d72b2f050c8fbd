//! The GPU's matrix product as other ops use it: strides, offsets, bias, accumulation, and kernels
//! that the adapter at hand would not choose.

mod common;

use gabor::device::Device;
use gabor::error::Result;
use gabor::graph::Target;
use gabor::kernel::{Adapter, AdapterKind, Operand, Variant};
use gabor::ops::case::{Case, Draw, agrees, oracle};
use gabor::ops::gemm::gpu::{Bias, BiasAxis, Problem, Stored};
use gabor::ops::gemm::{Linear, LinearGradInput, LinearGradWeight};
use gabor::ops::{Arrays, CpuTensors, Half, Op, Types};
use gabor::tensor::TensorType;

/// Inputs: a, b, bias, c, each a flat tensor that `problem` reads in its own way. Output: c.
#[derive(Clone, Debug)]
struct Product {
    problem: Problem,
    /// The kind of adapter to choose kernels for.
    kind: AdapterKind,
}

/// Element `(i, j)` of batch member `s`.
fn place(x: &Stored, s: usize, i: usize, j: usize) -> usize {
    let within = if x.transposed { j * x.ld + i } else { i * x.ld + j };
    x.offset + s * x.stride + within
}

impl Op for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[3].clone()])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(3, 0)]
    }

    fn half(&self) -> Half {
        Half::taken(&[0, 1], &[])
    }

    fn reduction(&self, _: &Types) -> usize {
        self.problem.k + 2
    }

    fn reference(&self, io: &mut Arrays<'_>) {
        let p = &self.problem;
        let [a, b, bias, before] = io.inputs else { unreachable!() };
        let c = &mut io.outputs[0].data;
        c.copy_from_slice(&before.data);
        for s in 0..p.batch {
            for i in 0..p.m {
                for j in 0..p.n {
                    let at = place(&p.c, s, i, j);
                    let mut sum = if p.accumulate { before.data[at] } else { 0.0 };
                    for l in 0..p.k {
                        sum += a.data[place(&p.a, s, i, l)] * b.data[place(&p.b, s, l, j)];
                    }
                    sum += match p.bias {
                        None => 0.0,
                        Some(Bias { offset, axis: BiasAxis::Row, .. }) => bias.data[offset + i],
                        Some(Bias { offset, axis: BiasAxis::Column, .. }) => bias.data[offset + j],
                    };
                    c[at] = if p.relu { sum.max(0.0) } else { sum };
                }
            }
        }
    }

    fn cpu(&self, _: &mut CpuTensors<'_>) {
        unreachable!("run on GPUs only");
    }

    fn gpu(&self, _: &Types, adapter: &Adapter) -> Result<Vec<Variant>> {
        self.problem.variants(&Adapter { kind: self.kind, ..adapter.clone() })
    }
}

/// A matrix of a batch somewhere in a tensor, with gaps, and the tensor's length.
fn stored(
    draw: &mut Draw,
    operand: Operand,
    [rows, columns]: [usize; 2],
    batch: usize,
    may_share: bool,
) -> (Stored, usize) {
    let transposed = draw.flip();
    let [rows, columns] = if transposed { [columns, rows] } else { [rows, columns] };
    let (is_dense, is_shared) = (draw.flip(), may_share && draw.flip());
    let mut gap = |high| if is_dense { 0 } else { draw.size(0, high) };
    let ld = columns + gap(5);
    let stride = if is_shared { 0 } else { rows * ld + gap(70) };
    let offset = gap(150);
    let matrix = Stored::rows(operand, ld).transposed_if(transposed).batched(stride).at(offset);
    let end = offset + (batch - 1) * stride + (rows - 1) * ld + columns;
    (matrix, end + gap(9))
}

fn random_case(draw: &mut Draw, kind: AdapterKind) -> Case {
    let batch = if draw.flip() { 1 } else { draw.size(2, 3) };
    let [m, n] = [draw.pick(&[1, 3, 17, 40, 133]), draw.pick(&[1, 4, 19, 40, 131])];
    let k = draw.pick(&[1, 6, 35, 64, 300]);
    let (a, len_a) = stored(draw, Operand::Input(0), [m, k], batch, true);
    let (b, len_b) = stored(draw, Operand::Input(1), [k, n], batch, true);
    let (c, len_c) = stored(draw, Operand::Output(0), [m, n], batch, false);
    let axis = if draw.flip() { BiasAxis::Row } else { BiasAxis::Column };
    let bias = Bias { operand: Operand::Input(2), offset: draw.size(0, 100), axis };
    let problem = Problem {
        accumulate: draw.flip(),
        relu: draw.flip(),
        bias: draw.flip().then_some(bias),
        ..Problem::new([m, n, k], a, b, c).batch(batch)
    };
    let inputs = [len_a, len_b, bias.offset + m.max(n), len_c].map(|len| draw.normal([len]));
    Case::new(format!("{problem:?} on {kind:?}"), Product { problem, kind }, inputs.into())
}

/// Products whose factors are in half precision: all kernels that may have them, and those on cooperative
/// matrices, which are for such alone.
#[test]
fn products_of_halves() {
    let Some(device) = common::full_gpu() else { return };
    let Target::Gpu(adapter) = device.target() else { return };
    if !adapter.f16 {
        eprintln!("\n*** NOT TESTED IN HALF PRECISION: {} has none ***\n", adapter.name);
        return;
    }
    let mut draw = Draw::new(5);
    for _ in 0..8 {
        let case = random_case(&mut draw, AdapterKind::Discrete);
        let (case, types) = common::in_half(&case).unwrap();
        let expected = oracle(case.op.as_ref(), &case.inputs).unwrap();
        let variants = case.op.variants(&types, &adapter).unwrap();
        let has = |name: &str| variants.iter().any(|v| v.name == name);
        assert_eq!(has("cooperative"), adapter.cooperative.half.is_some(), "{adapter:?}");
        for variant in &variants {
            let outputs = common::run(&case, &types, &device, Some(variant.name));
            let tolerance = case.op.tolerance(&types, Some(variant.name));
            agrees(&outputs[0], &expected[0].data, tolerance)
                .unwrap_or_else(|e| panic!("{} {}: {e}", variant.name, case.label));
        }
    }
}

fn check(case: &Case, device: &Device) {
    for variant in common::variants(case, device) {
        let outputs = gabor::check::run(case, device, Some(&variant));
        let outcome = outputs.and_then(|o| gabor::check::compare(case, &o, Some(&variant)));
        outcome.unwrap_or_else(|e| panic!("{variant}: {e}"));
    }
}

/// Software adapters are given one set of kernels and all others another: both run here.
fn random_products(device: Option<Device>, seed: u64, count: usize) {
    let Some(device) = device else { return };
    let mut draw = Draw::new(seed);
    for i in 0..count {
        let kind = if i % 2 == 0 { AdapterKind::Software } else { AdapterKind::Discrete };
        check(&random_case(&mut draw, kind), &device);
    }
}

#[test]
fn products_from_anywhere_to_anywhere() {
    random_products(common::full_gpu(), 1, 12);
}

/// More rows of tiles than are taken together: see `shaders/lib/swizzle.wgsl`.
#[test]
fn products_of_many_tiles() {
    let Some(device) = common::full_gpu() else { return };
    let mut draw = Draw::new(6);
    let [m, n, k] = [1190, 150, 5];
    let [a, b, c] = [(Operand::Input(0), k), (Operand::Input(1), n), (Operand::Output(0), n)]
        .map(|(o, ld)| Stored::rows(o, ld));
    let problem = Problem::new([m, n, k], a, b, c);
    let inputs = [m * k, k * n, 1, m * n].map(|len| draw.normal([len]));
    for kind in [AdapterKind::Software, AdapterKind::Discrete] {
        let case = Case::new("many tiles", Product { problem, kind }, inputs.clone().into());
        check(&case, &device);
    }
}

#[test]
fn products_without_subgroups() {
    random_products(common::gpu(), 2, 8);
}

#[test]
fn products_cut_to_small_bindings_and_grids() {
    random_products(common::tiny_gpu(), 3, 16);
}

/// The first fully connected layer of AlexNet has a weight of 151 MB, more than a binding of
/// WebGPU's guaranteed 128 MiB holds.
#[test]
fn layers_larger_than_a_binding() {
    let Some(device) = common::gpu() else { return };
    let mut draw = Draw::new(4);
    let x = draw.normal([2, 9216]);
    let weight = draw.normal([4096, 9216]);
    let grad = draw.normal([2, 4096]);
    let bias = draw.normal([4096]);
    let grad_input = LinearGradInput { input: [2, 9216].into() };
    check(&Case::new("fc6", grad_input, vec![grad.clone(), weight.clone()]), &device);
    check(&Case::new("fc6", LinearGradWeight, vec![x.clone(), grad]), &device);
    check(&Case::new("fc6", Linear, vec![x, weight, bias]), &device);
}
