//! An open device: everything on it is created here, and counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::adapters::{self, AdapterReport, Found};
use super::shader::{self, Pipeline};
use super::tuner::Tuner;
use crate::error::{Error, Result};
use crate::kernel::{Adapter, AdapterKind, Constant, Shader};

/// How a device is opened.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Ask for no more than WebGPU guarantees, and for no optional feature.
    pub webgpu_limits: bool,
    /// Keep the run-time checks (bounds, endless loops) in the crate's own shaders too.
    pub checked: bool,
    /// Copy what kernels read to textures, and let them load from there, from so many elements on. Without
    /// it from as many as are worth it on software adapters, and never on others.
    pub texels_from: Option<usize>,
    /// Bind no more than this many bytes at once, as if the adapter could not.
    pub max_binding_bytes: Option<u64>,
    /// Run no more than this many workgroups along an axis, as if the adapter could not.
    pub max_groups: Option<u32>,
    /// Choose kernels and the way of the data as for an adapter of this kind: what GPUs run can be run on a
    /// software adapter so, slowly.
    pub kind: Option<AdapterKind>,
}

/// How many objects of each kind have been created on a device since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Buffers and textures.
    pub buffers: u64,
    /// Bind groups.
    pub bind_groups: u64,
    /// Compute pipelines.
    pub pipelines: u64,
    /// Command buffers handed to the queue.
    pub submits: u64,
    /// Objects that the driver holds at this moment: buffers, bind groups and pipelines. Counts what
    /// wgpu creates on its own as well.
    pub alive: i64,
}

/// A shader, its constants, the bindings that are in half precision, and those loaded from textures.
type PipelineKey = (Shader, Vec<(&'static str, String)>, Vec<&'static str>, Vec<&'static str>);

/// An open GPU, with the choice of kernels that this handle to it makes.
#[derive(Clone)]
pub struct GpuEngine(Arc<Inner>, Option<Arc<Tuner>>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: Adapter,
    report: AdapterReport,
    /// What another device like this one is opened from.
    origin: (wgpu::Adapter, GpuOptions),
    /// The first thing that went wrong and was not expected anywhere. No result counts after it.
    failure: Arc<Mutex<Option<String>>>,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    buffers: AtomicU64,
    bind_groups: AtomicU64,
    created_pipelines: AtomicU64,
    submits: AtomicU64,
}

impl fmt::Debug for GpuEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuEngine").field("adapter", &self.0.adapter).finish_non_exhaustive()
    }
}

impl GpuEngine {
    /// Opens the adapter that `selector` means; see [`adapters::select`].
    ///
    /// Errors where there is none, or the driver refuses.
    pub async fn open(selector: &str, options: GpuOptions) -> Result<Self> {
        let found = adapters::select(selector).await?;
        GpuEngine::from_found(found, options).await
    }

    /// Opens an adapter.
    ///
    /// Errors where the driver refuses.
    pub async fn from_found(found: Found, options: GpuOptions) -> Result<Self> {
        let Found { adapter, info } = found;
        let offered = adapter.features();
        let (features, limits) = if options.webgpu_limits {
            (wgpu::Features::empty(), wgpu::Limits::defaults())
        } else {
            let wanted = wgpu::Features::SUBGROUP
                | wgpu::Features::SHADER_F16
                | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
                | wgpu::Features::TIMESTAMP_QUERY
                | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
            (offered & wanted, adapter.limits())
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("gabor"),
            required_features: features,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            experimental_features: experimental(features),
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| Error::Gpu { device: info.name.clone(), problem: one_line(&e) })?;
        let failure = Arc::new(Mutex::new(None));
        let record = |failure: &Arc<Mutex<Option<String>>>| {
            let failure = failure.clone();
            move |problem: String| {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem);
            }
        };
        let on_error = record(&failure);
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| on_error(one_line(&e))));
        let on_lost = record(&failure);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_lost(format!("the device was lost: {message}"));
            }
        });
        let mut facts = adapters::describe(&adapter, features, &limits);
        if let Some(bytes) = options.max_binding_bytes {
            facts.max_binding_bytes = bytes.min(facts.max_binding_bytes);
        }
        if let Some(groups) = options.max_groups {
            facts.max_groups = groups.min(facts.max_groups);
        }
        facts.kind = options.kind.unwrap_or(facts.kind);
        let inner = Inner {
            device,
            queue,
            adapter: facts,
            report: info,
            origin: (adapter, options),
            failure,
            pipelines: Mutex::default(),
            buffers: AtomicU64::new(0),
            bind_groups: AtomicU64::new(0),
            created_pipelines: AtomicU64::new(0),
            submits: AtomicU64::new(0),
        };
        Ok(GpuEngine(Arc::new(inner), None))
    }

    /// The facts that kernels are chosen by.
    pub fn adapter(&self) -> &Adapter {
        &self.0.adapter
    }

    /// What the adapter offers beyond.
    pub fn report(&self) -> &AdapterReport {
        &self.0.report
    }

    /// How much has been created so far.
    pub fn counters(&self) -> Counters {
        let hal = self.0.device.get_internal_counters().hal;
        let alive = hal.buffers.read() + hal.bind_groups.read() + hal.compute_pipelines.read();
        Counters {
            buffers: self.0.buffers.load(Ordering::Relaxed),
            bind_groups: self.0.bind_groups.load(Ordering::Relaxed),
            pipelines: self.0.created_pipelines.load(Ordering::Relaxed),
            submits: self.0.submits.load(Ordering::Relaxed),
            alive: alive as i64,
        }
    }

    /// Errors if anything has gone wrong on the device: no result may be trusted after that.
    pub fn check(&self) -> Result<()> {
        match &*self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(problem) => {
                Err(Error::Gpu { device: self.0.adapter.name.clone(), problem: problem.clone() })
            }
        }
    }

    /// Blocks until all submitted work is done. In a browser it returns at once.
    pub fn wait(&self) -> Result<()> {
        let polled = self.0.device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|e| self.error(&e))?;
        self.check()
    }

    pub(super) fn error(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::Gpu { device: self.0.adapter.name.clone(), problem: one_line(error) }
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    pub(super) fn is_checked(&self) -> bool {
        self.0.origin.1.checked
    }

    /// From how many elements on kernels load from copies in textures.
    pub(super) fn texels_from(&self) -> Option<usize> {
        let usual = self.adapter().is_software().then_some(super::texel_loads::LEAST_ELEMENTS);
        self.0.origin.1.texels_from.or(usual)
    }

    /// The textures that a kernel may load from.
    pub(super) fn most_textures(&self) -> usize {
        self.device().limits().max_storage_textures_per_shader_stage as usize
    }

    /// What this device was opened from.
    pub(super) fn origin(&self) -> &(wgpu::Adapter, GpuOptions) {
        &self.0.origin
    }

    pub(super) fn tuner(&self) -> Option<&Arc<Tuner>> {
        self.1.as_ref()
    }

    /// Another handle to this device.
    pub(super) fn with_tuner(&self, tuner: Option<Arc<Tuner>>) -> Self {
        GpuEngine(self.0.clone(), tuner)
    }

    pub(super) fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> wgpu::Buffer {
        self.0.buffers.fetch_add(1, Ordering::Relaxed);
        self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            // Whole binding alignments, so that kernels may take the last elements four at a time.
            size: bytes.max(4).next_multiple_of(256),
            usage,
            mapped_at_creation: mapped,
        })
    }

    pub(super) fn texture(&self, size: wgpu::Extent3d) -> wgpu::Texture {
        self.0.buffers.fetch_add(1, Ordering::Relaxed);
        self.0.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("texels"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: super::texels::FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })
    }

    pub(super) fn bind_group(&self, descriptor: &wgpu::BindGroupDescriptor<'_>) -> wgpu::BindGroup {
        self.0.bind_groups.fetch_add(1, Ordering::Relaxed);
        self.0.device.create_bind_group(descriptor)
    }

    pub(super) fn submit(&self, commands: wgpu::CommandBuffer) -> wgpu::SubmissionIndex {
        self.0.submits.fetch_add(1, Ordering::Relaxed);
        self.0.queue.submit([commands])
    }

    /// Blocks until this submission is done. In a browser it returns at once.
    pub(super) fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.0.device.poll(wait).map_err(|e| self.error(&e))?;
        self.check()
    }

    /// The pipeline of a shader with these constants, the bindings `halves` in half precision, and the
    /// bindings `texels` loaded from textures, built at the first call.
    pub(super) fn pipeline(
        &self,
        shader: Shader,
        constants: &[(&'static str, Constant)],
        halves: &[&'static str],
        texels: &[&'static str],
    ) -> Result<Arc<Pipeline>> {
        let values = constants.iter().map(|&(name, value)| (name, shader::literal(value)));
        let key = (shader, values.collect(), halves.to_vec(), texels.to_vec());
        let mut pipelines = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(Pipeline::new(self, shader, constants, halves, texels)?);
        self.0.created_pipelines.fetch_add(1, Ordering::Relaxed);
        pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

/// The error and its causes in one line.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |e| e.source());
    let mut parts: Vec<String> = Vec::new();
    for part in chain.map(|e| e.to_string().split_whitespace().collect::<Vec<_>>().join(" ")) {
        if !parts.iter().any(|p| p.contains(&part)) {
            parts.push(part);
        }
    }
    parts.join(": ")
}

/// Leave to use those of `features` that wgpu calls experimental, where there are such.
#[allow(unsafe_code)]
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: wgpu asks to be told of undefined behaviour that may hide behind such features. Cooperative
    // matrices are used by one file, `shaders/lib/cooperative_tile.wgsl`, which loads and stores them within
    // workgroup memory of its own, at places that are constants of the file, and in sizes that the adapter
    // has reported.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}
