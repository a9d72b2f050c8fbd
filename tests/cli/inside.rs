//! `filters`, `demo`, `explain` and films.

use super::{SHORT, Value, digit, fail, finished, succeed, text};

#[test]
fn filters_make_a_sheet_and_refuse_what_is_no_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let stdout = succeed(at, &["filters", "photo:coffee", "--size", "64", "--device", "cpu"]);
    assert!(stdout.starts_with("7 filters on cpu"), "{stdout}");
    let sheet = image::open(at.join("filters.png")).unwrap().to_rgb8();
    assert!(sheet.width() > 4 * 160 && sheet.height() > 2 * 100, "{:?}", sheet.dimensions());
    let own = ["filters", "filters.png", "--kernel", "-1 0 1; -2 0 2; -1 0 1", "--out", "own.png"];
    let stdout = succeed(at, &[&own[..], &["--device", "cpu"]].concat());
    assert!(stdout.starts_with("1 filter on"), "{stdout}");
    assert!(at.join("own.png").exists());
    let kernel = |rows| ["filters", "photo:coffee", "--kernel", rows];
    fail(at, &kernel("1 2; 3"), &["kernel = 1 2; 3", "row 2 has 1 numbers"]);
    fail(at, &kernel("1 2; 3 4"), &["2x2", "odd"]);
    fail(at, &kernel("a"), &["`a` is not a number"]);
    fail(at, &["filters", "photo:mona-lisa"], &["photograph", "astronaut, brick"]);
    fail(at, &["filters", "none.png"], &["none.png"]);
    fail(at, &["filters", "photo:coffee", "--size", "3"], &["16 to 2048"]);
}

#[test]
fn demonstrations_are_plain_text_where_nobody_watches() {
    let folder = tempfile::tempdir().unwrap();
    for (what, says) in
        [("pool", "max(1, 1, 5, 6) = 6"), ("conv", "Step 18 of 18"), ("im2col", "equal")]
    {
        let stdout = succeed(folder.path(), &["demo", what, "--device", "cpu", "--pause"]);
        assert!(stdout.contains(says) && !stdout.contains('\x1b'), "{stdout}");
        let again = succeed(folder.path(), &["demo", what, "--device", "cpu", "--seed", "5"]);
        assert!(again != stdout);
    }
    fail(folder.path(), &["demo", "pool", "--width", "10"], &["width = 10", "50"]);
    fail(folder.path(), &["demo", "lstm"], &["lstm", "conv"]);
}

#[test]
fn a_run_is_explained_on_a_page() {
    let folder = tempfile::tempdir().unwrap();
    digit(folder.path(), 3, "three.png");
    let run = finished().join("run").display().to_string();
    let picture = folder.path().join("three.png").display().to_string();
    let explain = ["explain", run.as_str(), picture.as_str(), "--device", "cpu"];
    let rest = ["--sample", "100", "--out", "out", "--class", "8", "--json"];
    let stdout = succeed(folder.path(), &[&explain[..], &rest].concat());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["prediction"].as_array().unwrap().len(), 10);
    assert_eq!(report["class"], "8");
    let page = text(folder.path().join("out/index.html"));
    let pictures = report["pictures"].as_array().unwrap();
    for name in
        ["grad-cam", "occlusion", "saliency", "deconvnet", "patches", "filters", "maps-01-conv1"]
    {
        let found = pictures.iter().any(|p| p.as_str().unwrap().ends_with(&format!("{name}.png")));
        assert!(found, "{name}: {stdout}");
        let picture = image::open(folder.path().join("out").join(format!("{name}.png"))).unwrap();
        let picture = picture.to_rgb8();
        assert!(picture.pixels().any(|p| p != picture.get_pixel(0, 0)), "{name} is blank");
    }
    assert_eq!(page.matches("data:image/png;base64,").count(), pictures.len());
    assert!(!page.contains("://"), "the page needs nothing else");

    let one = ["--sample", "0", "--layer", "conv1", "--unit", "2", "--out", "one"];
    let stdout = succeed(folder.path(), &[&explain[..], &one].concat());
    assert!(stdout.contains("index.html"), "{stdout}");
    assert!(!folder.path().join("one/patches.png").exists());
    let with = |more: &[&'static str]| [&explain[..], more].concat();
    fail(folder.path(), &with(&["--class", "ten"]), &["class", "ten", "0, 1"]);
    fail(folder.path(), &with(&["--layer", "conv9"]), &["conv9", "conv1, "]);
    fail(folder.path(), &with(&["--layer", "conv1", "--unit", "99"]), &["unit = 99", "conv1"]);
    let other = ["--data", "photos"];
    fail(folder.path(), &with(&other), &["photos", "[3, 32, 32]", "[1, 28, 28]"]);
}

#[test]
fn a_film_shows_the_filters_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let film = ["--model", "lenet", "--out", "run", "--film", "film.png"];
    succeed(folder.path(), &[SHORT, &film].concat());
    let bytes = std::fs::read(folder.path().join("film.png")).unwrap();
    // An animation has its control chunk before the pixels: here of 4 frames, the start and 3 steps.
    let at = bytes.windows(4).position(|w| w == b"acTL").unwrap();
    assert_eq!(bytes[at + 4..at + 8], [0, 0, 0, 4]);
    let frame = image::open(folder.path().join("film.png")).unwrap().to_rgb8();
    let last = image::open(folder.path().join("run/filters.png")).unwrap().to_rgb8();
    assert_eq!(frame.dimensions(), last.dimensions());
    let gif = ["--out", "other", "--film", "film.gif"];
    fail(folder.path(), &[SHORT, &gif].concat(), &["film.gif", ".png"]);
    assert!(!folder.path().join("other").exists());
}
