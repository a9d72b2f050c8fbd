//! The documents say what is there: the table of operations comes from the registry, quoted code is
//! in the file that is named, and links lead somewhere.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use gabor::kernel::{Adapter, AdapterKind, Cooperative};
use gabor::ops::Types;
use gabor::ops::call::Call;
use gabor::ops::case::Draw;
use gabor::ops::registry::{Entry, calls, entries};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Adapters that between them are offered every variant.
fn adapters() -> Vec<Adapter> {
    let plain = Adapter::webgpu_default();
    let with = |kind, subgroups| Adapter { kind, subgroups, ..plain.clone() };
    let half = Adapter { f16: true, ..plain.clone() };
    let cooperative = Adapter {
        f16: true,
        subgroups: Some((32, 32)),
        cooperative: Cooperative { half: Some(8), single: Some(8) },
        workgroup_memory: 32 << 10,
        ..plain.clone()
    };
    [AdapterKind::Discrete, AdapterKind::Software]
        .into_iter()
        .flat_map(|kind| [None, Some((8, 8)), Some((32, 32))].map(|s| with(kind, s)))
        .chain([half, cooperative])
        .collect()
}

const HEAD: &str = "\
# Operations

Every operation that gabor has, as the registry (`src/ops/registry.rs`) lists them. A test writes this
file and fails where it is out of date: `UPDATE_DOCS=1 cargo test --test docs`.

Each of them has an oracle in `f64`, runs on the CPU engine, and has the *kernels* named for GPUs: those that
it offers to some adapter for some shape, the first of which is taken unless the planner is told
otherwise. A *differentiable* operation emits its own gradient, and finite differences check it; the
others are gradients themselves, or have none. The *tolerance* is what an element may be off by, as a
multiple of the sum of its own size and the tensor's root mean square: `4 + 2 sqrt(terms)` units of
single precision (`src/tolerance.rs`), here for the longest sum among the sample cases;
[Winograd's kernels](winograd.md) have a wider one. Shapes, units and errors are in the crate's documentation.

| operation | formula | kernels | differentiable | tolerance | source |
| --- | --- | --- | --- | --- | --- |
";

const BY_NAME: &str = "
## By name

What `gabor op NAME` and `gabor::call::run` take: tensors by name (`?` marks one that may be left out, `*`
any number `name.0`, `name.1` ...) and attributes as JSON, here with their default values. Names and
attributes are PyTorch's where it has them. Given gradients that arrive at outputs, the result holds
`grad_NAME` for each input. All of it is compared with PyTorch (`tests/parity.rs`).

| name | inputs | outputs | attributes |
| --- | --- | --- | --- |
";

fn row(entry: &Entry) -> String {
    let cases = (entry.cases)(&mut Draw::new(1));
    let mut variants: Vec<&str> = vec![];
    let mut terms = 1;
    for case in &cases {
        let types = Types::infer(case.op.as_ref(), case.input_types()).unwrap();
        terms = terms.max(case.op.reduction(&types));
        let both = || std::iter::once(types.clone()).chain(common::halved(case));
        for (adapter, types) in adapters().iter().flat_map(|a| both().map(move |t| (a, t))) {
            for variant in case.op.variants(&types, adapter).unwrap_or_default() {
                if !variants.contains(&variant.name) {
                    variants.push(variant.name);
                }
            }
        }
    }
    variants.sort_unstable();
    let is_differentiable = cases.iter().any(|case| !case.differentiable.is_empty());
    format!(
        "| `{}` | `{}` | {} | {} | {:.0e} | {} |",
        entry.name,
        entry.formula.replace('|', "\\|"),
        variants.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
        if is_differentiable { "yes" } else { "" },
        f64::from(f32::EPSILON) * (4.0 + 2.0 * (terms as f64).sqrt()),
        entry.source.replace('|', "\\|"),
    )
}

fn call_row(call: &Call) -> String {
    let list = |names: &[&str]| names.join(", ");
    let attributes = (call.attributes)();
    let attributes = match attributes.as_object() {
        Some(object) if object.is_empty() => String::new(),
        _ => format!("`{attributes}`"),
    };
    let (inputs, outputs) = (list(call.inputs), list(call.outputs));
    format!("| `{}` | {inputs} | {outputs} | {attributes} |", call.name).replace('*', "\\*")
}

#[test]
fn the_table_of_operations_is_up_to_date() {
    let mut text = HEAD.to_owned();
    for entry in entries() {
        writeln!(text, "{}", row(entry)).unwrap();
    }
    text += BY_NAME;
    let mut calls: Vec<_> = calls().collect();
    calls.sort_unstable_by_key(|call| call.name);
    for call in calls {
        writeln!(text, "{}", call_row(call)).unwrap();
    }
    let path = root().join("docs/ops.md");
    if std::env::var_os("UPDATE_DOCS").is_some_and(|v| v == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let stale = text.lines().zip(found.lines()).find(|(new, old)| new != old);
    assert!(
        text == found,
        "docs/ops.md is out of date; run `UPDATE_DOCS=1 cargo test --test docs`. First difference: \
         {stale:?}"
    );
}

/// The project's Markdown files.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![];
    for folder in ["", "docs", "shaders", "assets"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 5, "{found:?}");
    found
}

/// The text outside fenced code.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

/// The targets of a text's links and pictures: `](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        for link in links(&prose(&text)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let folder = document.parent().unwrap();
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", document.display());
            if !fragment.is_empty() {
                let target = prose(&read(&target));
                let mut headings = target.lines().filter(|l| l.starts_with('#')).map(anchor);
                assert!(
                    headings.any(|h| h == fragment),
                    "{}: `{link}` names no heading",
                    document.display()
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links");
}

/// Words in back quotes that look like a path of this repository.
fn paths(text: &str) -> BTreeSet<&str> {
    let roots =
        ["src/", "shaders/", "tests/", "docs/", "examples/", "assets/", "xtask/", "benches/"];
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        // NAME stands for any.
        roots.iter().any(|r| word.starts_with(r))
            && !word.contains("NAME")
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    quoted.filter(is_path).collect()
}

#[test]
fn paths_in_prose_exist() {
    for document in documents() {
        if document.ends_with("CHANGELOG.md") {
            continue;
        }
        for path in paths(&prose(&read(&document))) {
            assert!(root().join(path).exists(), "{}: there is no `{path}`", document.display());
        }
    }
}

/// The blocks of code that a document quotes from a file: the file's path in back quotes ends the
/// paragraph before, with a colon.
fn quotes(text: &str) -> Vec<(String, String)> {
    let mut quotes = vec![];
    let mut lines = text.lines();
    let mut before = String::new();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|l| !l.starts_with("```")).collect();
            let file = before.trim_end().strip_suffix("`:").and_then(|b| b.rsplit('`').next());
            if let (Some(file), "rust,ignore" | "wgsl") = (file, language) {
                quotes.push((file.to_owned(), block.join("\n")));
            }
        } else if !line.trim().is_empty() {
            before = line.to_owned();
        }
    }
    quotes
}

/// Lines without their indentation; `...` on a line of its own stands for anything.
fn is_quoted_from(quote: &str, source: &str) -> bool {
    let bare = |text: &str| text.lines().map(|l| l.trim().to_owned()).collect::<Vec<_>>();
    let source = bare(source);
    let mut rest = &source[..];
    let quote = bare(quote);
    quote.split(|l| l == "// ...").filter(|part| !part.is_empty()).all(|part| {
        let found = rest.windows(part.len()).position(|window| window == part);
        found.inspect(|at| rest = &rest[at + part.len()..]).is_some()
    })
}

#[test]
fn quoted_code_is_in_its_file() {
    let mut checked = 0;
    for document in documents() {
        for (file, quote) in quotes(&read(&document)) {
            let source = read(&root().join(&file));
            assert!(
                is_quoted_from(&quote, &source),
                "{}: this is not in {file}:\n{quote}",
                document.display()
            );
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} quotes");
}
