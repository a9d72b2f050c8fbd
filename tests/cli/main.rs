//! The program as its users run it: what it prints, what it leaves behind, and how it complains.

#![cfg(feature = "cli")]

mod browser;
#[cfg(feature = "gpu")]
#[path = "../common/mod.rs"]
mod common;
mod data;
mod faults;
mod inside;
mod networks;
mod reports;
mod training;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gabor::io::safetensors;
use gabor::train::TrainConfig;
use serde_json::Value;
use tempfile::TempDir;

/// What a run of the program came to.
struct Outcome {
    status: ExitStatus,
    stdout: String,
    /// Without the line that the Vulkan loader prints on machines without a display.
    stderr: Vec<String>,
}

fn program(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gabor"));
    command.args(arguments).current_dir(folder);
    command.env_remove("GABOR_DEVICE").env_remove("RUST_BACKTRACE");
    // What the user's cache holds is no part of a test.
    command.env("GABOR_CACHE", folder.join("cache"));
    command
}

fn run_in(folder: &Path, arguments: &[&str]) -> Outcome {
    let output = program(arguments, folder).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stderr = stderr.lines().filter(|l| !l.starts_with("error: XDG_RUNTIME_DIR"));
    Outcome {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: stderr.map(str::to_owned).collect(),
    }
}

/// A run that must end well, without a word on standard error.
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let outcome = run_in(folder, arguments);
    assert!(outcome.status.success(), "{arguments:?}: {} {:?}", outcome.status, outcome.stderr);
    assert!(outcome.stderr.is_empty(), "{arguments:?}: {:?}", outcome.stderr);
    outcome.stdout
}

/// A run that must fail: exit code 2, and one line that contains each of `says`.
fn fail(folder: &Path, arguments: &[&str], says: &[&str]) {
    let outcome = run_in(folder, arguments);
    let [line] = &outcome.stderr[..] else {
        panic!("{arguments:?}: {} {:?}", outcome.status, outcome.stderr)
    };
    println!("{line}");
    assert_eq!(outcome.status.code(), Some(2), "{arguments:?}: {line}");
    assert!(line.starts_with("gabor: ") && !line.contains("panicked"), "{arguments:?}: {line}");
    for word in says {
        assert!(line.contains(word), "{arguments:?}: {line:?} does not say {word:?}");
    }
    assert_eq!(outcome.stdout, "", "{arguments:?}");
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref())
        .unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// The arguments of a short run on the CPU.
const SHORT: &[&str] =
    &["train", "--device", "cpu", "--epochs", "1", "--max-steps", "3", "--batch", "8", "--json"];

/// A finished run of LeNet, made once.
fn finished() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        succeed(folder.path(), &[SHORT, &["--model", "lenet", "--out", "run"]].concat());
        folder
    });
    folder.path()
}

#[test]
fn a_run_leaves_everything_behind_and_repeats_itself() {
    let folder = tempfile::tempdir().unwrap();
    let stdout = succeed(folder.path(), &[SHORT, &["--seed", "9", "--out", "first"]].concat());
    let lines: Vec<Value> = stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let [epoch, result] = &lines[..] else { panic!("{stdout}") };
    assert_eq!(epoch["epoch"], 1);
    for key in ["loss", "train_top1", "test_loss", "test_top1", "images_per_second"] {
        assert!(epoch[key].as_f64().is_some_and(f64::is_finite), "{key}: {epoch}");
    }
    assert!((0.0..=1.0).contains(&result["test_top1"].as_f64().unwrap()), "{result}");
    assert!(result["train_seconds"].as_f64().unwrap() > 0.0, "{result}");
    assert!(result["device"].as_str().unwrap().starts_with("cpu"), "{result}");
    assert_eq!((&result["run"], &result["steps"]), (&"first".into(), &3.into()));
    assert_eq!(result["interrupted"], false);

    let first = folder.path().join("first");
    let steps: Vec<Value> = text(first.join("metrics.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(steps.len(), 3);
    for (i, step) in steps.iter().enumerate() {
        assert_eq!((&step["step"], &step["epoch"]), (&(i + 1).into(), &1.into()));
        assert!(step["loss"].as_f64().is_some_and(|l| l > 0.0), "{step}");
        assert_eq!(step["images"], 8);
    }
    let config = TrainConfig::read(first.join("config.toml")).unwrap();
    assert_eq!((config.seed, config.batch, config.max_steps), (9, 8, Some(3)));
    assert_eq!((config.data.as_str(), config.model.as_str()), ("digits", "alexnet-small"));
    let summary: Value = serde_json::from_str(&text(first.join("summary.json"))).unwrap();
    assert_eq!(&summary, result);
    let weights = safetensors::load(first.join("weights.safetensors")).unwrap();
    assert_eq!(weights.tensors()["conv1.weight"].shape().dims(), [32, 1, 7, 7]);
    assert_eq!(weights.meta("model").unwrap(), "alexnet-small");
    for picture in ["curves.png", "filters.png"] {
        let image = image::open(first.join(picture)).unwrap().to_rgb8();
        let first = *image.get_pixel(0, 0);
        assert!(image.pixels().any(|&p| p != first), "{picture} is blank");
    }
    let mut names: Vec<_> = std::fs::read_dir(&first)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let files = [
        "best.safetensors",
        "classes.json",
        "config.toml",
        "curves.png",
        "environment.json",
        "epochs.jsonl",
        "filters.png",
        "metrics.jsonl",
        "report.html",
        "summary.json",
        "weights.safetensors",
    ];
    assert_eq!(names, files);

    // The same again from the configuration, to the bit.
    succeed(folder.path(), &["train", "--config", "first/config.toml", "--out", "again", "-q"]);
    let again = folder.path().join("again");
    let bytes = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    for name in ["weights.safetensors", "best.safetensors", "metrics.jsonl", "config.toml"] {
        assert!(bytes(&first, name) == bytes(&again, name), "{name} differs");
    }

    // What eval says is what the run said.
    let stdout = succeed(folder.path(), &["eval", "first", "--device", "cpu", "--json"]);
    let evaluated: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(evaluated["images"], 1000);
    for (key, expected) in [("top1", "test_top1"), ("top5", "test_top5"), ("loss", "test_loss")] {
        let (now, then) = (evaluated[key].as_f64().unwrap(), summary[expected].as_f64().unwrap());
        assert!((now - then).abs() < 1e-5, "{key}: {now} {then}");
    }
}

#[test]
fn runs_without_a_folder_are_numbered_and_talk_in_lines() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["train", "--device", "cpu", "--model", "lenet", "--max-steps", "2"];
    for number in ["001", "002"] {
        let stdout = succeed(folder.path(), &arguments);
        assert!(stdout.contains("lenet on digits (4000 images"), "{stdout}");
        assert!(stdout.contains("epoch  1/15") && stdout.contains("test accuracy"), "{stdout}");
        let run = format!("runs/digits-lenet-{number}");
        assert!(stdout.contains(&format!("saved to {run}")), "{stdout}");
        assert!(folder.path().join(run).join("weights.safetensors").exists());
    }
    let stdout = succeed(folder.path(), &[&arguments[..], &["--quiet"]].concat());
    assert_eq!(stdout, "");
}

/// Saves the first test digit of a class as a picture.
fn digit(folder: &Path, class: u32, name: &str) {
    let source = gabor::data::open("digits").unwrap();
    let mut pixels = vec![0; 28 * 28];
    let index =
        (0..source.test.len()).find(|&i| source.test.load(i, &mut pixels).unwrap() == class);
    assert!(index.is_some());
    image::GrayImage::from_raw(28, 28, pixels).unwrap().save(folder.join(name)).unwrap();
}

#[test]
fn predict_tells_classes_and_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--device", "cpu", "--model", "lenet", "--epochs", "1", "--batch", "32"];
    // Enough steps to know a zero from a one.
    let rest = ["--max-steps", "90", "--lr", "0.02", "--out", "run", "-q", "--no-augment"];
    succeed(folder.path(), &[&train[..], &rest].concat());
    digit(folder.path(), 0, "zero.png");
    digit(folder.path(), 1, "one.png");
    let predict = ["predict", "run", "zero.png", "one.png", "--device", "cpu"];
    let stdout = succeed(folder.path(), &predict);
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    for (line, (name, class)) in lines.iter().zip([("zero.png", "0"), ("one.png", "1")]) {
        assert!(line.starts_with(&format!("{name}: {class} ")) && line.ends_with(" %"), "{line}");
    }
    let stdout = succeed(folder.path(), &[&predict[..], &["--json", "--top", "10"]].concat());
    for (line, class) in stdout.lines().zip(["0", "1"]) {
        let value: Value = serde_json::from_str(line).unwrap();
        let guesses = value["classes"].as_array().unwrap();
        assert_eq!((guesses.len(), &guesses[0]["class"]), (10, &class.into()), "{line}");
        let sum: f64 = guesses.iter().map(|g| g["probability"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{line}");
    }
    // Any picture will do; it is resized and turned grey.
    image::RgbImage::from_fn(50, 40, |x, y| image::Rgb([x as u8, y as u8, 99]))
        .save(folder.path().join("colours.png"))
        .unwrap();
    let stdout = succeed(folder.path(), &["predict", "run", "colours.png", "--device", "cpu"]);
    assert!(stdout.starts_with("colours.png: "), "{stdout}");
}

#[test]
fn summaries_and_devices_are_listed() {
    let here = Path::new(".");
    let stdout = succeed(here, &["summary", "alexnet"]);
    assert!(stdout.contains("60,965,224"), "{stdout}");
    // The lecture's count of conv1's weights, and its shapes.
    for words in ["34,944", "[1, 96, 55, 55]", "[1, 256, 6, 6]", "37,752,832"] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert!(succeed(here, &["summary", "alexnet-2014"]).contains("61,100,840"));
    let stdout = succeed(here, &["summary", "lenet", "--input", "3,32,32", "--batch", "4"]);
    assert!(stdout.contains("[4, 3, 32, 32]"), "{stdout}");
    let stdout = succeed(here, &["devices"]);
    assert!(stdout.starts_with("cpu ") && stdout.contains("\nauto "), "{stdout}");
    let json: Value = serde_json::from_str(&succeed(here, &["devices", "--json"])).unwrap();
    let adapters = json.as_array().unwrap();
    for adapter in adapters {
        assert!(stdout.contains(adapter["name"].as_str().unwrap()), "{stdout}");
        assert!(adapter["max_binding_bytes"].as_u64().unwrap() >= 128 << 20, "{adapter}");
    }
    for arguments in [&["--help"][..], &["train", "--help"], &["--version"]] {
        assert!(succeed(here, arguments).contains("gabor"));
    }
}

#[test]
fn an_operation_runs_on_tensors_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, tensors: &[(&str, &[usize], &[f32])]| {
        let tensors = tensors.iter().map(|&(name, shape, data)| {
            (name, gabor::tensor::Tensor::f32(shape, data.to_vec()).unwrap())
        });
        safetensors::save(folder.path().join(name), tensors, &Default::default()).unwrap();
    };
    let image: &[f32] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let tensors: [(&str, &[usize], &[f32]); 2] =
        [("input", &[1, 1, 2, 3], image), ("weight", &[1, 1, 2, 2], &[1.0, 0.0, 0.0, -1.0])];
    save("in.safetensors", &tensors);
    save("grads.safetensors", &[("output", &[1, 1, 1, 2], &[1.0, 10.0])]);
    let files = ["--inputs", "in.safetensors", "--output", "out.safetensors", "--device", "cpu"];
    let run = [&["op", "conv2d"], &files[..], &["--grad-outputs", "grads.safetensors"]].concat();
    let stdout = succeed(folder.path(), &run);
    assert!(stdout.starts_with("output: f32[1, 1, 1, 2]"), "{stdout}");
    let file = safetensors::load(folder.path().join("out.safetensors")).unwrap();
    let values = |name: &str| file.get(name).unwrap().as_f32().unwrap().to_vec();
    assert_eq!(values("output"), [-4.0, -4.0]);
    assert_eq!(values("grad_weight"), [21.0, 32.0, 54.0, 65.0]);
    assert_eq!(values("grad_input"), [1.0, 10.0, 0.0, 0.0, -1.0, -10.0]);

    let stdout = succeed(folder.path(), &["op", "--list"]);
    assert!(
        stdout.lines().count() > 60 && stdout.contains("\nmax_pool2d(input) -> output, indices")
    );
    let line = succeed(folder.path(), &["op", "--list", "conv2d", "--json"]);
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["attributes"]["groups"], 1);

    let bad: [(&str, &str, &[&str]); 5] = [
        ("conv3d", "{}", &["unknown operation `conv3d`", "conv2d"]),
        ("conv2d", "{\"strid\": 2}", &["unknown field `strid`", "stride"]),
        ("conv2d", "{\"groups\": 3}", &["conv2d", "[1, 1, 2, 3]"]),
        ("conv2d", "[1]", &["attrs", "JSON object"]),
        ("linear", "{}", &["linear", "[1, 1, 2, 2]"]),
    ];
    for (name, attributes, says) in bad {
        let arguments = [&["op", name, "--attrs", attributes], &files[..]].concat();
        fail(folder.path(), &arguments, says);
    }
    fail(folder.path(), &[&["op", "relu"], &files[..]].concat(), &["unknown input `weight`"]);
}

/// Waits for a process to end.
fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > limit {
            child.kill().unwrap();
            panic!("it did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_what_was_learned() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["train", "--device", "cpu", "--model", "lenet", "--epochs", "1000"];
    let arguments = [&arguments[..], &["--out", "run", "--json", "--batch", "16"]].concat();
    let mut child = program(&arguments, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let run = folder.path().join("run");
    let started = Instant::now();
    // The log reaches the disk about once a second.
    while std::fs::metadata(run.join("metrics.jsonl")).map_or(0, |m| m.len()) == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "no step within a minute");
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = wait(&mut child, Duration::from_secs(60));
    assert_eq!(status.code(), Some(0));
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let result: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(result["interrupted"], true);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("ending after this step") && !stderr.contains("panicked"), "{stderr}");

    let metrics = text(run.join("metrics.jsonl"));
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(last["step"], result["steps"]);
    assert_eq!(metrics.lines().count() as u64, result["steps"].as_u64().unwrap());
    assert!(run.join("curves.png").exists() && run.join("filters.png").exists());
    let stdout = succeed(folder.path(), &["eval", "run", "--device", "cpu", "--json"]);
    let evaluated: Value = serde_json::from_str(&stdout).unwrap();
    let (now, then) = (&evaluated["top1"], &result["test_top1"]);
    assert!((now.as_f64().unwrap() - then.as_f64().unwrap()).abs() < 1e-6, "{now} {then}");
}
