//! How the program complains.

use super::*;

#[test]
fn settings_out_of_range_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--data", "mnist"], &["data set `mnist`", "digits, photos, idx:DIR"]),
        (&["--model", "vgg99"], &["model `vgg99`", "alexnet-small"]),
        (&["--device", "tpu"], &["device `tpu`", "auto, cpu, gpu"]),
        (&["--device", "gpu:no such card"], &["gpu:no such card"]),
        (&["--device", "gpu:99"], &["gpu:99"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["--batch", "0"], &["batch = 0"]),
        (&["--batch", "many"], &["many", "--batch"]),
        (&["--batch", "-4"], &["-4", "batch"]),
        (&["--micro-batch", "0"], &["micro-batch = 0"]),
        (&["--epochs", "0"], &["epochs = 0"]),
        (&["--max-steps", "0"], &["max-steps = 0"]),
        (&["--lr", "NaN"], &["learning-rate = NaN", "positive and finite"]),
        (&["--learning-rate", "-0.1"], &["learning-rate = -0.1"]),
        (&["--learning-rate=-inf"], &["learning-rate = -inf"]),
        (&["--learning-rate", "inf"], &["learning-rate = inf"]),
        (&["--learning-rate", "0"], &["learning-rate = 0"]),
        (&["--learning-rate", "fast"], &["fast", "--learning-rate"]),
        (&["--momentum", "1"], &["momentum = 1"]),
        (&["--momentum", "nan"], &["momentum = NaN"]),
        (&["--momentum", "-0.5"], &["momentum = -0.5"]),
        (&["--weight-decay", "-1"], &["weight-decay = -1"]),
        (&["--weight-decay", "inf"], &["weight-decay = inf"]),
        (&["--optimizer", "nadam"], &["optimizer `nadam`", "adadelta, lion, lars"]),
        (&["--clip-norm", "0"], &["clip-norm = 0"]),
        (&["--clip-value", "nan"], &["clip-value = NaN"]),
        (&["--ema", "1"], &["ema = 1", "0.999"]),
        (&["--early-stop", "0"], &["early-stop = 0"]),
        (&["--replace-head"], &["replace-head", "--init"]),
        (&["--init", "nowhere.safetensors"], &["nowhere.safetensors"]),
        (&["--freeze", "conv9"], &["layer to freeze `conv9`", "conv1"]),
        (&["--freeze-all-but", "relu1"], &["layer to train `relu1`", "conv1"]),
        (&["--freeze", "conv1", "--freeze-all-but", "fc1"], &["--freeze-all-but"]),
        (&["--config", "nowhere.toml"], &["nowhere.toml"]),
        (&["--config", "."], &["."]),
        (&["--data", "idx:nowhere"], &["nowhere"]),
        (&["--data", "idx:"], &["idx:"]),
        (&["--seed", "x"], &["--seed"]),
        (&["--tune", "quik"], &["tuning `quik`", "off, cached, quick, full"]),
    ];
    for (arguments, says) in cases {
        // The device comes last, so that a case may name another.
        let mut all = vec!["train", "--out", "out", "--max-steps", "1"];
        if arguments[0] == "--max-steps" {
            all.truncate(3);
        }
        all.extend_from_slice(arguments);
        if arguments[0] != "--device" {
            all.extend(["--device", "cpu"]);
        }
        fail(path, &all, says);
        assert!(!path.join("out").exists(), "{arguments:?} left a folder behind");
    }
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "something was left behind");
    fail(path, &["trian"], &["trian"]);
    fail(path, &["tune"], &["--model"]);
    fail(path, &["tune", "--model", "lenet", "--device", "cpu"], &["--device gpu"]);
    fail(path, &["tune", "--import", "nowhere.json"], &["nowhere.json", "--export"]);
    fail(path, &["summary", "vgg99"], &["vgg99"]);
    fail(path, &["summary", "alexnet", "--input", "3,10,10"], &["conv1", "10, 10"]);
    fail(path, &["summary", "alexnet", "--input", "3,40,40"], &["layer `pool"]);
    fail(path, &["summary", "alexnet", "--input", "3,x"], &["input = 3,x"]);
    fail(path, &["summary", "alexnet", "--input", "0,227,227"], &["input = 0,227,227"]);
    fail(path, &["summary", "alexnet", "--classes", "0"], &["classes = 0"]);
    fail(path, &["summary", "alexnet", "--batch", "0"], &["batch = 0"]);
    let variable = program(&["train", "--max-steps", "1", "--out", "out"], path)
        .env("GABOR_DEVICE", "abacus")
        .output()
        .unwrap();
    let stderr = String::from_utf8(variable.stderr).unwrap();
    assert_eq!(variable.status.code(), Some(2));
    assert!(stderr.contains("device `abacus`"), "{stderr}");
}

#[test]
fn faulty_configurations_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let cases: &[(&str, &[&str])] = &[
        ("epochs = 2\nbatch = 8\nlearning_speed = 3\n", &["line 3", "learning_speed"]),
        ("epochs = 2\nbatch = \"eight\"\n", &["line 2"]),
        ("epochs = 2\n\nbatch = -8\n", &["line 3"]),
        ("epochs = 2\nbatch = 8\n[schedule\n", &["line 3"]),
        ("batch = 0\n", &["batch = 0"]),
        ("learning-rate = nan\n", &["learning-rate = NaN"]),
        ("data = \"mnist\"\n", &["data set `mnist`"]),
        ("schedule = \"linear\"\n", &["line 1", "linear"]),
        ("[schedule.cosine]\nwarmup = -1.0\n", &["warmup"]),
        ("\u{0}\u{1}\n", &["line 1"]),
    ];
    for (content, says) in cases {
        std::fs::write(path.join("faulty.toml"), content).unwrap();
        let arguments = ["train", "--config", "faulty.toml", "--device", "cpu", "--out", "out"];
        fail(path, &arguments, says);
        assert!(!path.join("out").exists(), "{content:?} left a folder behind");
    }
    std::fs::write(path.join("faulty.toml"), [0xff, 0xfe, 0x00]).unwrap();
    fail(path, &["train", "--config", "faulty.toml", "--out", "out"], &["faulty.toml"]);
}

/// A folder of IDX files: 8 training and 4 test images of `side` by `side`.
fn idx_folder(folder: &Path, side: u8, test_labels: &[u8; 4]) -> PathBuf {
    let idx = |extents: &[u8], elements: &[u8]| {
        let mut file = vec![0, 0, 8, extents.len() as u8];
        extents.iter().for_each(|&e| file.extend([0, 0, 0, e]));
        file.extend(elements);
        file
    };
    let pixels = |count: usize| -> Vec<u8> {
        (0..count * usize::from(side).pow(2)).map(|i| (i * 37 % 251) as u8).collect()
    };
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let files = [
        ("train-images-idx3-ubyte", idx(&[8, side, side], &pixels(8))),
        ("train-labels-idx1-ubyte", idx(&[8], &[0, 1, 2, 0, 1, 2, 0, 1])),
        ("t10k-images-idx3-ubyte", idx(&[4, side, side], &pixels(4))),
        ("t10k-labels-idx1-ubyte", idx(&[4], test_labels)),
    ];
    for (name, content) in files {
        std::fs::write(data.join(name), content).unwrap();
    }
    data
}

#[test]
fn faulty_data_is_named_and_good_data_is_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let train = ["train", "--data", "idx:data", "--device", "cpu", "--out", "out"];
    let train = [&train[..], &["--model", "lenet", "--batch", "5", "--max-steps", "2"]].concat();

    let data = idx_folder(path, 28, &[0, 1, 9, 2]);
    fail(path, &train, &["t10k-labels-idx1-ubyte", "label 9", "index 2"]);
    idx_folder(path, 28, &[0, 1, 2, 2]);
    let images = data.join("train-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    std::fs::write(&images, &whole[..whole.len() / 2]).unwrap();
    fail(path, &train, &["train-images-idx3-ubyte"]);
    std::fs::write(&images, b"").unwrap();
    fail(path, &train, &["train-images-idx3-ubyte"]);
    std::fs::remove_file(&images).unwrap();
    fail(path, &train, &["train-images-idx3-ubyte"]);
    // Whole, but too small for the network.
    idx_folder(path, 6, &[0, 1, 2, 2]);
    fail(path, &train, &["layer `"]);
    assert!(!path.join("out").exists(), "a run that never started left a folder behind");

    idx_folder(path, 28, &[0, 1, 2, 2]);
    succeed(path, &[&train[..], &["-q"]].concat());
    let stdout = succeed(path, &["eval", "out", "--device", "cpu"]);
    assert!(stdout.starts_with("4 images: "), "{stdout}");
    // The run remembers a folder that is there no longer, and one that has changed.
    idx_folder(path, 27, &[0, 1, 2, 2]);
    fail(path, &["eval", "out", "--device", "cpu"], &["27", "28"]);
    std::fs::remove_dir_all(&data).unwrap();
    fail(path, &["eval", "out", "--device", "cpu"], &["data"]);
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("file"), "not a folder").unwrap();
    std::fs::create_dir(path.join("full")).unwrap();
    std::fs::write(path.join("full/letter"), "dear reader").unwrap();
    let train = |out| [SHORT, &["--model", "lenet", "--out", out]].concat();
    fail(path, &train("file/run"), &["file/run", "--out"]);
    fail(path, &train("file"), &["file"]);
    fail(path, &train("full"), &["full", "not empty"]);
    assert_eq!(text(path.join("file")), "not a folder");
    assert_eq!(std::fs::read_dir(path.join("full")).unwrap().count(), 1);
    // Even runs/ may be a file.
    std::fs::write(path.join("runs"), "").unwrap();
    fail(path, SHORT, &["runs"]);
    // An empty folder is as good as a new one.
    std::fs::create_dir(path.join("empty")).unwrap();
    succeed(path, &train("empty"));
}

#[test]
fn runs_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("empty")).unwrap();
    let weights = std::fs::read(finished().join("run/weights.safetensors")).unwrap();
    let with = |name: &str, content: &[u8]| {
        std::fs::create_dir(path.join(name)).unwrap();
        std::fs::write(path.join(name).join("weights.safetensors"), content).unwrap();
    };
    with("cut", &weights[..weights.len() / 2]);
    with("stub", &weights[..5]);
    with("nothing", b"");
    with("text", b"these are no weights at all, they are words");
    with("whole", &weights);
    // A header whose network has another shape than its tensors.
    let mut other = weights.clone();
    let at = other.windows(7).position(|w| w == b"\"lenet\"").unwrap();
    other[at..at + 7].copy_from_slice(b"\"lenot\"");
    with("other", &other);
    digit(path, 3, "three.png");
    for command in ["eval", "predict"] {
        let run = |run, says: &[&str]| {
            let image = (command == "predict").then_some("three.png");
            let arguments = [command, run, "--device", "cpu"].into_iter().chain(image);
            fail(path, &arguments.collect::<Vec<_>>(), says);
        };
        run("nowhere", &["nowhere", "a run that has ended"]);
        run("empty", &["empty", "a run that has ended"]);
        for name in ["cut", "stub", "nothing", "text"] {
            run(name, &[&format!("{name}/weights.safetensors"), "safetensors"]);
        }
        run("other", &["lenot"]);
    }
    fail(path, &["eval", "whole", "--batch", "0", "--device", "cpu"], &["batch = 0"]);
    fail(
        path,
        &["eval", "whole", "--data", "photos", "--device", "cpu"],
        &["photos", "3 channels"],
    );
    fail(path, &["eval", "whole", "--device", "gpu:99"], &["gpu:99"]);
    fail(path, &["eval"], &["RUN"]);
    fail(path, &["predict", "whole"], &["IMAGE"]);
    std::fs::write(path.join("words.png"), "this is no picture").unwrap();
    let png = std::fs::read(path.join("three.png")).unwrap();
    std::fs::write(path.join("cut.png"), &png[..png.len() / 2]).unwrap();
    for image in ["words.png", "cut.png", "none.png", "empty"] {
        fail(path, &["predict", "whole", image, "--device", "cpu"], &[image]);
    }
}

/// A run that diverges must not look like one that went well.
#[test]
fn a_run_that_diverges_fails_and_leaves_no_weights() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--model", "lenet", "--lr", "1e20", "--max-steps", "40", "--out", "run"];
    let outcome = run_in(folder.path(), &[&SHORT[..5], &arguments].concat());
    assert_eq!(outcome.status.code(), Some(2), "{:?}", outcome.stderr);
    let line = &outcome.stderr[..];
    assert!(line.len() == 1 && line[0].contains("training stopped at step"), "{line:?}");
    for name in ["weights.safetensors", "summary.json", "curves.png"] {
        assert!(!folder.path().join("run").join(name).exists(), "{name} was left behind");
    }
    fail(folder.path(), &["eval", "run", "--device", "cpu"], &["a run that has ended"]);
}
