//! What the integration tests share: devices, and the variants of ops on them.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::{Arc, OnceLock};

use gabor::device::Device;
use gabor::gpu::GpuOptions;
use gabor::graph::{Graph, Plan, Target};
use gabor::kernel::AdapterKind;
use gabor::ops::case::{Case, oracle};
use gabor::ops::elementwise::Cast;
use gabor::ops::{Emit, Types};
use gabor::session::Session;
use gabor::tensor::{DType, Tensor, TensorType};

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

/// The adapter taken for a discrete GPU: with the kernels and the way of the data of one.
pub fn discrete_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let options = GpuOptions { kind: Some(AdapterKind::Discrete), ..Default::default() };
    DEVICE.get_or_init(|| gpu_with(options)).clone()
}

/// The adapter with run-time checks in every shader.
pub fn checked_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE.get_or_init(|| gpu_with(GpuOptions { checked: true, ..Default::default() })).clone()
}

/// The adapter with every kernel loading from textures what may be loaded from there.
pub fn texel_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let options = GpuOptions { texels_from: Some(1), ..Default::default() };
    DEVICE.get_or_init(|| gpu_with(options)).clone()
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

/// Whether a device has what the types of a case need.
pub fn can_run(case: &Case, device: &Device) -> bool {
    let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
    match device.target() {
        Target::Gpu(adapter) if !adapter.f16 => types.outputs.iter().all(|t| t.dtype != DType::F16),
        Target::Gpu(_) | Target::Cpu => true,
    }
}

/// The types of a case with every input in half precision that may be, or `None` where none may.
pub fn halved(case: &Case) -> Option<Types> {
    let half = case.op.half();
    let mut types = case.input_types();
    let is_float = |ty: &TensorType| ty.dtype == DType::F32;
    let halves = types.iter_mut().enumerate().filter(|(i, ty)| half.takes(*i) && is_float(ty));
    let count = halves.map(|(_, ty)| ty.dtype = DType::F16).count();
    (count > 0).then(|| Types::infer(case.op.as_ref(), types).unwrap())
}

/// The names of the variants that a device offers for a case; empty on the CPU.
pub fn variants(case: &Case, device: &Device) -> Vec<String> {
    let Target::Gpu(adapter) = device.target() else { return vec![] };
    let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
    let variants =
        case.op.variants(&types, &adapter).unwrap_or_else(|e| panic!("{}: {e}", case.label));
    assert!(!variants.is_empty(), "{} {}: no variant", case.op.name(), case.label);
    variants.iter().map(|v| v.name.to_owned()).collect()
}

/// The tensor in half precision, as the oracle rounds it.
pub fn rounded(tensor: &Tensor) -> Tensor {
    let halves = oracle(&Cast { to: DType::F16 }, std::slice::from_ref(tensor)).unwrap().remove(0);
    Tensor::f32(halves.shape, halves.data.iter().map(|&x| x as f32).collect()).unwrap()
}

/// The case with every input in half precision that may be, and its types, or `None` where none may.
pub fn in_half(case: &Case) -> Option<(Case, Types)> {
    let (mut case, types) = (case.clone(), halved(case)?);
    let halves = case.inputs.iter_mut().zip(&types.inputs).filter(|(_, ty)| ty.dtype == DType::F16);
    halves.for_each(|(tensor, _)| *tensor = rounded(tensor));
    Some((case, types))
}

/// The op alone on inputs of these types, with the variant of this name.
pub fn run(case: &Case, types: &Types, device: &Device, variant: Option<&str>) -> Vec<Tensor> {
    let mut graph = Graph::new();
    let names: Vec<_> = (0..case.inputs.len()).map(|i| format!("in{i}")).collect();
    let inputs: Vec<_> = names
        .iter()
        .zip(&types.inputs)
        .map(|(n, ty)| graph.input(n, ty.clone()).unwrap())
        .collect();
    for (i, value) in graph.emit(Arc::clone(&case.op), &inputs).unwrap().into_iter().enumerate() {
        graph.output(format!("out{i}"), value).unwrap();
    }
    let plan = Plan::choosing(&graph, &device.target(), &|_, _, variants| {
        Ok(variants.into_iter().find(|v| variant.is_none_or(|name| v.name == name)).unwrap())
    });
    let mut session = Session::new(device);
    let mut program = session.load(plan.unwrap()).unwrap();
    let inputs: Vec<_> = names.iter().map(String::as_str).zip(&case.inputs).collect();
    let outputs = session.run(&mut program, &inputs).unwrap();
    outputs.iter().map(|(_, tensor)| tensor.clone()).collect()
}
