//! What a run leaves behind to look at: its page, event files, comparisons.

use std::path::Path;

use super::*;
#[cfg(feature = "gpu")]
use gabor::tolerance::Tolerance;

/// Names that would break a page that takes them as they are.
const NAMES: [&str; 3] = ["<script>alert(1)<", "a&b\"'><img src=x onerror=boom()>", "plain"];

/// A folder of pictures with classes of those names, each of a colour and with noise.
pub(super) fn pictures(folder: &Path) {
    for (class, name) in NAMES.iter().enumerate() {
        let folder = folder.join("pictures").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..10u32 {
            let noise = |x: u32, y: u32| (x * 37 + y * 101 + number * 53 + x * y * 7) % 120;
            let picture = image::RgbImage::from_fn(16, 16, |x, y| {
                let mut pixel = [noise(x, y) as u8; 3];
                pixel[class] += 60;
                image::Rgb(pixel)
            });
            picture.save(folder.join(format!("{number}.png"))).unwrap();
        }
    }
    let config = "data = \"folder:pictures\"\nmodel = \"lenet\"\nimage-size = 28\nepochs = 2\n\
                  batch = 8\ndevice = \"cpu\"\nseed = 5\n";
    std::fs::write(folder.join("config.toml"), config).unwrap();
}

#[cfg(unix)]
#[test]
fn a_page_is_whole_and_safe_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let train = ["train", "--config", "config.toml", "--out", "run", "--tensorboard", "-q"];
    succeed(folder.path(), &train);
    let page = text(folder.path().join("run/report.html"));
    // By itself: nothing is fetched, and no name is more than text.
    for word in ["http:", "https:", "<script", "<img src=x", "src=\"/", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("&lt;script&gt;alert(1)&lt;</th>").count(), 2, "a row and a column");

    // The same again, but for what the clock says.
    std::fs::remove_file(folder.path().join("run/report.html")).unwrap();
    let stdout = succeed(folder.path(), &["report", "run"]);
    assert_eq!(stdout.trim_end(), "wrote run/report.html");
    let again = text(folder.path().join("run/report.html"));
    let before_times = |page: &str| page[..page.find("id=\"times\"").unwrap()].to_owned();
    assert_eq!(before_times(&page), before_times(&again));

    let classes: Vec<Value> =
        serde_json::from_str(&text(folder.path().join("run/classes.json"))).unwrap();
    let images: u64 = classes.iter().map(|class| class["images"].as_u64().unwrap()).sum();
    let right: f64 =
        classes.iter().map(|c| c["images"].as_f64().unwrap() * c["recall"].as_f64().unwrap()).sum();
    let summary: Value =
        serde_json::from_str(&text(folder.path().join("run/summary.json"))).unwrap();
    let share = summary["test_top1"].as_f64().unwrap();
    assert!((right / images as f64 - share).abs() < 1e-6, "{right} of {images}, {share}");

    let Some(seen) = browser::open(&page, folder.path()) else { return };
    assert!(seen.console.is_empty(), "{:?}", seen.console);
    assert_eq!((seen.rows("confusion-table"), seen.rows("classes-table")), (3, 3));
    let config = text(folder.path().join("run/config.toml"));
    assert!(seen.rows("configuration-table") >= config.matches(" = ").count());
    assert_eq!(seen.rows("environment-table"), 6, "without a driver");
    assert!(seen.rows("times-table") > 8, "{}", seen.answer("rows"));
    let wrong = images as f64 - right;
    assert_eq!(seen.answer("mistakes"), format!("{wrong:.0}"));
    // Loss and top-1 have three curves each, the learning rate one.
    assert_eq!(seen.answer("curves"), "7");
    // The mistakes, the filters, an image and six layers with maps.
    let images: f64 = seen.answer("images").parse().unwrap();
    assert!(images >= wrong + 8.0, "{images}");
    for key in ["blank", "fetched", "overflow"] {
        assert_eq!(seen.answer(key), "0", "{key}");
    }
}

#[test]
fn event_files_and_logs_hold_every_step_and_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--model", "lenet", "--out", "run", "--tensorboard"];
    succeed(folder.path(), &[SHORT, &more].concat());
    let epochs = text(folder.path().join("run/epochs.jsonl"));
    let epoch: Value = serde_json::from_str(epochs.trim_end()).unwrap();
    let keys = ["loss", "train_top1", "test_loss", "test_top1", "learning_rate", "seconds"];
    for key in keys.into_iter().chain(["images_per_second"]) {
        assert!(epoch[key].as_f64().is_some_and(|v| v > 0.0), "{key}: {epoch}");
    }
    let images = epoch["images_per_second"].as_f64().unwrap() * epoch["seconds"].as_f64().unwrap();
    assert!((images - 24.0).abs() < 1e-6, "{images}");

    let entries = std::fs::read_dir(folder.path().join("run/tensorboard")).unwrap();
    let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let bytes = std::fs::read(file).unwrap();
    let count = |tag: &str| bytes.windows(tag.len()).filter(|w| *w == tag.as_bytes()).count();
    for (tag, times) in [("train/loss", 3), ("train/learning_rate", 3), ("test/top1", 1)] {
        assert_eq!(count(tag), times, "{tag}");
    }
    for tag in ["filters/conv1.weight", "weights/fc3.bias", "gradients/conv1.weight"] {
        assert_eq!(count(tag), 1, "{tag}");
    }
}

#[cfg(feature = "gpu")]
#[test]
fn a_gpu_writes_the_page_and_the_event_files_too() {
    if common::gpu().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--device", "gpu", "--tune", "off", "--model", "lenet", "--batch", "8"];
    let rest = ["--max-steps", "2", "--out", "run", "--tensorboard", "-q"];
    succeed(folder.path(), &[&train[..], &rest].concat());
    let page = text(folder.path().join("run/report.html"));
    let environment: Value =
        serde_json::from_str(&text(folder.path().join("run/environment.json"))).unwrap();
    let driver = environment["driver"].as_str().unwrap_or_else(|| panic!("{environment}"));
    let times = &page[page.find("id=\"times\"").unwrap()..];
    assert!(page.contains(driver) && times.contains("conv2"), "{driver}");
    let entries = std::fs::read_dir(folder.path().join("run/tensorboard")).unwrap();
    let bytes = std::fs::read(entries.map(|entry| entry.unwrap().path()).next().unwrap()).unwrap();
    let count = |tag: &str| bytes.windows(tag.len()).filter(|w| *w == tag.as_bytes()).count();
    for (tag, times) in [("train/gradient_norm", 2), ("gradients/conv1.weight", 1)] {
        assert_eq!(count(tag), times, "{tag}");
    }

    let picture = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(8 * x + y) as u8]));
    picture.save(folder.path().join("picture.png")).unwrap();
    let predict = ["predict", "run", "picture.png", "--top", "10", "--json", "--device"];
    let probabilities = |device: &[&str]| {
        let stdout = succeed(folder.path(), &[&predict[..], device].concat());
        let value: Value = serde_json::from_str(&stdout).unwrap();
        let classes = value["classes"].as_array().unwrap().clone();
        let number = |c: &Value| (c["class"].to_string(), c["probability"].as_f64().unwrap());
        let mut all: Vec<_> = classes.iter().map(number).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, probability)| probability).collect::<Vec<_>>()
    };
    let on_cpu = probabilities(&["cpu"]);
    let tolerance = Tolerance::single(256 * 120);
    tolerance.check(probabilities(&["gpu", "--tune", "off"]), &on_cpu).unwrap();
    fail(folder.path(), &["predict", "run", "picture.png", "--tune", "quik"], &["tuning `quik`"]);
}

#[test]
fn runs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    for (out, rate) in [("a", "0.01"), ("b", "0.001")] {
        let more = ["--model", "lenet", "--out", out, "--lr", rate];
        succeed(folder.path(), &[SHORT, &more].concat());
    }
    let stdout = succeed(folder.path(), &["compare", "a", "b", "--json"]);
    let value: Value = serde_json::from_str(&stdout).unwrap();
    let settings = value["settings"].as_object().unwrap();
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert_eq!(settings["learning-rate"], serde_json::json!(["0.01", "0.001"]));
    for (run, side) in ["a", "b"].iter().zip(value["runs"].as_array().unwrap()) {
        let summary: Value =
            serde_json::from_str(&text(folder.path().join(run).join("summary.json"))).unwrap();
        assert_eq!((&side["final_top1"], &side["run"]), (&summary["test_top1"], &(*run).into()));
        assert_eq!(side["has_ended"], true);
        assert!(side["images_per_second"].as_f64().unwrap() > 0.0);
    }
    let recall = value["recall"].as_array().unwrap();
    assert_eq!(recall.len(), 10);
    let spread = |row: &Value| (row[1][0].as_f64().unwrap() - row[1][1].as_f64().unwrap()).abs();
    assert!(recall.is_sorted_by(|a, b| spread(a) >= spread(b)), "{recall:?}");

    // One that is under way: no summary, no report.
    for name in ["summary.json", "classes.json", "report.html"] {
        std::fs::remove_file(folder.path().join("b").join(name)).unwrap();
    }
    let stdout = succeed(folder.path(), &["compare", "a", "b", "a"]);
    for words in ["learning-rate", "test top-1", "1 so far", "images/s"] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert!(!stdout.contains("recall"), "{stdout}");
    let stdout = succeed(folder.path(), &["compare", "a", "a"]);
    assert!(stdout.contains("configurations are the same"), "{stdout}");

    fail(folder.path(), &["compare", "a"], &["2 values"]);
    fail(folder.path(), &["compare", "a", "none"], &["none/config.toml", "folder of a run"]);
    fail(folder.path(), &["report", "none"], &["none/config.toml"]);
    fail(folder.path(), &["completions", "dos"], &["dos"]);
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = succeed(Path::new("."), &["completions", shell]);
        assert!(script.contains("gabor") && script.contains("compare"), "{shell}: {script}");
    }
}
