//! Kernels that load from copies in textures what they declare as buffers, for software adapters: their
//! drivers load from a buffer lane by lane and from texels with vector code, eight times as fast. A kernel
//! is written once, for buffers; the binding's declaration and its loads are changed.

use std::cell::Cell;

use super::access::{Array, without_comments};
use super::shader::fault;
use crate::error::Result;
use crate::kernel::{Adapter, Shader};

/// The columns of the textures.
pub const COLUMNS: u32 = 1024;

/// From how many elements on a copy costs less than the loads from a buffer.
pub(super) const LEAST_ELEMENTS: usize = 16 << 10;

/// The elements that a texture holds.
pub(super) const MOST_ELEMENTS: usize = 4 * (COLUMNS * Adapter::MOST_ROWS) as usize;

/// What the texture of the binding `name` is called.
pub(super) fn texture_name(name: &str) -> String {
    format!("{name}_texels")
}

/// Whether a kernel (without comments) loads from the binding `name` in a way that a copy can serve: one that
/// it does not write, or, where it `reads_ahead`, one of which it reads nothing after writing it.
pub fn can_load(shader: Shader, text: &str, name: &str, reads_ahead: bool) -> Result<bool> {
    let Some(array) = Array::find(text, name) else { return Ok(false) };
    if array.is_written && !reads_ahead || !array.is_only_indexed(text) {
        return Ok(false);
    }
    let is_loaded = Cell::new(false);
    let load = |_: &str| {
        is_loaded.set(true);
        String::new()
    };
    array.rewrite(shader, text, &load, &|_, _| String::new())?;
    Ok(is_loaded.get())
}

/// `text` with the loads from the bindings of these names from textures of [`COLUMNS`] columns. A binding
/// that the kernel writes stays, beside its texture.
///
/// Errors where one is no array of `f32` or of vectors of four.
pub fn with_texels(shader: Shader, text: &str, names: &[&str]) -> Result<String> {
    if names.is_empty() {
        return Ok(text.to_owned());
    }
    let mut text = without_comments(text);
    for name in names {
        let array = Array::find(&text, name).ok_or_else(|| {
            fault(shader, format!("`{name}` is no array of f32 and cannot be read as texels"))
        })?;
        let texture = texture_name(name);
        let load = |index: &str| format!("{texture}_at(u32({index}))");
        let store = |index: &str, value: &str| format!("{name}[{index}] = {value}");
        text = array.rewrite(shader, &text, &load, &store)?;
        let declared = format!("var {texture}: texture_storage_2d<rgba32float, read>;");
        if array.is_written {
            let free = text.matches("@binding(").count();
            text += &format!("\n@group(0) @binding({free}) {declared}");
        } else {
            text = text.replace(&array.declaration(array.element), &declared);
        }
        text += &load_function(&texture, array.element);
    }
    Ok(text)
}

/// The function that loads an element.
fn load_function(texture: &str, element: &str) -> String {
    let (mask, shift) = (COLUMNS - 1, COLUMNS.ilog2());
    let texel = |i: &str| format!("textureLoad({texture}, vec2({i} & {mask}u, {i} >> {shift}u))");
    if element != "f32" {
        let texel = texel("i");
        return format!("\nfn {texture}_at(i: u32) -> {element} {{\n    return {texel};\n}}");
    }
    let texel = texel("quad");
    // A variable index into a vector would go through memory.
    format!(
        "
fn {texture}_at(i: u32) -> f32 {{
    let quad = i >> 2u;
    let texel = {texel};
    let pair = select(texel.xy, texel.zw, (i & 2u) != 0u);
    return select(pair.x, pair.y, (i & 1u) != 0u);
}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADER: Shader = Shader::new("test.wgsl", "");

    const TEXT: &str = "@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> size: array<f32>;
let y = x[i + 1u] + f32(arrayLength(&size)) + size[0];
sum[i] += sum[j] * x[u32(x[0])];";

    #[test]
    fn loads_come_from_textures_and_stores_go_to_buffers() {
        let text = with_texels(SHADER, TEXT, &["x", "sum"]).unwrap();
        let expected =
            "@group(0) @binding(0) var x_texels: texture_storage_2d<rgba32float, read>;
@group(0) @binding(1) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> size: array<f32>;
let y = x_texels_at(u32(i + 1u)) + f32(arrayLength(&size)) + size[0];
sum[i] = sum_texels_at(u32(i)) + (sum_texels_at(u32(j)) * x_texels_at(u32(u32(x_texels_at(u32(0))))));";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("@binding(3) var sum_texels: texture_storage_2d"), "{text}");
        assert_eq!(with_texels(SHADER, TEXT, &[]).unwrap(), TEXT);
    }

    #[test]
    fn only_what_a_copy_can_serve_is_loaded_from_it() {
        let can = |name, ahead| can_load(SHADER, TEXT, name, ahead).unwrap();
        assert!(can("x", false));
        assert!(!can("sum", false), "its loads may come after its stores");
        assert!(can("sum", true));
        assert!(!can("size", false), "its length is asked for");
        assert!(!can("y", false), "it is no binding");
        let stored = TEXT.replace("+= sum[j]", "= y");
        assert!(!can_load(SHADER, &stored, "sum", true).unwrap(), "nothing loads from it");
    }
}
