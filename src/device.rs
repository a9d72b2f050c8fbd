//! The devices that gabor computes on, and how one is chosen.

use crate::error::{Error, Result};
use crate::graph::{Graph, Plan, Target};
use crate::kernel::{AdapterKind, Variant};
use crate::ops::{Op, Types};
use crate::tuning::{Cache, Pick, Picks, Tuning};

#[cfg(feature = "gpu")]
use crate::gpu::{GpuEngine, GpuOptions, adapters};

/// The CPU, or an open GPU. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Device {
    /// All cores of the CPU.
    Cpu,
    /// A GPU.
    #[cfg(feature = "gpu")]
    Gpu(GpuEngine),
}

/// The variable that chooses the device where nothing else does.
pub const DEVICE_VARIABLE: &str = "GABOR_DEVICE";

impl Device {
    /// The device that the variable `GABOR_DEVICE` names; without it a real GPU if there is one,
    /// else the CPU. A software Vulkan adapter is slower than the CPU engine and is used only on
    /// request.
    ///
    /// Errors where the variable names a device that is not there.
    pub fn auto() -> Result<Self> {
        match std::env::var(DEVICE_VARIABLE) {
            Ok(name) if !name.is_empty() => Device::named(&name),
            _ => Device::best(),
        }
    }

    /// The CPU engine.
    pub fn cpu() -> Self {
        Device::Cpu
    }

    /// The device of this name: `auto`, `cpu`, `gpu` (the best adapter, a software one too),
    /// `gpu:NUMBER` or `gpu:PART-OF-ITS-NAME`. With ` as KIND` (`discrete`, `integrated`, `software` or
    /// `other`) behind it, kernels and the way of the data are chosen as for a GPU of that kind.
    ///
    /// Errors where there is no such device, with those that there are.
    pub fn named(name: &str) -> Result<Self> {
        let (gpu, kind) = match name.split_once(" as ") {
            Some((gpu, kind)) => (gpu, Some(AdapterKind::named(kind)?)),
            None => (name, None),
        };
        match (gpu.split_once(':'), kind) {
            (None, None) if gpu == "auto" => Device::best(),
            (None, None) if gpu == "cpu" => Ok(Device::Cpu),
            (None, _) if gpu == "gpu" => Device::gpu_as("", kind),
            (Some(("gpu", selector)), _) => Device::gpu_as(selector, kind),
            _ => Err(Error::unknown("device", name, ["auto", "cpu", "gpu", "gpu:NUMBER or NAME"])),
        }
    }

    /// The GPU that `selector` means: empty for the best, a number, or a part of a name.
    ///
    /// Errors where there is none, with those that there are.
    #[cfg(feature = "gpu")]
    pub fn gpu(selector: &str) -> Result<Self> {
        Device::gpu_as(selector, None)
    }

    #[cfg(feature = "gpu")]
    fn gpu_as(selector: &str, kind: Option<AdapterKind>) -> Result<Self> {
        pollster::block_on(Device::gpu_with(selector, GpuOptions { kind, ..GpuOptions::default() }))
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu_as(selector: &str, _: Option<AdapterKind>) -> Result<Self> {
        Device::gpu(selector)
    }

    /// The GPU that `selector` means, opened in a particular way. The async twin of
    /// [`Device::gpu`].
    ///
    /// Errors where there is none, with those that there are.
    #[cfg(feature = "gpu")]
    pub async fn gpu_with(selector: &str, options: GpuOptions) -> Result<Self> {
        Ok(Device::Gpu(GpuEngine::open(selector, options).await?))
    }

    /// Without the feature `gpu` there is none.
    #[cfg(not(feature = "gpu"))]
    pub fn gpu(selector: &str) -> Result<Self> {
        Err(Error::NoAdapter {
            wanted: format!("gpu:{selector}"),
            found: vec![],
            remedy: "this program was built without the feature `gpu`; use `cpu`",
        })
    }

    #[cfg(feature = "gpu")]
    fn best() -> Result<Self> {
        pollster::block_on(async {
            let real = adapters::enumerate().await.into_iter().find(|f| f.info.kind != "software");
            match real {
                Some(found) => {
                    let engine = GpuEngine::from_found(found, GpuOptions::default()).await?;
                    Ok(Device::Gpu(engine))
                }
                None => Ok(Device::Cpu),
            }
        })
    }

    #[cfg(not(feature = "gpu"))]
    fn best() -> Result<Self> {
        Ok(Device::Cpu)
    }

    /// What plans for this device are compiled for.
    pub fn target(&self) -> Target {
        match self {
            Device::Cpu => Target::Cpu,
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => Target::Gpu(engine.adapter().clone()),
        }
    }

    /// The same device, on which ops' kernels are chosen as `tuning` says; picks are read from
    /// `cache` and kept there. Without this each op's best guess is taken. The CPU has no choice.
    ///
    /// ```no_run
    /// use gabor::device::Device;
    /// use gabor::tuning::{Cache, Tuning};
    ///
    /// let device = Device::gpu("")?.tuned(&Tuning::Quick, &Cache::user())?;
    /// # Ok::<(), gabor::error::Error>(())
    /// ```
    ///
    /// Errors where a [`Tuning::File`] cannot be read. A damaged cache is passed over.
    pub fn tuned(&self, tuning: &Tuning, cache: &Cache) -> Result<Self> {
        match self {
            Device::Cpu => {
                let _ = (tuning, cache);
                Ok(Device::Cpu)
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => Ok(Device::Gpu(engine.tuned(tuning, cache)?)),
        }
    }

    /// Measures the kernels of a graph's ops, where the device was [`tuned`](Device::tuned) with
    /// [`Tuning::Quick`] or [`Tuning::Full`] and does not know them yet. A kernel is checked before
    /// it is timed; one that is wrong or fails is left out, with a line in the log. Returns the
    /// picks for those ops that have a choice.
    pub fn tune(&self, graph: &Graph) -> Vec<Pick> {
        match self {
            Device::Cpu => {
                let _ = graph;
                vec![]
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => engine.tune(graph),
        }
    }

    /// All picks that the device knows.
    pub fn picks(&self) -> Picks {
        match self {
            Device::Cpu => Picks::default(),
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => engine.picks(),
        }
    }

    /// Compiles `graph` with the kernels that are picked by now, else each op's best guess.
    ///
    /// Errors as [`Plan::new`].
    pub fn plan(&self, graph: &Graph) -> Result<Plan> {
        match self {
            Device::Cpu => Plan::new(graph, &Target::Cpu),
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => engine.plan(graph),
        }
    }

    /// The kernels that an op has on the device, the one that plans take first. None on the CPU.
    ///
    /// Errors where the op cannot run on the device.
    pub fn variants(&self, op: &dyn Op, types: &Types) -> Result<Vec<Variant>> {
        match self {
            Device::Cpu => {
                let _ = (op, types);
                Ok(vec![])
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => engine.variants(op, types),
        }
    }

    /// The device in a few words, for logs and tables.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => format!("cpu ({} threads)", rayon::current_num_threads()),
            #[cfg(feature = "gpu")]
            Device::Gpu(engine) => {
                let report = engine.report();
                format!("{} ({})", report.name, report.backend)
            }
        }
    }
}
