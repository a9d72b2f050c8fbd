//! `gabor data`, and training on a folder of pictures with transforms.

use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::Value;

use super::{fail, run_in, succeed};

#[test]
fn data_sets_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let json = succeed(folder.path(), &["data", "show", "digits", "--json", "--sheet", "s.png"]);
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&shown["train"], &shown["test"]), (&4000.into(), &1000.into()));
    assert_eq!(shown["classes"][7]["name"], "7");
    assert_eq!(shown["classes"][7]["train"], 400);
    let sheet = image::open(folder.path().join("s.png")).unwrap();
    // Ten rows of twelve digits, each twice as large.
    assert_eq!((sheet.width(), sheet.height()), (150 + 12 * 60 + 4, 10 * 60 + 4));
    let text = succeed(folder.path(), &["data", "show", "digits"]);
    assert!(text.contains("stored as 28x28") && text.contains("mean 0.13"), "{text}");
    fail(folder.path(), &["data", "show", "folder:nowhere"], &["nowhere"]);
    fail(folder.path(), &["data", "get", "cifar"], &["fashion-mnist"]);
    let get = ["data", "get", "cifar10", "--mirror", "gone.tar.gz", "--to", "new"];
    fail(folder.path(), &get, &["gone.tar.gz", "--mirror"]);
}

/// Red and blue pictures, and a file that is none.
fn pictures(folder: &Path) {
    let sets = [("train", 10u8), ("val", 2)];
    let classes = [("red", [220, 20, 20]), ("blue", [20, 20, 220])];
    for ((set, count), (class, colour)) in
        sets.into_iter().flat_map(|set| classes.map(|class| (set, class)))
    {
        let class = folder.join("pictures").join(set).join(class);
        std::fs::create_dir_all(&class).unwrap();
        for i in 0..count {
            let shade = |x: u32, y: u32| Rgb(colour.map(|c: u8| c + (x as u8 + i + y as u8) % 30));
            let picture = RgbImage::from_fn(40 + u32::from(i), 36, shade);
            picture.save(class.join(format!("{i}.png"))).unwrap();
        }
    }
    std::fs::write(folder.join("pictures/train/red/broken.jpg"), "nothing").unwrap();
}

const CONFIG: &str = r#"
data = "folder:pictures"
model = "lenet"
epochs = 2
batch = 4
device = "cpu"
max-bad = 1
validation = 0.25
balance = true
ten-crop = true

[[transforms]]
resize = { size = 32 }
[[transforms]]
subtract-mean = {}
[[transforms]]
crop = { size = 28 }
[[transforms]]
flip = {}
[[transforms]]
pca-colour = {}
"#;

#[test]
fn a_folder_is_trained_on_with_transforms() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pictures(folder);
    // The mean image needs pictures of one size.
    std::fs::write(folder.join("bad.toml"), CONFIG).unwrap();
    let train = ["train", "--quiet", "--out", "run", "--config"];
    fail(folder, &[&train[..], &["bad.toml"]].concat(), &["crop them to one size"]);
    let good = CONFIG.replacen(
        "[[transforms]]\nsub",
        "[[transforms]]\ncentre-crop = { size = 32 }\n[[transforms]]\nsub",
        1,
    );
    std::fs::write(folder.join("good.toml"), good).unwrap();
    let trained = run_in(folder, &[&train[..], &["good.toml"]].concat());
    assert!(trained.status.success(), "{:?}", trained.stderr);
    let [left_out] = &trained.stderr[..] else { panic!("{:?}", trained.stderr) };
    assert!(left_out.contains("left out") && left_out.contains("broken.jpg"), "{left_out}");
    let summary = std::fs::read_to_string(folder.join("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["steps"], 8, "fifteen of 21 are trained on, in batches of four");
    let config = std::fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(config.contains("[transforms.crop]") || config.contains("crop = "), "{config}");

    let eval = run_in(folder, &["eval", "run", "--device", "cpu", "--max-bad", "1", "--json"]);
    let eval: Value = serde_json::from_str(&eval.stdout).unwrap();
    assert_eq!(eval["images"], 4, "the test set, not the validation set");
    let predict = ["predict", "run", "pictures/val/blue/1.png", "--device", "cpu", "--json"];
    let predicted: Value = serde_json::from_str(&succeed(folder, &predict)).unwrap();
    assert!(predicted["classes"][0]["probability"].as_f64().unwrap() > 0.4);
    fail(folder, &["train", "--data", "folder:pictures"], &["broken.jpg", "--max-bad"]);
}
