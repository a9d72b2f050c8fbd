//! What a pick holds for.

use crate::gpu::GpuEngine;
use crate::gpu::shader::assemble;
use crate::kernel::Variant;
use crate::ops::{Op, Types};
use crate::tensor::TensorType;
use crate::tuning::{Key, Place};

/// The version of wgpu, which writes the drivers' code. A test compares it with the lock file.
pub const WGPU: &str = "30.0.1";

impl GpuEngine {
    /// Where this engine's kernels run.
    pub(super) fn place(&self) -> Place {
        let report = self.report();
        Place {
            adapter: report.name.clone(),
            backend: report.backend.clone(),
            driver: report.driver.clone(),
            software: format!("gabor {}, wgpu {WGPU}", env!("CARGO_PKG_VERSION")),
            checked: self.is_checked(),
            deterministic: true,
        }
    }
}

/// The key of an op that offers these variants.
pub(super) fn key(place: &Place, op: &dyn Op, types: &Types, variants: &[Variant]) -> Key {
    let list =
        |types: &[TensorType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    Key {
        op: op.name().to_owned(),
        settings: format!("{op:?}"),
        inputs: list(&types.inputs),
        outputs: list(&types.outputs),
        kernels: format!("{:016x}", hash(variants)),
        place: place.clone(),
    }
}

/// Changes with everything that a variant hands to the device.
fn hash(variants: &[Variant]) -> u64 {
    let mut hash = Fnv::default();
    for variant in variants {
        hash.write(variant.name);
        hash.write(&format!("{:?}", variant.workspace));
        for d in &variant.dispatches {
            hash.write(d.shader.name);
            // A text that cannot be put together fails when the variant is tried.
            hash.write(&assemble(d.shader, &d.constants).unwrap_or_default());
            hash.write(&format!("{:?} {:?} {:?} {:?}", d.constants, d.bindings, d.params, d.grid));
        }
    }
    hash.0
}

/// FNV-1a with 64 bits (Fowler, Noll & Vo): the same on every machine and in every version, which
/// the standard library's hash does not promise.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes in a text and an end mark, so that two texts are not one longer one.
    fn write(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Dispatch, Operand, Shader};
    use crate::ops::elementwise::Unary;

    const SHADER: Shader = Shader::new("a.wgsl", "// import lib/index.wgsl\nconst W: u32 = 1u;");

    fn variants(source: Shader, width: u32, groups: usize) -> Vec<Variant> {
        let dispatch = Dispatch::new(source).constant("W", width).groups(groups);
        vec![Variant::new("a", vec![dispatch.bind("input", Operand::Input(0))])]
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // The standard's own vector for "foobar", before the end mark.
        let mut hash = Fnv::default();
        hash.write("foobar");
        let expected = (0x8594_4171_f739_67e8_u64 ^ 0xff).wrapping_mul(0x0100_0000_01b3);
        assert_eq!(hash.0, expected);
    }

    #[test]
    fn keys_are_stable_and_tell_apart_what_differs() {
        let place = Place {
            adapter: "x".into(),
            backend: "vulkan".into(),
            driver: "1".into(),
            software: "y".into(),
            checked: false,
            deterministic: true,
        };
        let types = |n: usize| Types::infer(&Unary::Relu, vec![TensorType::f32([n, 3])]).unwrap();
        let base = || key(&place, &Unary::Relu, &types(2), &variants(SHADER, 64, 8));
        assert_eq!(base(), base());
        assert_eq!(base().inputs, "f32[2, 3]");

        let other = Shader::new("a.wgsl", "const W: u32 = 1u;");
        let mut renamed = variants(SHADER, 64, 8);
        renamed[0].name = "b";
        let mut spacious = variants(SHADER, 64, 8);
        spacious[0].workspace.push(TensorType::f32([1]));
        let newer = Place { driver: "2".into(), ..place.clone() };
        let others = [
            key(&place, &Unary::Sigmoid, &types(2), &variants(SHADER, 64, 8)),
            key(&place, &Unary::Relu, &types(4), &variants(SHADER, 64, 8)),
            key(&place, &Unary::Relu, &types(2), &variants(SHADER, 32, 8)),
            key(&place, &Unary::Relu, &types(2), &variants(SHADER, 64, 9)),
            key(&place, &Unary::Relu, &types(2), &variants(other, 64, 8)),
            key(&place, &Unary::Relu, &types(2), &renamed),
            key(&place, &Unary::Relu, &types(2), &spacious),
            key(&newer, &Unary::Relu, &types(2), &variants(SHADER, 64, 8)),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(*other, base(), "{i}");
        }
    }

    #[test]
    fn the_version_of_wgpu_is_the_locked_one() {
        let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
        assert!(lock.contains(&format!("name = \"wgpu\"\nversion = \"{WGPU}\"")), "{WGPU}");
    }
}
