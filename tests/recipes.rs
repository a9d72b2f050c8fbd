//! Every recipe from its file to a network in use, on a little made data, and what it says about
//! networks and schedules against what was published.

#![cfg(feature = "images")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use gabor::data::{Picture, Transform};
use gabor::device::Device;
use gabor::nn::{Described, Outputs};
use gabor::optim::Scheduler;
use gabor::philox::Stream;
use gabor::tensor::Tensor;
use gabor::train::{Event, Finished, RECIPES, Run, TrainConfig};
use gabor::zoo;

fn config(name: &str) -> TrainConfig {
    TrainConfig::open(name).unwrap()
}

/// Random bytes.
fn bytes(stream: u32, count: usize) -> Vec<u8> {
    let mut stream = Stream::new(7, [stream, 0, 0]);
    (0..count).map(|_| (256.0 * stream.uniform()) as u8).collect()
}

/// CIFAR-10's files with four images each, two of a class.
fn make_cifar(folder: &Path) {
    let record = |label: u32| [vec![label as u8], bytes(label, 3072)].concat();
    for file in 0..5 {
        let content = [file, file + 5, file, file + 5].map(record).concat();
        std::fs::write(folder.join(format!("data_batch_{}.bin", file + 1)), content).unwrap();
    }
    std::fs::write(folder.join("test_batch.bin"), [record(3), record(8)].concat()).unwrap();
}

/// A folder like ImageNet's with two classes of pictures wide and tall.
fn make_folder(folder: &Path) {
    for (index, name) in ["train/cat/1", "train/dog/1", "val/cat/1", "val/dog/1"].iter().enumerate()
    {
        let path = folder.join(name).with_extension("png");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (width, height) = if index % 2 == 0 { (300, 260) } else { (257, 290) };
        let pixels = bytes(100 + index as u32, 3 * (width * height) as usize);
        image::RgbImage::from_raw(width, height, pixels).unwrap().save(path).unwrap();
    }
}

/// The networks for ImageNet without most of their 60 million parameters, which take long to draw and
/// to write: dense layers of 64 outputs, or images of 64 pixels.
fn narrow(config: &mut TrainConfig) {
    for entry in config.network.iter_mut().flat_map(|network| &mut network.0) {
        if let Described::Linear { outputs: Outputs::Count(outputs), .. } = &mut entry.layer {
            *outputs = (*outputs).min(64);
        }
    }
    for transform in &mut config.transforms {
        if let Transform::ResizedCrop { size, .. } = transform {
            *size = 64;
        }
    }
}

/// Two steps of two images on the CPU; the recipe's own data where the program contains it.
fn run(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut config = config(name);
    let kind = config.data.split(':').next().unwrap().to_owned();
    match kind.as_str() {
        "cifar10" => make_cifar(&data),
        "folder" => make_folder(&data),
        _ => {}
    }
    if config.data.contains(':') {
        config.data = format!("{kind}:{}", data.display());
    }
    (config.batch, config.max_steps, config.device) = (2, Some(2), "cpu".into());
    if !config.data.contains(':') {
        // Testing takes long beside two steps; a share of the training set is less than the test set.
        config.validation = Some(0.01);
    }
    narrow(&mut config);
    let out = folder.path().join("run");
    let run = Run::new(config.clone(), Some(out.clone())).unwrap();
    let mut losses = vec![];
    let summary = run.execute(|event| {
        if let Event::Step(step) = event {
            losses.push(step.loss);
        }
        ControlFlow::Continue(())
    });
    let summary = summary.unwrap();
    assert_eq!(losses.len(), 2, "{name}");
    assert!(losses.iter().all(|loss| loss.is_finite() && *loss > 0.0), "{name}: {losses:?}");
    assert!(summary.test_loss.is_finite(), "{name}");

    let again = TrainConfig::read(out.join("config.toml")).unwrap();
    assert_eq!(TrainConfig { tune: config.tune.clone(), ..again }, config, "{name}");
    let mut finished = Finished::open(&out, &Device::cpu()).unwrap();
    let shape = finished.image;
    let picture = Picture::from_planes(shape, &bytes(200, shape.iter().product())).unwrap();
    let input = finished.prepare(&picture).unwrap();
    let size = finished.network.model().input_type(1).unwrap().shape;
    let input = Tensor::f32(size, input).unwrap();
    let probabilities = finished.network.predict(&input).unwrap();
    let sum: f32 = probabilities.as_f32().unwrap().iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "{name}: {probabilities:?}");
}

#[test]
fn recipes_for_the_programs_own_data_run() {
    for name in ["alexnet-digits", "alexnet-photos", "lenet-mnist"] {
        run(name);
    }
}

#[test]
fn recipes_for_cifar_run() {
    for name in ["cifar-80sec", "cifar-18pct", "cifar-13pct", "cifar-11pct", "resnet18-cifar"] {
        run(name);
    }
}

#[test]
fn a_recipe_in_stages_goes_on_from_one_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    make_cifar(folder.path());
    let train = |out: &str| {
        let config = TrainConfig {
            data: format!("cifar10:{}", folder.path().display()),
            batch: 4,
            epochs: 3,
            validation_epochs: Some(1),
            device: "cpu".into(),
            ten_crop: false,
            ..config("cifar-13pct")
        };
        let out = folder.path().join(out);
        let run = Run::new(config, Some(out.clone())).unwrap();
        let mut steps = vec![];
        let summary = run.execute(|event| {
            if let Event::Step(step) = event {
                steps.push((step.epoch, step.images));
            }
            ControlFlow::Continue(())
        });
        (steps, summary.unwrap(), std::fs::read(out.join("metrics.jsonl")).unwrap())
    };
    let (steps, summary, metrics) = train("once");
    // One of two images of a class is held back, then all are trained on.
    let expected = [(1, &[4, 4, 2][..]), (2, &[4; 5]), (3, &[4; 5])];
    let expected = expected.iter().flat_map(|(epoch, images)| images.iter().map(|n| (*epoch, *n)));
    assert!(steps.iter().copied().eq(expected), "{steps:?}");
    assert_eq!((summary.steps, summary.epochs.len()), (13, 3));
    // The test set has two images, so that nothing but halves can be right.
    assert!(summary.epochs[1..].iter().all(|e| (2.0 * e.test_top1).fract() == 0.0));
    assert!(summary.best_epoch.unwrap() > 1);
    assert!(train("again").2 == metrics);
}

#[test]
fn recipes_for_imagenet_run() {
    for name in ["alexnet-2012", "alexnet-2014"] {
        run(name);
    }
}

#[test]
fn every_file_is_a_recipe_and_says_what_was_published() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let names = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let known = RECIPES.iter().map(|recipe| recipe.name.to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), known.collect());
    for recipe in RECIPES {
        recipe.config().unwrap().check().unwrap();
        for said in ["# Published:  ", "# Reproduced: ", "#   gabor train --config "] {
            assert!(recipe.text.contains(said), "{}: {said}", recipe.name);
        }
        let read = TrainConfig::read(folder.join(recipe.name).with_extension("toml")).unwrap();
        assert_eq!(read, recipe.config().unwrap());
    }
    let main = config("alexnet-digits");
    assert_eq!(TrainConfig { tune: main.tune.clone(), ..TrainConfig::default() }, main);
}

#[test]
fn networks_are_those_that_were_published() {
    // Name, input, classes, parameters, and the sizes of some outputs.
    type Row =
        (&'static str, [usize; 3], usize, usize, &'static [(&'static str, &'static [usize])]);
    let published: [Row; 8] = [
        (
            "alexnet-2012",
            [3, 224, 224],
            1000,
            60_965_224,
            &[("conv1", &[96, 55, 55]), ("pool1", &[96, 27, 27]), ("pool3", &[256, 6, 6])],
        ),
        ("alexnet-2014", [3, 224, 224], 1000, 61_100_840, &[("conv1", &[64, 55, 55])]),
        ("resnet18-cifar", [3, 32, 32], 10, 11_173_962, &[("avgpool1", &[512, 1, 1])]),
        ("lenet-mnist", [1, 28, 28], 10, 61_706, &[("pool2", &[16, 5, 5])]),
        ("cifar-80sec", [3, 32, 32], 10, 145_578, &[("avgpool2", &[64, 4, 4])]),
        ("cifar-18pct", [3, 32, 32], 10, 89_578, &[("rnorm2", &[32, 8, 8])]),
        ("cifar-13pct", [3, 24, 24], 10, 1_116_490, &[("local1", &[32, 6, 6])]),
        ("cifar-11pct", [3, 24, 24], 10, 2_112_970, &[("local1", &[64, 6, 6])]),
    ];
    for (name, input, classes, parameters, outputs) in published {
        let config = config(name);
        let summary = config.build_model(input, classes).unwrap().summary(1).unwrap();
        assert_eq!(summary.parameters, parameters, "{name}");
        for (layer, shape) in outputs {
            let found = summary.layers.iter().find(|l| l.name == *layer).unwrap();
            assert_eq!(found.output.dims()[1..], **shape, "{name}: {layer}");
        }
    }
}

#[test]
fn learning_rates_fall_between_the_stages() {
    // Steps of the 50,000 images in batches of 128; before and after each border, over the first.
    let steps = 391;
    for (name, borders, epochs) in [
        ("cifar-80sec", &[8][..], 10),
        ("cifar-18pct", &[120, 130], 140),
        ("cifar-13pct", &[140, 150], 160),
        ("cifar-11pct", &[500, 510], 520),
        ("alexnet-2014", &[30, 60], 90),
    ] {
        let config = config(name);
        assert_eq!(config.epochs, epochs, "{name}");
        let held_back = match name {
            "cifar-13pct" => Some((0.2, 100)),
            "cifar-11pct" => Some((0.2, 350)),
            _ => None,
        };
        assert_eq!(config.validation.zip(config.validation_epochs), held_back, "{name}");
        let scheduler = Scheduler::new(config.schedule.clone(), config.epochs, steps);
        assert_eq!(scheduler.factor(0), 1.0);
        for (stage, border) in borders.iter().enumerate() {
            let (before, after) = (0.1f64.powi(stage as i32), 0.1f64.powi(stage as i32 + 1));
            let at = |step| scheduler.factor(step);
            assert!((at(border * steps - 1) / before - 1.0).abs() < 1e-9, "{name} {border}");
            assert!((at(border * steps) / after - 1.0).abs() < 1e-9, "{name} {border}");
        }
        let last = 0.1f64.powi(borders.len() as i32);
        assert!((scheduler.factor(epochs * steps - 1) / last - 1.0).abs() < 1e-9, "{name}");
    }
    // Three cuts and no more, each after five epochs without progress.
    let config = config("alexnet-2012");
    let mut scheduler = Scheduler::new(config.schedule, config.epochs, 1);
    let mut factors = vec![];
    for _ in 0..30 {
        scheduler.epoch_ended(5.0, 0.25);
        factors.push(scheduler.factor(0));
    }
    for (epochs, factor) in [(5, 1.0), (6, 0.1), (10, 0.1), (11, 0.01), (16, 1e-3), (30, 1e-3)] {
        let found: f64 = factors[epochs - 1];
        assert!((found / factor - 1.0).abs() < 1e-9, "{epochs}: {found}");
    }
}

#[test]
fn parameters_have_the_published_rates_and_decays() {
    // The weight decay of the weights, layer by layer.
    type Row = (&'static str, [usize; 3], &'static [(&'static str, f64)]);
    let published: [Row; 4] = [
        (
            "cifar-80sec",
            [3, 32, 32],
            &[("conv1", 4e-3), ("conv3", 4e-3), ("fc1", 0.03), ("fc2", 0.03)],
        ),
        ("cifar-18pct", [3, 32, 32], &[("conv1", 4e-3), ("conv3", 4e-3), ("fc1", 1.0)]),
        (
            "cifar-13pct",
            [3, 24, 24],
            &[("conv1", 0.0), ("local1", 4e-3), ("local2", 4e-3), ("fc1", 4e-3)],
        ),
        (
            "cifar-11pct",
            [3, 24, 24],
            &[("conv2", 0.0), ("local1", 4e-3), ("local2", 4e-3), ("fc1", 0.01)],
        ),
    ];
    for (name, input, decays) in published {
        let config = config(name);
        let group = |parameter: &str| config.groups.iter().find(|group| group.has(parameter));
        for (layer, decay) in decays {
            let weight = group(&format!("{layer}.weight"));
            assert_eq!(weight.and_then(|g| g.learning_rate_scale), None, "{name}: {layer}");
            let found = weight.and_then(|g| g.weight_decay).unwrap_or(config.weight_decay);
            assert_eq!(found, *decay, "{name}: {layer}");
            let bias = group(&format!("{layer}.bias")).unwrap();
            assert_eq!(bias.learning_rate_scale, Some(2.0), "{name}: {layer}");
            assert_eq!(bias.weight_decay, None, "{name}: {layer}");
        }
        assert_eq!(config.learning_rate, 1e-3);
        let names = config.build_model(input, 10).unwrap().trainable_names().unwrap();
        for group in &config.groups {
            assert!(names.iter().any(|name| group.has(name)), "{name}: {group:?} has none");
        }
    }
}

#[test]
fn the_documented_network_can_be_built() {
    let document = include_str!("../docs/recipes.md");
    let text = document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.toml");
    std::fs::write(&path, text).unwrap();
    let config = TrainConfig::open(&path).unwrap();
    config.check().unwrap();
    let names = config.build_model([1, 28, 28], 10).unwrap().trainable_names().unwrap();
    let expected = ["conv1", "residual1.conv1", "scores"];
    let expected = expected.iter().flat_map(|l| [format!("{l}.weight"), format!("{l}.bias")]);
    assert_eq!(names, expected.collect::<Vec<_>>());
    for recipe in RECIPES {
        assert!(document.contains(&format!("| `{}` |", recipe.name)), "{}", recipe.name);
    }

    // The library's names stay the library's, and faults have their place in the file.
    let model = "alexnet-small".to_owned();
    let error = TrainConfig { model, ..config }.check().unwrap_err().to_string();
    assert!(error.contains("in `network` another name"), "{error}");
    std::fs::write(&path, text.replace("\"relu\",", "\"rely\",")).unwrap();
    let error = TrainConfig::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 3: layer 2: `rely`: unknown variant"), "{error}");
    let error = TrainConfig::open("cifar-19pct").unwrap_err().to_string();
    assert!(error.contains("or a recipe: alexnet-digits, "), "{error}");
}

/// cuda-convnet's best network, written down.
const ELEVEN: &str = r#"network = [
    { conv2d = { outputs = 64, kernel = 5, padding = 2, weight-init = { normal = 1e-4 } } },
    "relu",
    { max-pool2d = { kernel = 3, stride = 2, ceil-mode = true } },
    { lrn = { size = 9, alpha = 0.001 } },
    { conv2d = { outputs = 64, kernel = [5, 5], padding = [2, 2, 2, 2], weight-init = { normal = 0.01 } } },
    { relu = {} },
    { lrn = { size = 9, alpha = 0.001, beta = 0.75, k = 1.0, convention = "mean" } },
    { max-pool2d = { kernel = 3, stride = 2, ceil-mode = true } },
    { local2d = { outputs = 64, kernel = 3, padding = 1, weight-init = { normal = 0.04 } } },
    "relu",
    { local2d = { outputs = 32, kernel = 3, padding = 1, weight-init = { normal = 0.04 } } },
    "relu",
    { linear = { outputs = "classes", weight-init = { normal = 0.01 } } },
]"#;

#[test]
fn a_description_makes_the_model_of_the_library() {
    let described = toml::from_str::<TrainConfig>(ELEVEN).unwrap().network.unwrap();
    let described = described.model("cifar-11pct", [3, 24, 24], 7).unwrap();
    let built = zoo::build("cifar-11pct", [3, 24, 24], 7).unwrap();
    // All settings, initial values among them.
    assert_eq!(format!("{described:?}"), format!("{built:?}"));
    assert_eq!(described.parameter_types().unwrap(), built.parameter_types().unwrap());
}
