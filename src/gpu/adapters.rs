//! The adapters of this machine: what they are, what they offer, and which one a name means.

use crate::error::{Error, Result};
use crate::kernel::{Adapter, AdapterKind};

/// An adapter before it is opened.
pub struct Found {
    pub(super) adapter: wgpu::Adapter,
    /// What the driver says of it.
    pub info: AdapterReport,
}

/// What an adapter offers, in the words of `gabor devices`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AdapterReport {
    /// The name that selects it: `gpu:` and its number.
    pub selector: String,
    /// The adapter's name.
    pub name: String,
    /// `discrete`, `integrated`, `software` or `other`.
    pub kind: &'static str,
    /// `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Whether shaders may use half precision.
    pub f16: bool,
    /// The smallest and largest subgroup, where shaders may use them.
    pub subgroups: Option<(u32, u32)>,
    /// Whether the adapter multiplies matrices in hardware.
    pub cooperative_matrix: bool,
    /// Whether kernels can be timed on the device.
    pub timestamps: bool,
    /// The largest storage binding, in bytes: larger tensors are bound in parts.
    pub max_binding_bytes: u64,
    /// The largest buffer, in bytes: no single tensor may be larger.
    pub max_buffer_bytes: u64,
    /// Workgroup memory, in bytes.
    pub workgroup_memory: u32,
    /// The largest number of workgroups along an axis.
    pub max_groups: u32,
}

/// All adapters, real GPUs first.
pub async fn enumerate() -> Vec<Found> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    adapters.sort_by_key(|adapter| match kind(&adapter.get_info()) {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Other => 2,
        AdapterKind::Software => 3,
    });
    let found = adapters.into_iter().enumerate();
    found.map(|(i, adapter)| Found { info: report(i, &adapter), adapter }).collect()
}

/// The adapter that `selector` means: empty for the best, a number, or a part of a name.
///
/// Errors where there is none, with those that exist.
pub async fn select(selector: &str) -> Result<Found> {
    let mut found = enumerate().await;
    let position = if selector.is_empty() {
        (!found.is_empty()).then_some(0)
    } else if let Ok(number) = selector.parse::<usize>() {
        (number < found.len()).then_some(number)
    } else {
        let wanted = selector.to_lowercase();
        found.iter().position(|f| f.info.name.to_lowercase().contains(&wanted))
    };
    match position {
        Some(position) => Ok(found.swap_remove(position)),
        None => Err(Error::NoAdapter {
            wanted: if selector.is_empty() { "gpu".into() } else { format!("gpu:{selector}") },
            found: found.iter().map(|f| format!("{} ({})", f.info.selector, f.info.name)).collect(),
            remedy: "use `cpu`, or install a Vulkan driver (on Debian and Ubuntu, in software: \
                     mesa-vulkan-drivers)",
        }),
    }
}

fn kind(info: &wgpu::AdapterInfo) -> AdapterKind {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => AdapterKind::Other,
    }
}

fn report(index: usize, adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    let (features, limits) = (adapter.features(), adapter.limits());
    let subgroups = features.contains(wgpu::Features::SUBGROUP);
    AdapterReport {
        selector: format!("gpu:{index}"),
        kind: match kind(&info) {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Software => "software",
            AdapterKind::Other => "other",
        },
        backend: info.backend.to_str().to_owned(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        cooperative_matrix: features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_groups: limits.max_compute_workgroups_per_dimension,
        name: info.name,
    }
}

/// The facts that kernels are chosen by, for a device opened with these features and limits.
pub(super) fn describe(
    adapter: &wgpu::Adapter,
    features: wgpu::Features,
    limits: &wgpu::Limits,
) -> Adapter {
    let info = adapter.get_info();
    let subgroups = features.contains(wgpu::Features::SUBGROUP);
    Adapter {
        kind: kind(&info),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_groups: limits.max_compute_workgroups_per_dimension,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        f16: features.contains(wgpu::Features::SHADER_F16),
        name: info.name,
    }
}
