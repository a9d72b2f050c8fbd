//! Rewrites how a kernel accesses an array. A kernel is written once, for buffers in single precision;
//! where an operand is stored otherwise, its binding is declared otherwise and each access changed.

use std::ops::Range;

use super::shader::fault;
use crate::error::Result;
use crate::kernel::Shader;

/// The types of elements that kernels are written for.
const ELEMENTS: [&str; 2] = ["f32", "vec4<f32>"];

/// A storage binding that is an array of `f32` or of vectors of four.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Array<'a> {
    pub(super) name: &'a str,
    /// The type of an element.
    pub(super) element: &'static str,
    /// Whether the kernel may store to it.
    pub(super) is_written: bool,
}

impl<'a> Array<'a> {
    /// The binding of this name, if it is such an array.
    pub(super) fn find(text: &str, name: &'a str) -> Option<Self> {
        let arrays = ELEMENTS.into_iter().flat_map(|element| {
            [false, true].map(|is_written| Array { name, element, is_written })
        });
        arrays.into_iter().find(|array| text.contains(&array.declaration(array.element)))
    }

    /// How a binding of these elements is declared.
    pub(super) fn declaration(&self, element: &str) -> String {
        let access = if self.is_written { "read_write" } else { "read" };
        format!("var<storage, {access}> {}: array<{element}>;", self.name)
    }

    /// Whether the kernel does nothing with the array but access its elements.
    pub(super) fn is_only_indexed(&self, text: &str) -> bool {
        let words = text.match_indices(self.name).filter(|&(at, _)| self.is_word(text, at));
        let others = words.filter(|&(at, _)| !text[at + self.name.len()..].starts_with('['));
        // Its declaration is one.
        others.count() == 1
    }

    /// `text` with `load(index)` where an element is loaded, and `store(index, value)` where one is stored.
    ///
    /// Errors where an access does not end.
    pub(super) fn rewrite(
        &self,
        shader: Shader,
        text: &str,
        load: &dyn Fn(&str) -> String,
        store: &dyn Fn(&str, &str) -> String,
    ) -> Result<String> {
        let mut rewritten = String::with_capacity(text.len() + text.len() / 8);
        let mut rest = text;
        while let Some(at) = self.next_access(rest) {
            let unended = || fault(shader, format!("an access to `{}` does not end", self.name));
            let brackets = bracketed(rest, at + self.name.len()).ok_or_else(unended)?;
            let index = self.rewrite(shader, &rest[brackets.clone()], load, store)?;
            rewritten.push_str(&rest[..at]);
            rest = &rest[brackets.end + 1..];
            let Some((operator, value)) = assignment(rest) else {
                rewritten.push_str(&load(&index));
                continue;
            };
            let end = value.find(';').ok_or_else(unended)?;
            let value_rewritten = self.rewrite(shader, value[..end].trim(), load, store)?;
            let stored = match operator {
                "" => value_rewritten,
                operator => format!("{} {operator} ({value_rewritten})", load(&index)),
            };
            rewritten.push_str(&store(&index, &stored));
            rest = &value[end..];
        }
        rewritten.push_str(rest);
        Ok(rewritten)
    }

    /// Where the next access begins: the name as a word of its own, and a bracket behind it.
    fn next_access(&self, text: &str) -> Option<usize> {
        let found = text.match_indices(self.name).map(|(at, _)| at);
        let is_access = |at: usize| text[at + self.name.len()..].starts_with('[');
        found.into_iter().find(|&at| self.is_word(text, at) && is_access(at))
    }

    /// Whether the name at `at` is a word of its own, and no member of something else.
    fn is_word(&self, text: &str, at: usize) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = text[..at].ends_with(|c| is_part(c) || c == '.');
        !before && !text[at + self.name.len()..].starts_with(is_part)
    }
}

/// The text without comments, which may hold anything.
pub(super) fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
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
