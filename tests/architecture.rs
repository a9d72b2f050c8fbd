//! Who may know whom. `docs/architecture.md` says it in words; this holds the sources to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each module of the crate, with those that it may use.
const ROOMS: &[(&str, &str)] = &[
    ("tensor", "error"),
    ("error", "tensor"),
    ("philox", ""),
    ("tolerance", ""),
    ("kernel", "error tensor"),
    ("ops", "error kernel philox tensor tolerance"),
    ("tuning", "error io"),
    ("graph", "error kernel ops philox tensor"),
    ("cpu", "error graph ops tensor"),
    // The GPU engine borrows the checks that both engines make of a run's inputs.
    ("gpu", "cpu error graph kernel ops tensor tolerance tuning"),
    ("device", "error gpu graph kernel ops tuning"),
    ("session", "cpu device error gpu graph tensor"),
    ("check", "device error graph kernel ops session tensor tolerance"),
    ("call", "device error graph ops session tensor"),
    ("nn", "error graph ops philox tensor"),
    ("optim", "error graph nn ops tensor"),
    ("zoo", "error nn ops"),
    ("data", "error ops philox"),
    ("io", "error philox tensor"),
    ("viz", "error io tensor"),
    ("train", "data device error graph io kernel nn ops optim session tensor tuning viz zoo"),
    ("bench", "device error graph kernel nn ops optim session tensor tolerance train zoo"),
    ("explain", "data device error graph io nn ops session tensor train viz"),
    ("report", "bench data device error explain io tensor train tuning viz"),
    ("lecture", "device error graph ops philox session tensor viz"),
    ("prelude", "data device error nn optim tensor train"),
    (
        "cli",
        "bench call data device error explain gpu graph lecture nn optim ops report tensor train tuning viz zoo io",
    ),
];

/// The Rust files under a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The file's module, path and code without comments and without its unit tests, which may use all.
fn files() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![];
    sources(&root, &mut found);
    let files = found.into_iter().map(|file| {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let room = first.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let code = lines.filter(is_code).collect::<Vec<_>>().join("\n");
        (room, file, code)
    });
    files.filter(|(room, _, _)| room != "lib" && room != "main").collect()
}

#[test]
fn modules_use_only_those_that_they_may() {
    let mut seen = BTreeSet::new();
    for (room, file, code) in files() {
        let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| {
            panic!("{}: add the module `{room}` to this test and the document", file.display())
        });
        let allowed: Vec<_> = allowed.split_whitespace().collect();
        for used in code.split("crate::").skip(1) {
            let end = used.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let used = &used[..end.unwrap_or(used.len())];
            let may = used.is_empty() || used == room || allowed.contains(&used);
            assert!(may, "{}: `{room}` may not use `{used}`", file.display());
        }
        seen.insert(room);
    }
    assert_eq!(seen, ROOMS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn only_the_gpu_engine_names_the_graphics_api() {
    let mut named = 0;
    for (room, file, code) in files() {
        let names_it = code.contains("wgpu::") || code.contains("naga::");
        assert!(!names_it || room == "gpu", "{} names it", file.display());
        named += usize::from(names_it);
    }
    assert!(named > 3, "only {named} files name it");
}

#[test]
fn the_engines_know_no_op_by_name() {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let folders = std::fs::read_dir(ops).unwrap().map(|entry| entry.unwrap().path());
    let families: Vec<String> = folders
        .filter(|path| path.is_dir())
        .map(|path| format!("ops::{}", path.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert!(families.len() > 5, "{families:?}");
    for (_, file, code) in files().into_iter().filter(|(room, _, _)| room == "cpu" || room == "gpu")
    {
        for family in &families {
            assert!(!code.contains(family.as_str()), "{} names {family}", file.display());
        }
    }
}
