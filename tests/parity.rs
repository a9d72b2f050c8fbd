//! Every operation that can be called by name against PyTorch in f64: outputs and gradients of the
//! oracles, of the CPU engine and of a GPU. `tests/pytorch/ops.py` makes the fixture.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gabor::call::{self, Built};
use gabor::device::Device;
use gabor::graph::interpret;
use gabor::ops::{Array, registry};
use gabor::tensor::{DType, Tensor};
use gabor::tolerance::Tolerance;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A case of the fixture.
struct Case {
    op: String,
    attributes: Value,
    inputs: Vec<(String, Tensor)>,
    arriving: Vec<(String, Tensor)>,
    /// Outputs and gradients as PyTorch has them.
    expected: BTreeMap<String, Vec<f64>>,
}

fn doubles(bytes: &[u8], dtype: Dtype) -> Vec<f64> {
    match dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect(),
        Dtype::I32 => bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect(),
        other => panic!("a tensor of {other}"),
    }
}

fn tensor(shape: &[usize], values: &[f64], is_float: bool) -> Tensor {
    match is_float {
        true => Tensor::f32(shape, values.iter().map(|&x| x as f32).collect()).unwrap(),
        false => Tensor::u32(shape, values.iter().map(|&x| x as i32 as u32).collect()).unwrap(),
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch/ops.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let list = &metadata.metadata().as_ref().unwrap()["cases"];
    let list: Vec<Value> = serde_json::from_str(list).unwrap();
    let mut cases: Vec<_> = list
        .into_iter()
        .map(|case| Case {
            op: case["op"].as_str().unwrap().to_owned(),
            attributes: case["attributes"].clone(),
            inputs: vec![],
            arriving: vec![],
            expected: BTreeMap::new(),
        })
        .collect();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let (index, name) = name.split_once('/').unwrap();
        let case = &mut cases[index.parse::<usize>().unwrap()];
        let values = doubles(view.data(), view.dtype());
        let read = || tensor(view.shape(), &values, view.dtype() != Dtype::I32);
        if let Some(input) = name.strip_prefix("in/") {
            case.inputs.push((input.to_owned(), read()));
        } else if let Some(output) = name.strip_prefix("arriving/") {
            case.arriving.push((output.to_owned(), read()));
        } else {
            case.expected.insert(name.to_owned(), values);
        }
    }
    let filter = std::env::var("GABOR_OP").unwrap_or_default();
    cases.into_iter().filter(|case| case.op.contains(&filter)).collect()
}

impl Case {
    fn build(&self) -> Result<Built, String> {
        call::build(&self.op, &self.attributes, &self.inputs, &self.arriving)
            .map_err(|e| e.to_string())
    }

    /// The longest sum of any op, and the number of ops that rounding may pass through: those of the
    /// graph, and a gradient's own inputs once more.
    fn tolerance(&self) -> Tolerance {
        let built = self.build().unwrap();
        let nodes = built.graph.nodes();
        let terms = nodes.iter().map(|node| node.op.reduction(&node.types)).max().unwrap_or(1);
        Tolerance::single(terms).times(nodes.len() as f64 + 1.0)
    }

    /// Compares what gabor computed, by name, with what PyTorch did: nothing may be missing.
    fn compare(
        &self,
        computed: &BTreeMap<String, Vec<f64>>,
        tolerance: Tolerance,
    ) -> Result<(), String> {
        for (name, expected) in &self.expected {
            let found = computed.get(name).ok_or_else(|| format!("no `{name}`"))?;
            tolerance
                .check(found.iter().copied(), expected)
                .map_err(|problem| format!("`{name}`: {problem}"))?;
        }
        Ok(())
    }

    fn oracle(&self) -> Result<(), String> {
        let built = self.build()?;
        let mut bindings = gabor::graph::Bindings::new();
        for (name, tensor) in &self.inputs {
            bindings.insert(name.clone(), Array::from(tensor));
        }
        for (name, tensor) in &self.arriving {
            let name = format!("grad.{name}");
            let value = built.graph.find(&name).unwrap();
            let shape = built.graph.value(value).ty.shape.clone();
            bindings.insert(name, Array { shape, ..Array::from(tensor) });
        }
        let values = interpret(&built.graph, &bindings).map_err(|e| e.to_string())?;
        let computed = built.outputs.iter().map(|(name, v)| (name.clone(), values[v].data.clone()));
        // Both compute in f64; what is left is the order of their sums.
        self.compare(&computed.collect(), Tolerance::double())
    }

    fn run(&self, device: &Device) -> Result<(), String> {
        let outputs = call::run(&self.op, &self.attributes, &self.inputs, &self.arriving, device)
            .map_err(|e| e.to_string())?;
        let computed = outputs.into_iter().map(|(name, tensor)| {
            let values = match tensor.dtype() {
                DType::F32 | DType::F16 => {
                    tensor.as_f32().unwrap().iter().map(|&x| x.into()).collect()
                }
                DType::U32 => tensor.as_u32().unwrap().iter().map(|&x| x.into()).collect(),
            };
            (name, values)
        });
        self.compare(&computed.collect(), self.tolerance())
    }
}

fn all(what: &str, check: impl Fn(&Case) -> Result<(), String>) {
    let cases = cases();
    let failures: Vec<_> = cases
        .iter()
        .enumerate()
        .filter_map(|(i, case)| {
            let error = check(case).err()?;
            Some(format!("{i} {} {}: {error}", case.op, case.attributes))
        })
        .collect();
    let count = failures.len();
    assert!(count == 0, "{what}: {count} of {}:\n{}", cases.len(), failures.join("\n"));
}

#[test]
fn oracles_agree_with_pytorch() {
    all("oracles", Case::oracle);
}

#[test]
fn the_cpu_agrees_with_pytorch() {
    all("cpu", |case| case.run(&Device::cpu()));
}

#[test]
fn the_gpu_agrees_with_pytorch() {
    if let Some(device) = common::full_gpu() {
        all("gpu", |case| case.run(&device));
    }
}

/// Operations whose results are random or whose rules `optimizers.rs` follows over twenty steps.
const ELSEWHERE: &[&str] = &[
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "dropout",
    "dropout2d",
    "lars",
    "lion",
    "rmsprop",
    "sgd",
];

#[test]
fn every_operation_is_compared() {
    let compared: BTreeSet<_> = cases().into_iter().map(|case| case.op).collect();
    let missing: Vec<_> = registry::calls()
        .map(|call| call.name)
        .filter(|name| !compared.contains(*name) && !ELSEWHERE.contains(name))
        .collect();
    assert!(std::env::var_os("GABOR_OP").is_some() || missing.is_empty(), "{missing:?}");
    assert!(std::env::var_os("GABOR_OP").is_some() || cases().len() >= 300);
}
