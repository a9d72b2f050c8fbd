//! Every shader as every op uses it: valid, translatable to each platform's language, and used.

mod common;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use gabor::gpu::half::with_halves;
use gabor::gpu::shader::{assemble, imports, reflect};
use gabor::kernel::{Adapter, AdapterKind, Binding, Cooperative, Dispatch};
use gabor::ops::Types;
use gabor::ops::case::Draw;
use gabor::ops::registry::entries;
use gabor::tensor::DType;
use naga::back::{glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// Adapters that between them are offered every variant.
fn adapters() -> Vec<Adapter> {
    let plain = Adapter::webgpu_default();
    let mut adapters = vec![];
    for kind in [AdapterKind::Discrete, AdapterKind::Software] {
        for subgroups in [None, Some((8, 8)), Some((32, 32))] {
            let f16 = subgroups.is_some();
            adapters.push(Adapter { kind, subgroups, f16, ..plain.clone() });
        }
    }
    let workgroup_memory = COOPERATIVE_MEMORY;
    for (half, single) in [(8, Some(8)), (16, None)] {
        let cooperative = Cooperative { half: Some(half), single };
        let subgroups = Some((32, 32));
        let f16 = true;
        adapters.push(Adapter { subgroups, f16, cooperative, workgroup_memory, ..plain.clone() });
    }
    adapters.push(Adapter { f16: true, max_binding_bytes: 16 << 10, max_groups: 8, ..plain });
    adapters
}

/// What adapters with cooperative matrices have, which are beyond WebGPU in any case.
const COOPERATIVE_MEMORY: u32 = 32 << 10;

fn is_cooperative(text: &str) -> bool {
    text.contains("enable wgpu_cooperative_matrix;")
}

/// The bindings of a dispatch that are in half precision.
fn halves(dispatch: &Dispatch, types: &Types) -> Vec<&'static str> {
    let is_half = |b: &&Binding| types.dtype(b.operand) == Some(DType::F16);
    dispatch.bindings.iter().filter(is_half).map(|b| b.name).collect()
}

/// Every distinct use of a shader in the registry's cases: the same text once.
fn uses() -> HashMap<String, (String, Dispatch)> {
    let mut uses = HashMap::new();
    for entry in entries() {
        for case in (entry.cases)(&mut Draw::new(1)) {
            let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
            for types in std::iter::once(types).chain(common::halved(&case)) {
                for adapter in adapters() {
                    let Ok(variants) = case.op.variants(&types, &adapter) else { continue };
                    for dispatch in variants.into_iter().flat_map(|v| v.dispatches) {
                        let text = assemble(dispatch.shader, &dispatch.constants).unwrap();
                        let text = with_halves(dispatch.shader, &text, &halves(&dispatch, &types));
                        let use_ = (entry.name.to_owned(), dispatch);
                        uses.entry(text.unwrap()).or_insert(use_);
                    }
                }
            }
        }
    }
    uses
}

fn validate(name: &str, text: &str) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    let mut capabilities = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16;
    if is_cooperative(text) {
        capabilities |= Capabilities::COOPERATIVE_MATRIX;
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    (module, info)
}

#[test]
fn every_use_translates_to_every_language() {
    for (text, (op, dispatch)) in uses() {
        let name = format!("{} as {op} uses it", dispatch.shader.name);
        let (module, info) = validate(&name, &text);
        spv::write_vec(&module, &info, &spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
        if text.contains("coop_mat16x16") {
            // Metal's are 8 x 8, and HLSL and GLSL have none.
            continue;
        }
        let options = msl::Options { lang_version: (2, 4), ..Default::default() };
        msl::write_string(&module, &info, &options, &Default::default())
            .unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
        if is_cooperative(&text) {
            continue;
        }
        // Half precision came with 6.2.
        let is_half = text.contains("enable f16;");
        let shader_model = if is_half { hlsl::ShaderModel::V6_2 } else { hlsl::ShaderModel::V6_0 };
        let options = hlsl::Options { shader_model, ..Default::default() };
        let mut out = String::new();
        hlsl::Writer::new(&mut out, &options, &Default::default())
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
        if is_half {
            // naga writes no half precision in GLSL, and no engine of ours runs GLSL.
            continue;
        }
        let options = glsl::Options { version: glsl::Version::Desktop(460), ..Default::default() };
        let pipeline = glsl::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: "main".into(),
            multiview: None,
        };
        let mut out = String::new();
        glsl::Writer::new(&mut out, &module, &info, &options, &pipeline, Default::default())
            .and_then(|mut writer| writer.write())
            .unwrap_or_else(|e| panic!("{name}: GLSL: {e}"));
    }
}

#[test]
fn every_use_binds_what_the_shader_declares_and_fits_webgpu() {
    for (text, (op, dispatch)) in uses() {
        let name = format!("{} as {op} uses it", dispatch.shader.name);
        let reflection = reflect(dispatch.shader, &text).unwrap();
        let declared: BTreeSet<_> = reflection.bindings.iter().map(|b| b.0.as_str()).collect();
        let bound: BTreeSet<_> = dispatch.bindings.iter().map(|b| b.name).collect();
        assert_eq!(declared, bound, "{name}");
        assert!(declared.len() <= 8, "{name}: more than 8 storage buffers");
        let size = reflection.params.map_or(0, |(_, size)| size);
        assert_eq!(size as usize, dispatch.params.len(), "{name}: the size of `params`");
        assert!(reflection.workgroup.iter().product::<u32>() <= 256, "{name}: workgroup too large");
        let (module, _) = validate(&name, &text);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let shared = module.global_variables.iter().map(|(_, v)| v);
        let shared: u32 = shared
            .filter(|v| v.space == naga::AddressSpace::WorkGroup)
            .map(|v| layouter[v.ty].size)
            .sum();
        let most = if is_cooperative(&text) { COOPERATIVE_MEMORY } else { 16 << 10 };
        assert!(shared <= most, "{name}: {shared} bytes of workgroup memory");
    }
}

#[test]
fn every_file_is_used() {
    let mut used = BTreeSet::new();
    for (_, (_, dispatch)) in uses() {
        used.insert(dispatch.shader.name.to_owned());
        let files = imports(dispatch.shader, &dispatch.constants).unwrap();
        used.extend(files.into_iter().map(str::to_owned));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut open = vec![root.clone()];
    let mut files = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "wgsl") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                files.insert(name);
            }
        }
    }
    let unused: Vec<_> = files.difference(&used).collect();
    assert!(unused.is_empty(), "no op uses {unused:?}");
}
