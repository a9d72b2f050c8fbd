//! Kernels on operands in half precision. A kernel is written once, for single precision; for an operand
//! that is stored in half precision its binding's type is changed, and what is loaded or stored there is
//! converted on the way. Arithmetic stays in single precision.

use std::ops::Range;

use super::shader::fault;
use crate::error::Result;
use crate::kernel::Shader;

/// What goes before a kernel. Numbers that are too large become the largest finite one: whether that is an
/// infinity otherwise, WGSL leaves to the driver.
const PRELUDE: &str = "enable f16;
fn to_half(x: f32) -> f16 {
    return f16(clamp(x, -65504.0, 65504.0));
}
fn to_half4(x: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(clamp(x, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
";

/// `text` with the storage bindings of these names in half precision.
///
/// Errors where one is no array of `f32` or of vectors of four, or is accessed otherwise than as
/// `name[...]` in an expression, or in `name[...] = ...;` and the like.
pub fn with_halves(shader: Shader, text: &str, names: &[&str]) -> Result<String> {
    if names.is_empty() {
        return Ok(text.to_owned());
    }
    // Comments may hold anything.
    let text = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut text = text.collect::<Vec<_>>().join("\n");
    for name in names {
        let array = Array::declare(shader, &mut text, name)?;
        text = array.convert(shader, &text)?;
    }
    Ok(format!("{PRELUDE}{text}"))
}

/// A binding.
struct Array<'a> {
    name: &'a str,
    /// The type of an element in single precision, and what converts one to half precision.
    element: &'static str,
    to_half: &'static str,
}

impl<'a> Array<'a> {
    /// Changes the binding's declaration.
    fn declare(shader: Shader, text: &mut String, name: &'a str) -> Result<Self> {
        let kinds = [("f32", "f16", "to_half"), ("vec4<f32>", "vec4<f16>", "to_half4")];
        for (element, half, to_half) in kinds {
            for access in ["read", "read_write"] {
                let declared =
                    |element| format!("var<storage, {access}> {name}: array<{element}>;");
                let single = declared(element);
                if text.contains(&single) {
                    *text = text.replace(&single, &declared(half));
                    return Ok(Array { name, element, to_half });
                }
            }
        }
        let problem = format!("`{name}` is no array of f32 and cannot be in half precision");
        Err(fault(shader, problem))
    }

    /// Converts at each access.
    fn convert(&self, shader: Shader, text: &str) -> Result<String> {
        let mut converted = String::with_capacity(text.len() + text.len() / 8);
        let mut rest = text;
        while let Some(at) = self.find(rest) {
            let unended = || fault(shader, format!("an access to `{}` does not end", self.name));
            let index = bracketed(rest, at + self.name.len()).ok_or_else(unended)?;
            let place = format!("{}[{}]", self.name, self.convert(shader, &rest[index.clone()])?);
            converted.push_str(&rest[..at]);
            rest = &rest[index.end + 1..];
            let load = format!("{}({place})", self.element);
            let Some((operator, value)) = assignment(rest) else {
                converted.push_str(&load);
                continue;
            };
            let end = value.find(';').ok_or_else(unended)?;
            let stored = self.convert(shader, value[..end].trim())?;
            let stored = match operator {
                "" => stored,
                operator => format!("{load} {operator} ({stored})"),
            };
            converted.push_str(&format!("{place} = {}({stored})", self.to_half));
            rest = &value[end..];
        }
        converted.push_str(rest);
        Ok(converted)
    }

    /// Where the next access begins: the name as a word of its own, and a bracket behind it.
    fn find(&self, text: &str) -> Option<usize> {
        let found = text.match_indices(self.name);
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let is_access = |at: usize| {
            !text[..at].ends_with(is_part) && text[at + self.name.len()..].starts_with('[')
        };
        found.map(|(at, _)| at).find(|&at| is_access(at))
    }
}

/// What stands in the brackets that open at `open`.
fn bracketed(text: &str, open: usize) -> Option<Range<usize>> {
    let mut depth = 0usize;
    for (i, c) in text[open..].char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return Some(open + 1..open + i),
            ']' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The operator of `= value`, `+= value` and the like, empty for the first, and what follows it.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (operator, rest) = text.split_at_checked(text.find('=')?)?;
    let value = &rest[1..];
    let is_one = matches!(operator, "" | "+" | "-" | "*" | "/") && !value.starts_with('=');
    is_one.then_some((operator, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADER: Shader = Shader::new("test.wgsl", "");

    fn body(text: &str, names: &[&str]) -> String {
        with_halves(SHADER, text, names).unwrap().strip_prefix(PRELUDE).unwrap().to_owned()
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
