//! What the integration tests share: devices, and one op on a device against its oracle.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::OnceLock;

use gabor::device::Device;
use gabor::gpu::GpuOptions;
use gabor::graph::{Graph, Plan, Target};
use gabor::kernel::Variant;
use gabor::ops::case::{Case, oracle};
use gabor::ops::{Op, Types};
use gabor::session::Session;
use gabor::tensor::{Data, Tensor};
use gabor::tolerance::Tolerance;

/// An adapter opened with these options. Without one the test says so, loudly, and has checked
/// nothing; with `GABOR_REQUIRE_GPU=1` it fails.
pub fn gpu_with(options: GpuOptions) -> Option<Device> {
    match pollster::block_on(Device::gpu_with("", options)) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("GABOR_REQUIRE_GPU").is_some_and(|v| v == "1") => {
            panic!("GABOR_REQUIRE_GPU=1 and {error}")
        }
        Err(error) => {
            eprintln!("\n*** NOT TESTED ON A GPU: {error} ***\n");
            None
        }
    }
}

/// The adapter under exactly the limits that WebGPU guarantees.
pub fn gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE
        .get_or_init(|| gpu_with(GpuOptions { webgpu_limits: true, ..Default::default() }))
        .clone()
}

/// The adapter with all that it offers.
pub fn full_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE.get_or_init(|| gpu_with(GpuOptions::default())).clone()
}

/// The adapter with run-time checks in every shader.
pub fn checked_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE.get_or_init(|| gpu_with(GpuOptions { checked: true, ..Default::default() })).clone()
}

/// An adapter that binds 16 KiB at most and runs 64 workgroups along an axis at most, so that small
/// tensors meet the limits that large ones meet elsewhere.
pub fn tiny_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let options = GpuOptions {
        webgpu_limits: true,
        max_binding_bytes: Some(16 << 10),
        max_groups: Some(64),
        ..Default::default()
    };
    DEVICE.get_or_init(|| gpu_with(options)).clone()
}

/// The graph of a case: its inputs, its op, its outputs.
pub fn graph(case: &Case) -> Graph {
    let mut graph = Graph::new();
    let inputs: Vec<_> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(i, t)| graph.input(format!("in{i}"), t.ty()).unwrap())
        .collect();
    let outputs = gabor::ops::Emit::emit(&mut graph, case.op.clone(), &inputs).unwrap();
    for (i, &value) in outputs.iter().enumerate() {
        graph.output(format!("out{i}"), value).unwrap();
    }
    graph
}

/// The names of the variants that a device offers for a case; empty on the CPU.
pub fn variants(case: &Case, device: &Device) -> Vec<String> {
    let Target::Gpu(adapter) = device.target() else { return vec![] };
    let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
    let variants = case.op.gpu(&types, &adapter).unwrap_or_else(|e| panic!("{}: {e}", case.label));
    assert!(!variants.is_empty(), "{} {}: no variant", case.op.name(), case.label);
    variants.iter().map(|v| v.name.to_owned()).collect()
}

/// Runs a case with the variant of this name, or the device's own choice.
pub fn run(
    case: &Case,
    device: &Device,
    variant: Option<&str>,
) -> gabor::error::Result<Vec<Tensor>> {
    let pick = |_: &dyn Op, variants: Vec<Variant>| {
        let found = variants.into_iter().find(|v| variant.is_none_or(|name| v.name == name));
        found.ok_or_else(|| gabor::error::Error::Usage("no such variant".into()))
    };
    let plan = Plan::choosing(&graph(case), &device.target(), &pick)?;
    let mut session = Session::new(device);
    let mut program = session.load(plan)?;
    let names: Vec<_> = (0..case.inputs.len()).map(|i| format!("in{i}")).collect();
    let inputs: Vec<_> = names.iter().map(String::as_str).zip(&case.inputs).collect();
    let outputs = session.run(&mut program, &inputs)?;
    Ok(outputs.iter().map(|(_, tensor)| tensor.clone()).collect())
}

/// Compares outputs with the oracle: unsigned ones exactly, others within the op's tolerance.
pub fn compare(case: &Case, outputs: &[Tensor]) -> Result<(), String> {
    let expected = oracle(case.op.as_ref(), &case.inputs).unwrap();
    let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
    let tolerance = Tolerance::single(case.op.reduction(&types));
    assert_eq!(outputs.len(), expected.len());
    for (i, (actual, expected)) in outputs.iter().zip(&expected).enumerate() {
        let checked = match actual.data() {
            Data::F32(v) => tolerance.check(v.iter().map(|&x| f64::from(x)), &expected.data),
            Data::U32(v) => {
                let wrong = v.iter().zip(&expected.data).position(|(&x, &r)| f64::from(x) != r);
                wrong.map_or(Ok(()), |i| {
                    Err(format!("element {i} is {}, expected {}", v[i], expected.data[i]))
                })
            }
        };
        checked.map_err(|e| format!("{} ({}): output {i}: {e}", case.op.name(), case.label))?;
    }
    Ok(())
}
