//! The adapters of this machine: what they are, what they offer, and which one a name means.

use crate::error::{Error, Result};
use crate::kernel::{Adapter, AdapterKind, Cooperative};

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
    /// The matrices that a subgroup multiplies as one, in the driver's words.
    pub cooperative: Vec<String>,
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
        kind: kind(&info).name(),
        backend: info.backend.to_str().to_owned(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        cooperative: cooperative_sizes(adapter),
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
        cooperative: cooperative(adapter, features),
        name: info.name,
    }
}

/// The square matrices with sums in single precision among those that the adapter multiplies as one: the
/// largest where there are several, and none where kernels may not have them.
fn cooperative(adapter: &wgpu::Adapter, features: wgpu::Features) -> Cooperative {
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SUBGROUP;
    if !features.contains(needed) {
        return Cooperative::default();
    }
    let sizes = adapter.cooperative_matrix_properties();
    let largest = |factor| {
        let fits = |p: &&wgpu::CooperativeMatrixProperties| {
            let is_square = p.m_size == p.n_size && p.n_size == p.k_size;
            is_square && p.ab_type == factor && p.cr_type == wgpu::CooperativeScalarType::F32
        };
        sizes.iter().filter(fits).map(|p| p.m_size).max()
    };
    let has_halves = features.contains(wgpu::Features::SHADER_F16);
    Cooperative {
        half: largest(wgpu::CooperativeScalarType::F16).filter(|_| has_halves),
        single: largest(wgpu::CooperativeScalarType::F32).filter(|&side| side == 8),
    }
}

/// `M x N x K factors to sums` of each kind.
fn cooperative_sizes(adapter: &wgpu::Adapter) -> Vec<String> {
    let sizes = adapter.cooperative_matrix_properties();
    let name = |p: &wgpu::CooperativeMatrixProperties| {
        let (factor, sum) = (format!("{:?}", p.ab_type), format!("{:?}", p.cr_type));
        format!(
            "{}x{}x{} {} to {}",
            p.m_size,
            p.n_size,
            p.k_size,
            factor.to_lowercase(),
            sum.to_lowercase()
        )
    };
    let mut names: Vec<_> = sizes.iter().map(name).collect();
    names.dedup();
    names
}
