//! Kernels on operands in half precision. A kernel is written once, for single precision; for an operand
//! that is stored in half precision its binding's type is changed, and what is loaded or stored there is
//! converted on the way. Arithmetic stays in single precision.

use super::access::{Array, without_comments};
use super::shader::fault;
use crate::error::Result;
use crate::kernel::Shader;

/// What goes before a kernel, and behind it. Numbers that are too large become the largest finite one: whether
/// that is an infinity otherwise, WGSL leaves to the driver.
const ENABLE: &str = "enable f16;\n";
const CONVERSIONS: &str = "
fn to_half(x: f32) -> f16 {
    return f16(clamp(x, -65504.0, 65504.0));
}
fn to_half4(x: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(clamp(x, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}";

/// `text` with the storage bindings of these names in half precision.
///
/// Errors where one is no array of `f32` or of vectors of four, or is accessed otherwise than as
/// `name[...]` in an expression, or in `name[...] = ...;` and the like.
pub fn with_halves(shader: Shader, text: &str, names: &[&str]) -> Result<String> {
    if names.is_empty() {
        return Ok(text.to_owned());
    }
    let mut text = without_comments(text);
    for name in names {
        let array = Array::find(&text, name).ok_or_else(|| {
            fault(shader, format!("`{name}` is no array of f32 and cannot be in half precision"))
        })?;
        let (half, to_half) = match array.element {
            "f32" => ("f16", "to_half"),
            _ => ("vec4<f16>", "to_half4"),
        };
        text = text.replace(&array.declaration(array.element), &array.declaration(half));
        let load = |index: &str| format!("{}({name}[{index}])", array.element);
        let store = |index: &str, value: &str| format!("{name}[{index}] = {to_half}({value})");
        text = array.rewrite(shader, &text, &load, &store)?;
    }
    Ok(format!("{ENABLE}{text}{CONVERSIONS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADER: Shader = Shader::new("test.wgsl", "");

    fn body(text: &str, names: &[&str]) -> String {
        let text = with_halves(SHADER, text, names).unwrap();
        text.strip_prefix(ENABLE).unwrap().strip_suffix(CONVERSIONS).unwrap().to_owned()
    }

    #[test]
    fn loads_and_stores_are_converted() {
        let text = "var<storage, read> x: array<f32>;
var<storage, read_write> sum: array<vec4<f32>>;
let y = x[i + 1u] * max(x[x0[j]], params.x[0]); // x[i]
sum[at(i)] = vec4(x[i]);
sum[i] += 2.0 * sum[j];
if x[i] == 0.0 && arrayLength(&x) > 1u { let max_x[0] = 1; }";
        let expected = "var<storage, read> x: array<f16>;
var<storage, read_write> sum: array<vec4<f16>>;
let y = f32(x[i + 1u]) * max(f32(x[x0[j]]), params.x[0]); 
sum[at(i)] = to_half4(vec4(f32(x[i])));
sum[i] = to_half4(vec4<f32>(sum[i]) + (2.0 * vec4<f32>(sum[j])));
if f32(x[i]) == 0.0 && arrayLength(&x) > 1u { let max_x[0] = 1; }";
        assert_eq!(body(text, &["x", "sum"]), expected);
    }

    #[test]
    fn accesses_within_accesses_are_converted_too() {
        let text = "var<storage, read_write> a: array<f32>;\na[u32(a[i])] = a[u32(a[j])];";
        let expected = "var<storage, read_write> a: array<f16>;\n\
                        a[u32(f32(a[i]))] = to_half(f32(a[u32(f32(a[j]))]));";
        assert_eq!(body(text, &["a"]), expected);
    }

    #[test]
    fn what_is_no_float_is_refused() {
        let text = "var<storage, read> labels: array<u32>;";
        let message = with_halves(SHADER, text, &["labels"]).unwrap_err().to_string();
        assert!(message.contains("`labels` is no array of f32"), "{message}");
        assert_eq!(with_halves(SHADER, text, &[]).unwrap(), text);
    }
}
