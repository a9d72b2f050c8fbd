//! Images that the device prepares: the same numbers as on threads.

use gabor::data::{Dataset, Loader, LoaderConfig, Normalise, Transform, Transforms};
use gabor::graph::Graph;
use gabor::ops::Op;
use gabor::ops::images::PrepareImages;
use gabor::philox::Stream;
use gabor::session::Session;
use gabor::train::{ImageInput, TransformsOn};

use super::*;

/// Random colour images of 12x10.
fn dataset() -> Arc<dyn Dataset> {
    let mut random = Stream::new(71, [0; 3]);
    let pixels = (0..23 * 360).map(|_| random.below(256) as u8).collect();
    let classes = (0..23).map(|c| c.to_string()).collect();
    Arc::new(Images::new("random", [3, 12, 10], classes, pixels, (0..23).collect()).unwrap())
}

fn normalise() -> Normalise {
    Normalise::new(vec![0.4, 0.5, 0.6], vec![0.3, 0.2, 0.25]).unwrap()
}

fn transforms(list: &str) -> Transforms {
    #[derive(serde::Deserialize)]
    struct File {
        list: Vec<Transform>,
    }
    let file: File = toml::from_str(&format!("list = [{list}]")).unwrap();
    Transforms::new(file.list).unwrap().fit(&*dataset()).unwrap()
}

/// The inputs that the loader makes for the operation, and the values that its threads make, a batch
/// after the other.
fn batches(transforms: &Transforms) -> (PrepareImages, Vec<(Vec<Tensor>, Tensor)>) {
    let loader = |on_device| {
        let transforms = transforms.clone();
        let config = LoaderConfig {
            transforms,
            on_device,
            seed: 5,
            shuffle: true,
            threads: 3,
            ..LoaderConfig::new(9, normalise())
        };
        Loader::new(dataset(), config).unwrap()
    };
    let (threads, device) = (loader(false), loader(true));
    let preparation = device.preparation().unwrap().clone();
    let op = preparation.op();
    let pairs = threads.epoch(3).zip(device.epoch(3)).map(|(values, bytes)| {
        let (values, bytes) = (values.unwrap(), bytes.unwrap());
        assert_eq!((&values.labels, values.len), (&bytes.labels, bytes.len));
        assert!(bytes.images.is_empty() && values.pixels.is_empty());
        let mut inputs = vec![
            Tensor::u32([bytes.len, op.words()], bytes.pixels.clone()).unwrap(),
            Tensor::f32([bytes.len, op.draws()], bytes.draws.clone()).unwrap(),
        ];
        inputs.extend(preparation.mean().map(|m| Tensor::f32(op.image, m.to_vec()).unwrap()));
        let [height, width] = op.size;
        let shape = [values.len, 3, height, width];
        (inputs, Tensor::f32(shape, values.images.clone()).unwrap())
    });
    let pairs: Vec<_> = pairs.collect();
    assert_eq!(pairs.len(), 3);
    (op, pairs)
}

fn run(device: &Device, op: PrepareImages, inputs: &[Tensor]) -> Tensor {
    let mut graph = Graph::new();
    let named = ["pixels", "draws", "mean"];
    let add = |(name, tensor): (&&str, &Tensor)| graph.input(*name, tensor.ty()).unwrap();
    let values: Vec<_> = named.iter().zip(inputs).map(add).collect();
    let output = graph.add(op, &values).unwrap();
    graph.output("images", output).unwrap();
    let mut session = Session::new(device);
    let mut program = session.load(device.plan(&graph).unwrap()).unwrap();
    let inputs: Vec<_> = named.into_iter().zip(inputs).collect();
    session.run(&mut program, &inputs).unwrap().get("images").unwrap().clone()
}

#[test]
fn the_device_makes_the_numbers_that_threads_make() {
    let vary =
        "vary = { max-shift = 2, flip = true, brightness = 0.2, contrast = 0.4, saturation = 0.6 }";
    let turn = "vary = { max-shift = 2, flip = true, rotate-degrees = 20.0, scale = 0.2, \
                shear-degrees = 9.0, contrast = 0.3 }";
    let lists = [
        String::new(),
        "{ crop = { size = 9, padding = 3 } }, { flip = {} }".into(),
        "{ subtract-mean = {} }, { crop = { size = 7 } }, { flip = {} }".into(),
        "{ flip = {} }, { pad = { size = 2 } }, { centre-crop = { size = 11 } }, { cutout = { size = 5 } }".into(),
        format!("{{ {vary} }}, {{ pca-colour = {{ strength = 0.3 }} }}"),
        format!("{{ {turn} }}"),
        format!(
            "{{ subtract-mean = {{}} }}, {{ crop = {{ size = 9, padding = 1 }} }}, {{ flip = {{}} }}, \
             {{ {turn} }}, {{ flip = {{}} }}, {{ crop = {{ size = 8, padding = 2 }} }}, \
             {{ pca-colour = {{}} }}, {{ cutout = {{ size = 3 }} }}"
        ),
        format!("{{ flip = {{}} }}, {{ {vary} }}, {{ crop = {{ size = 10, padding = 4 }} }}"),
    ];
    for list in lists {
        let (op, batches) = batches(&transforms(&list));
        let types = |inputs: &[Tensor]| gabor::ops::Types {
            inputs: inputs.iter().map(Tensor::ty).collect(),
            outputs: vec![],
        };
        for (inputs, values) in batches {
            // The same to the bit where the arithmetic is the same.
            assert_eq!(run(&Device::cpu(), op, &inputs), values, "{list}");
            let Some(gpu) = common::full_gpu() else { continue };
            let expected: Vec<_> = values.as_f32().unwrap().iter().map(|&v| v.into()).collect();
            let output = run(&gpu, op, &inputs);
            let tolerance = op.tolerance(&types(&inputs), None);
            let found = output.as_f32().unwrap().iter().map(|&v| f64::from(v));
            tolerance.check(found, &expected).unwrap_or_else(|e| panic!("{list}: {e}"));
        }
    }
}

#[test]
fn what_a_device_cannot_do_is_left_to_threads() {
    for list in [
        "{ resize = { size = 8 } }, { crop = { size = 8 } }",
        "{ flip = {} }, { mixup = {} }",
        "{ ten-crop = { size = 8 } }",
        "{ cutout = { size = 3 } }, { flip = {} }",
        "{ crop = { size = 9 } }, { subtract-mean = {} }",
        "{ pca-colour = {} }, { crop = { size = 9, padding = 3 } }",
        "{ vary = { brightness = 0.1 } }, { vary = { contrast = 0.1 } }",
    ] {
        let transforms = transforms(list);
        assert!(transforms.on_device([3, 12, 10], &normalise()).is_none(), "{list}");
        let on = TransformsOn::Device;
        let refused = on.input(&Device::cpu(), &*dataset(), &transforms, &normalise());
        assert!(refused.unwrap_err().to_string().contains("for threads"), "{list}");
    }
    // A mean or colours that are not known.
    for list in [vec![Transform::SubtractMean {}], vec![Transform::PcaColour { strength: 0.1 }]] {
        let transforms = Transforms::new(list).unwrap();
        assert!(transforms.on_device([3, 12, 10], &normalise()).is_none());
    }
    // Engines on the processor have nothing to gain.
    let auto = TransformsOn::Auto;
    for device in [Some(Device::cpu()), common::full_gpu()].into_iter().flatten() {
        let is_hardware =
            matches!(device.target(), gabor::graph::Target::Gpu(a) if !a.is_software());
        let input = auto.input(&device, &*dataset(), &Transforms::none(), &normalise()).unwrap();
        assert_eq!(input != ImageInput::Values, is_hardware);
    }
}

/// Trains on digits with their own augmentation, in batches that the last does not fill.
fn trained(device: &Device, on: TransformsOn, micro_batch: Option<usize>) -> Vec<f32> {
    let source = digits(50, 20);
    let transforms: Transforms = source.augment.clone().into();
    let input = on.input(device, &*source.train, &transforms, &source.normalise).unwrap();
    assert_eq!(input != ImageInput::Values, on == TransformsOn::Device);
    let options = Options { batch: 16, micro_batch, seed: 3, input, ..Options::default() };
    let model = zoo::lenet([1, 28, 28], 10);
    let mut trainer = Trainer::new(device, model, sgd(0.05), options).unwrap();
    let (steps, report) = fit(&mut trainer, &source, 2);
    steps.iter().map(|step| step.loss).chain([report.test.loss]).collect()
}

#[test]
fn training_is_the_same_wherever_images_are_prepared() {
    let cpu = Device::cpu();
    for micro_batch in [None, Some(5)] {
        let threads = trained(&cpu, TransformsOn::Threads, micro_batch);
        assert_eq!(threads.len(), 9);
        assert_eq!(trained(&cpu, TransformsOn::Device, micro_batch), threads);
    }
    let Some(gpu) = common::full_gpu() else { return };
    let threads = trained(&gpu, TransformsOn::Threads, None);
    for (a, b) in trained(&gpu, TransformsOn::Device, None).iter().zip(&threads) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn a_preparation_is_for_what_is_trained_on() {
    let (cpu, source) = (Device::cpu(), digits(40, 10));
    let other = Transforms::none();
    let input = TransformsOn::Device.input(&cpu, &*source.train, &other, &source.normalise);
    let options = Options { batch: 8, input: input.unwrap(), ..Options::default() };
    let mut trainer = Trainer::new(&cpu, zoo::lenet([1, 28, 28], 10), sgd(0.05), options).unwrap();
    let error = trainer.fit(&source, 1, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("other transforms"), "{error}");
    // Values are not what its programs take.
    let images = Draw::new(1).normal([8, 1, 28, 28]);
    let error = trainer.train_batch(&images, &Draw::new(2).labels(8, 10), 0.1).unwrap_err();
    assert!(error.to_string().contains("`pixels` is missing"), "{error}");
}
