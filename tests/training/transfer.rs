//! Layers that stay as they are.

use super::*;
use gabor::nn::BatchNorm2d;

fn with_norms() -> Model {
    Model::new("norms", [2, 12, 11])
        .with(Conv2d::new(4, 3))
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Conv2d::new(4, 3))
        .with(BatchNorm2d::new())
        .with(Relu)
        .with(Linear::new(5))
}

#[test]
fn frozen_layers_keep_parameters_and_statistics_to_the_bit() {
    let source = small_source(24, 7);
    let frozen = ["conv1", "bn1"];
    for device in devices() {
        for micro_batch in [None, Some(3)] {
            let options = Options { batch: 4, micro_batch, ..Options::default() };
            let model = with_norms().freeze(frozen);
            let mut trainer = Trainer::new(&device, model, sgd(0.05), options).unwrap();
            // No state of the optimizer, no gradient.
            let mut states =
                trainer.plan().unwrap().states.iter().map(|(state, _)| state.name.clone());
            let stray = |name: &String| {
                let own = ["conv1.weight", "conv1.bias"].contains(&name.as_str());
                name.contains("conv1") && !own
            };
            assert!(!states.any(|name| stray(&name)));
            let read = |trainer: &Trainer| {
                let names = trainer.network().model().parameter_types().unwrap();
                let state = |name: String| (trainer.network().state(&name).unwrap(), name);
                names.into_iter().map(|(name, _)| state(name)).collect::<Vec<_>>()
            };
            let before = read(&trainer);
            fit(&mut trainer, &source, 1);
            for ((old, name), (new, _)) in before.iter().zip(read(&trainer)) {
                if name == "conv2.bias" {
                    // The normalisation takes it out again: its gradient is nothing but rounding.
                    continue;
                }
                let is_frozen = frozen.iter().any(|layer| name.starts_with(&format!("{layer}.")));
                assert_eq!(old.bytes() == new.bytes(), is_frozen, "{name} on {}", device.name());
            }
        }
    }
}

#[test]
fn nothing_left_to_train_is_an_error() {
    let model = with_norms().freeze(["conv1", "bn1", "conv2", "bn2", "fc1"]);
    let made = Trainer::new(&Device::cpu(), model, sgd(0.1), Options::default());
    let message = made.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("norms") && message.contains("freeze fewer"), "{message}");
    let all_but = |layer: &str| with_norms().freeze_all_but(&[layer]);
    assert_eq!(all_but("fc1").unwrap().trainable_names().unwrap(), ["fc1.weight", "fc1.bias"]);
    assert!(all_but("fc2").is_err());
}
