//! From WGSL files to pipelines: imports, constants, reflection.
//!
//! - A line `// import lib/NAME.wgsl` is replaced by that file of `shaders/lib/`, once. With `as ROLE` behind
//!   it a dispatch may name another file, of the same functions.
//! - `const NAME: TYPE = value;` at the start of a line is a tunable: a dispatch may give it another
//!   value.
//! - Bindings, the size of `params` and the workgroup's size are read from the module.

use super::GpuEngine;
use super::half::with_halves;
use super::texel_loads::with_texels;
use crate::error::{Error, Result};
use crate::kernel::{Constant, Shader};

/// The files under `shaders/lib/`.
const LIBRARY: &[Shader] = &[
    crate::kernel::shader!("lib/average.wgsl"),
    crate::kernel::shader!("lib/conv.wgsl"),
    crate::kernel::shader!("lib/conv_cooperative.wgsl"),
    crate::kernel::shader!("lib/conv_tile.wgsl"),
    crate::kernel::shader!("lib/cooperative_16.wgsl"),
    crate::kernel::shader!("lib/cooperative_8.wgsl"),
    crate::kernel::shader!("lib/cooperative_8_single.wgsl"),
    crate::kernel::shader!("lib/cooperative_tile.wgsl"),
    crate::kernel::shader!("lib/gemm.wgsl"),
    crate::kernel::shader!("lib/gemm_buffers.wgsl"),
    crate::kernel::shader!("lib/gemm_rows.wgsl"),
    crate::kernel::shader!("lib/index.wgsl"),
    crate::kernel::shader!("lib/inverse_power.wgsl"),
    crate::kernel::shader!("lib/lrn_channels.wgsl"),
    crate::kernel::shader!("lib/lrn_window.wgsl"),
    crate::kernel::shader!("lib/moments.wgsl"),
    crate::kernel::shader!("lib/nan.wgsl"),
    crate::kernel::shader!("lib/norm.wgsl"),
    crate::kernel::shader!("lib/norm_terms.wgsl"),
    crate::kernel::shader!("lib/one_minus_exp.wgsl"),
    crate::kernel::shader!("lib/philox.wgsl"),
    crate::kernel::shader!("lib/resample.wgsl"),
    crate::kernel::shader!("lib/strided.wgsl"),
    crate::kernel::shader!("lib/subgroup_tile.wgsl"),
    crate::kernel::shader!("lib/swizzle.wgsl"),
    crate::kernel::shader!("lib/texel_conv.wgsl"),
    crate::kernel::shader!("lib/unary.wgsl"),
    crate::kernel::shader!("lib/window.wgsl"),
    crate::kernel::shader!("lib/windows.wgsl"),
    crate::kernel::shader!("lib/winograd.wgsl"),
];

/// A shader ready to be dispatched.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) reflection: Reflection,
}

/// What a shader does with a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Reads a buffer.
    Read,
    /// Reads and writes a buffer.
    Write,
    /// Reads a texture of four floats a texel.
    Texels,
}

/// What a module says of itself.
#[derive(Clone, Debug)]
pub struct Reflection {
    /// The storage bindings: name, index, what the shader does with it.
    pub bindings: Vec<(String, u32, Use)>,
    /// The index and the size in bytes of the `params` uniform.
    pub params: Option<(u32, u32)>,
    /// The workgroup's size along x, y and z.
    pub workgroup: [u32; 3],
    /// The bytes of workgroup memory.
    pub workgroup_memory: u32,
}

/// The text of a shader with its imports and constants in place, its `enable` lines first.
///
/// Errors where an import or a constant does not exist.
pub fn assemble(shader: Shader, constants: &[(&'static str, Constant)]) -> Result<String> {
    let mut assembly = Assembly::of(shader, constants)?;
    for &(name, value) in constants {
        assembly.set(name, value)?;
    }
    let (enables, rest): (Vec<_>, Vec<_>) =
        assembly.lines.into_iter().partition(|line| line.starts_with("enable "));
    Ok([enables, rest].concat().join("\n"))
}

/// The files of `shaders/lib/` that a shader imports with these constants.
///
/// Errors where an import does not exist.
pub fn imports(
    shader: Shader,
    constants: &[(&'static str, Constant)],
) -> Result<Vec<&'static str>> {
    Ok(Assembly::of(shader, constants)?.files)
}

/// A shader's text on the way.
struct Assembly<'a> {
    shader: Shader,
    constants: &'a [(&'static str, Constant)],
    lines: Vec<String>,
    /// What was imported, and the roles of the imports.
    files: Vec<&'static str>,
    roles: Vec<String>,
}

impl<'a> Assembly<'a> {
    /// The text with all imports.
    fn of(shader: Shader, constants: &'a [(&'static str, Constant)]) -> Result<Self> {
        let mut all = Assembly { shader, constants, lines: vec![], files: vec![], roles: vec![] };
        all.append(shader.source)?;
        Ok(all)
    }

    fn append(&mut self, source: &str) -> Result<()> {
        for line in source.lines() {
            match line.strip_prefix("// import ") {
                None => self.lines.push(line.to_owned()),
                Some(import) => self.import(import)?,
            }
        }
        Ok(())
    }

    /// Pastes `FILE`, or for `FILE as ROLE` the file that a constant names for the role.
    fn import(&mut self, import: &str) -> Result<()> {
        let (mut name, role) = import.split_once(" as ").unwrap_or((import, ""));
        if !role.is_empty() {
            self.roles.push(role.trim().to_owned());
            let chosen = self.constants.iter().find(|(constant, _)| *constant == role.trim());
            if let Some((_, Constant::Import(file))) = chosen {
                name = file;
            }
        }
        let name = name.trim();
        if self.files.contains(&name) {
            return Ok(());
        }
        let file = LIBRARY.iter().find(|file| file.name == name).ok_or_else(|| {
            let known: Vec<_> = LIBRARY.iter().map(|file| file.name).collect();
            fault(self.shader, format!("imports `{name}`; there is {}", known.join(", ")))
        })?;
        self.files.push(file.name);
        self.append(file.source)
    }

    fn set(&mut self, name: &'static str, value: Constant) -> Result<()> {
        if let Constant::Import(_) = value {
            let is_known = self.roles.iter().any(|role| role == name);
            let problem = || fault(self.shader, format!("it has no `// import ... as {name}`"));
            return is_known.then_some(()).ok_or_else(problem);
        }
        let prefix = format!("const {name}:");
        let line =
            self.lines.iter_mut().find(|line| line.starts_with(&prefix)).ok_or_else(|| {
                fault(self.shader, format!("it has no line `const {name}: ... = ...;` to set"))
            })?;
        let ty = line[prefix.len()..].split('=').next().unwrap_or_default().trim().to_owned();
        *line = format!("{prefix} {ty} = {};", literal(value));
        Ok(())
    }
}

/// A constant as WGSL writes it.
pub(super) fn literal(value: Constant) -> String {
    match value {
        Constant::U32(value) => format!("{value}u"),
        Constant::F32(value) => format!("{value:?}"),
        Constant::Bool(value) => value.to_string(),
        Constant::Import(file) => file.to_owned(),
    }
}

/// Reads a shader's bindings and workgroup size.
///
/// Errors where it does not parse, has no entry point `main`, or binds what the engine cannot give.
pub fn reflect(shader: Shader, text: &str) -> Result<Reflection> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| {
        fault(shader, e.emit_to_string(text).split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    let entry = module
        .entry_points
        .iter()
        .find(|e| e.name == "main" && e.stage == naga::ShaderStage::Compute)
        .ok_or_else(|| fault(shader, "it has no `@compute` entry point `main`"))?;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| fault(shader, e.to_string()))?;
    let mut reflection = Reflection {
        bindings: vec![],
        params: None,
        workgroup: entry.workgroup_size,
        workgroup_memory: 0,
    };
    for (_, variable) in module.global_variables.iter() {
        if variable.space == naga::AddressSpace::WorkGroup {
            reflection.workgroup_memory += layouter[variable.ty].size.next_multiple_of(16);
        }
        let Some(binding) = &variable.binding else { continue };
        let name = variable.name.clone().unwrap_or_default();
        if binding.group != 0 {
            return Err(fault(shader, format!("`{name}` is not in @group(0)")));
        }
        match variable.space {
            naga::AddressSpace::Storage { access } => {
                let writes = access.contains(naga::StorageAccess::STORE);
                let usage = if writes { Use::Write } else { Use::Read };
                reflection.bindings.push((name, binding.binding, usage));
            }
            naga::AddressSpace::Handle if is_texels(&module.types[variable.ty].inner) => {
                reflection.bindings.push((name, binding.binding, Use::Texels));
            }
            naga::AddressSpace::Uniform if name == "params" => {
                reflection.params = Some((binding.binding, layouter[variable.ty].size));
            }
            _ => {
                let problem = format!("`{name}` is neither storage, texels nor `params`");
                return Err(fault(shader, problem));
            }
        }
    }
    Ok(reflection)
}

/// Whether this is `texture_storage_2d<rgba32float, read>`.
fn is_texels(ty: &naga::TypeInner) -> bool {
    matches!(
        *ty,
        naga::TypeInner::Image {
            dim: naga::ImageDimension::D2,
            arrayed: false,
            class: naga::ImageClass::Storage {
                format: naga::StorageFormat::Rgba32Float,
                access: naga::StorageAccess::LOAD,
            },
        }
    )
}

impl Pipeline {
    pub(super) fn new(
        engine: &GpuEngine,
        shader: Shader,
        constants: &[(&'static str, Constant)],
        halves: &[&str],
        texels: &[&str],
    ) -> Result<Self> {
        let text = with_texels(shader, &assemble(shader, constants)?, texels)?;
        let text = with_halves(shader, &text, halves)?;
        let reflection = reflect(shader, &text)?;
        // wgpu leaves this limit to the drivers, and not all of them complain.
        let (needed, offered) = (reflection.workgroup_memory, engine.adapter().workgroup_memory);
        if needed > offered {
            let problem = format!(
                "it declares {needed} bytes of workgroup memory, {} offers {offered}",
                engine.adapter().name
            );
            return Err(fault(shader, problem));
        }
        let device = engine.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let is_trusted = shader.trusted && !engine.is_checked();
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        let module = if is_trusted {
            trusted_module(device, descriptor)
        } else {
            device.create_shader_module(descriptor)
        };
        let layout = layout(device, shader, &reflection);
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // The crate's kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: !is_trusted,
                ..Default::default()
            },
            cache: None,
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => match engine.error(&error) {
                Error::Gpu { problem, .. } => Err(fault(shader, problem)),
                other => Err(other),
            },
            None => Ok(Pipeline { pipeline, layout, reflection }),
        }
    }
}

/// A module without run-time checks.
#[allow(unsafe_code)]
fn trusted_module(
    device: &wgpu::Device,
    descriptor: wgpu::ShaderModuleDescriptor<'_>,
) -> wgpu::ShaderModule {
    // SAFETY: only shaders of this crate are trusted. Each of them compares its indices with the
    // sizes in `params` before it accesses memory, its loops end, and the test suite runs each with
    // the checks and without them against the oracle.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}

fn layout(device: &wgpu::Device, shader: Shader, reflection: &Reflection) -> wgpu::BindGroupLayout {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty,
        count: None,
    };
    let buffer = |ty, size: u64| wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: false,
        min_binding_size: std::num::NonZeroU64::new(size),
    };
    let bindings = reflection.bindings.iter().map(|&(_, index, usage)| {
        let storage = |read_only| buffer(wgpu::BufferBindingType::Storage { read_only }, 0);
        entry(
            index,
            match usage {
                Use::Read => storage(true),
                Use::Write => storage(false),
                Use::Texels => wgpu::BindingType::StorageTexture {
                    access: wgpu::StorageTextureAccess::ReadOnly,
                    format: super::texels::FORMAT,
                    view_dimension: wgpu::TextureViewDimension::D2,
                },
            },
        )
    });
    let params = reflection
        .params
        .map(|(index, size)| entry(index, buffer(wgpu::BufferBindingType::Uniform, size.into())));
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(shader.name),
        entries: &bindings.chain(params).collect::<Vec<_>>(),
    })
}

/// An error about a shader.
pub(super) fn fault(shader: Shader, problem: impl Into<String>) -> Error {
    Error::Shader { shader: shader.name.to_owned(), problem: problem.into() }
}
