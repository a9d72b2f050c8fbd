//! Stopping, keeping, transferring and looking for a learning rate.

use super::*;

#[test]
fn a_run_without_progress_stops_early_and_its_result_is_its_best_epoch() {
    let folder = tempfile::tempdir().unwrap();
    // Steps so small that no epoch beats the first: not one image is classified otherwise.
    let train = ["train", "--device", "cpu", "--model", "lenet", "--epochs", "9", "--batch", "500"];
    let rest = ["--lr", "1e-12", "--early-stop", "2", "--no-augment", "--out", "run", "--json"];
    let stdout = succeed(folder.path(), &[&train[..], &rest].concat());
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, third, result] = &lines[..] else { panic!("{stdout}") };
    assert_eq!(
        [first, second, third].map(|e| e["is_best"].as_bool().unwrap()),
        [true, false, false]
    );
    assert!(first["learning_rate"].as_f64().is_some_and(|rate| rate >= 0.0), "{first}");
    assert_eq!((&result["stopped_early"], &result["best_epoch"]), (&true.into(), &1.into()));
    assert_eq!(result["test_loss"], first["test_loss"]);
    let loss = |arguments: &[&str]| {
        let eval = ["eval", "run", "--device", "cpu", "--json"];
        let stdout = succeed(folder.path(), &[&eval[..], arguments].concat());
        serde_json::from_str::<Value>(&stdout).unwrap()["loss"].as_f64().unwrap()
    };
    let near =
        |loss: f64, epoch: &Value| (loss - epoch["test_loss"].as_f64().unwrap()).abs() < 1e-5;
    assert!(near(loss(&[]), first) && near(loss(&["--weights", "best"]), first));
    assert!(near(loss(&["--weights", "last"]), third));
    fail(folder.path(), &["eval", "run", "--weights", "worst"], &["worst", "best, last"]);
}

#[test]
fn a_run_that_diverges_names_layer_and_checkpoint_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let train = ["train", "--device", "cpu", "--model", "lenet", "--max-steps", "60", "-q"];
    let rest = ["--batch", "32", "--lr", "1e9", "--out", "run"];
    let says = ["stopped at step", "layer `", "learning rate", "no epoch was done"];
    fail(folder.path(), &[&train[..], &rest].concat(), &says);
    assert!(!folder.path().join("run/weights.safetensors").exists());
}

#[test]
fn weights_are_transferred_to_other_classes_and_frozen_layers_stay() {
    let folder = tempfile::tempdir().unwrap();
    // Two and three classes of ten, so that the head has another shape.
    for split in ["train", "val"] {
        for (set, class) in [("two", 3), ("two", 8), ("three", 1), ("three", 3), ("three", 8)] {
            let path = folder.path().join(format!("{set}/{split}/{class}"));
            std::fs::create_dir_all(&path).unwrap();
            let source = gabor::data::open("digits").unwrap();
            let mut pixels = vec![0; 28 * 28];
            let mut found = 0;
            for i in 0..source.test.len() {
                if source.test.load(i, &mut pixels).unwrap() != class || found == 6 {
                    continue;
                }
                found += 1;
                let picture = image::GrayImage::from_raw(28, 28, pixels.clone()).unwrap();
                picture.save(path.join(format!("{i}.png"))).unwrap();
            }
        }
    }
    // Colour pictures of a folder: the network to start from has seen such too.
    let config = "data = \"folder:two\"\nimage-size = 28\nmodel = \"lenet\"\n";
    std::fs::write(folder.path().join("two.toml"), config).unwrap();
    let train =
        ["train", "--config", "two.toml", "--device", "cpu", "--batch", "4", "--epochs", "1"];
    succeed(folder.path(), &[&train[..], &["--out", "first", "-q"]].concat());
    let first = safetensors::load(folder.path().join("first/weights.safetensors")).unwrap();
    // Another head, and a name that no network has.
    let mut tensors = first.tensors().clone();
    let head = tensors.keys().filter(|name| name.starts_with("fc")).max().unwrap().clone();
    let head = head.split('.').next().unwrap();
    let [weight, bias] = ["weight", "bias"].map(|name| format!("{head}.{name}"));
    let inputs = tensors[&weight].shape().dims()[1];
    let zeros = |shape: &[usize]| {
        gabor::tensor::Tensor::zeros(&gabor::tensor::TensorType::f32(shape.to_vec()))
    };
    tensors.insert(weight.clone(), zeros(&[10, inputs]));
    tensors.insert(bias, zeros(&[10]));
    tensors.insert("stray.weight".into(), zeros(&[1]));
    tensors.remove("conv2.bias").unwrap();
    let path = folder.path().join("other.safetensors");
    safetensors::save(path, tensors, &Default::default()).unwrap();

    let rest = ["--init", "other.safetensors", "--freeze", "conv1,conv2", "--out", "second"];
    let stdout = succeed(folder.path(), &[&train[..], &rest, &["--seed", "5"]].concat());
    for words in [&format!("afresh: {weight}"), "not found: conv2.bias", "unused: stray.weight"] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    let second = safetensors::load(folder.path().join("second/weights.safetensors")).unwrap();
    for (name, tensor) in second.tensors() {
        let is_frozen = ["conv1.weight", "conv1.bias", "conv2.weight"].contains(&name.as_str());
        let same = first.tensors()[name].bytes() == tensor.bytes();
        assert!(same == is_frozen || name == "conv2.bias", "{name}: {same}");
    }
    // The run repeats itself from its own configuration, wherever that lies.
    let again = ["train", "--config", "second/config.toml", "--out", "again", "-q"];
    succeed(folder.path(), &again);
    let bytes = |run: &str| std::fs::read(folder.path().join(run).join("weights.safetensors"));
    assert!(bytes("second").unwrap() == bytes("again").unwrap());

    // The same from a run's folder.
    let rest = ["--data", "folder:three", "--init", "first", "--freeze-all-but", "fc3"];
    let stdout = succeed(folder.path(), &[&train[..], &rest, &["--out", "third"]].concat());
    assert!(stdout.contains("afresh: fc3.weight, fc3.bias"), "{stdout}");
    let third = safetensors::load(folder.path().join("third/weights.safetensors")).unwrap();
    for (name, tensor) in third.tensors() {
        let is_head = name.starts_with("fc3.");
        let source = &first.tensors()[name];
        assert_eq!(source.bytes() == tensor.bytes(), !is_head, "{name}");
        assert_eq!(source.shape() == tensor.shape(), !is_head, "{name}");
    }
}

#[test]
fn a_head_that_fits_is_kept_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished().join("run");
    let weights = |run: &Path| safetensors::load(run.join("weights.safetensors")).unwrap();
    let train = |out: &str, more: &[&str]| {
        // Steps that change nothing, so that the file holds what the run started from.
        let rest = ["--model", "lenet", "--seed", "5", "--lr", "1e-45", "--no-report"];
        succeed(folder.path(), &[SHORT, &rest, &["--out", out], more].concat());
        weights(&folder.path().join(out))
    };
    let init = ["--init", run.to_str().unwrap()];
    let source = weights(&run);
    let fresh = train("fresh", &[]);
    let kept = train("kept", &init);
    let replaced = train("replaced", &[&init[..], &["--replace-head"]].concat());
    for (name, tensor) in source.tensors() {
        let [fresh, kept, replaced] = [&fresh, &kept, &replaced].map(|f| f.tensors()[name].bytes());
        assert!(kept == tensor.bytes(), "{name} was not taken over");
        let expected = if name.starts_with("fc3.") { fresh } else { tensor.bytes() };
        assert!(replaced == expected, "{name} with another head");
        assert!(name.ends_with(".bias") || fresh != tensor.bytes(), "{name} starts the same");
    }
    assert!(!folder.path().join("kept/report.html").exists());
    let arguments = [SHORT, &["--replace-head", "--out", "none"]].concat();
    fail(folder.path(), &arguments, &["replace-head", "--init"]);
}

#[test]
fn the_learning_rate_finder_suggests_a_rate_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let find = ["lr-find", "--device", "cpu", "--model", "lenet", "--batch", "32", "--steps", "60"];
    let arguments =
        [&find[..], &["--from", "1e-4", "--to", "100", "--json", "--plot", "rates.png"]].concat();
    let found: Value = serde_json::from_str(&succeed(folder.path(), &arguments)).unwrap();
    let points = found["points"].as_array().unwrap();
    let rate = |i: usize| points[i]["learning_rate"].as_f64().unwrap();
    assert!(points.len() > 20 && (rate(0) - 1e-4).abs() < 1e-9, "{found}");
    assert!((rate(11) / rate(10) - rate(2) / rate(1)).abs() < 1e-3, "{found}");
    assert_eq!(found["has_diverged"], true, "a rate of 100 is too much");
    let steepest = found["steepest"].as_f64().unwrap();
    assert!(steepest > 5e-4 && steepest < 1.0, "{steepest}");
    let picture = image::open(folder.path().join("rates.png")).unwrap().to_rgb8();
    let blue = picture.pixels().filter(|p| p.0 == [32, 98, 178]).count();
    assert!(blue > 200, "{blue}");
    let stdout = succeed(folder.path(), &[&find[..], &["--from", "1e-4"]].concat());
    assert!(stdout.contains("suggestion: --learning-rate"), "{stdout}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(names.iter().all(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name == "rates.png" || name == "cache"
    }));
    fail(folder.path(), &["lr-find", "--from", "1", "--to", "0.1"], &["from = 1"]);
    fail(folder.path(), &["lr-find", "--steps", "3"], &["steps = 3"]);
}

#[test]
fn rare_classes_count_as_much_and_labels_are_smoothed_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    reports::pictures(folder.path());
    for number in 3..10 {
        let rare = format!("pictures/plain/{number}.png");
        std::fs::remove_file(folder.path().join(rare)).unwrap();
    }
    let first_loss = |out: &str, more: &[&str]| {
        let rest = ["--config", "config.toml", "--no-report", "--out", out];
        succeed(folder.path(), &[SHORT, &rest, more].concat());
        let lines = text(folder.path().join(out).join("metrics.jsonl"));
        let step: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert!(step["gradient_norm"].as_f64().is_some_and(|norm| norm > 0.0), "{step}");
        step["loss"].as_f64().unwrap()
    };
    let plain = first_loss("plain", &[]);
    let weighted = first_loss("weighted", &["--class-weights"]);
    assert!((weighted / plain - 1.0).abs() > 1e-3, "{plain} {weighted}");
    let smoothed = first_loss("smoothed", &["--label-smoothing", "0.5"]);
    assert!(smoothed != plain, "{plain} {smoothed}");
    let config = TrainConfig::read(folder.path().join("smoothed/config.toml")).unwrap();
    assert_eq!((config.label_smoothing, config.class_weights), (0.5, false));
    let refused = [SHORT, &["--out", "none", "--label-smoothing", "1.5"]].concat();
    fail(folder.path(), &refused, &["label-smoothing = 1.5"]);
    let refused = [SHORT, &["--out", "none", "--max-gradient-growth", "0.5"]].concat();
    fail(folder.path(), &refused, &["max-gradient-growth = 0.5", "1000"]);
}
